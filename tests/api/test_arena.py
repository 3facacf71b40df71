"""The arena: two unnamed models side by side, votes at any time, winners gone on from, names at the end."""
import json
import threading
import time

import pytest
from aileron import Server, wait_until
from test_chat import Person, facts
from test_events import uuid7
from test_gateway import Gate, models  # noqa: F401  (models is a fixture)

NAMES = {"alpha": "count", "beta": "say:Beta it is", "gamma": "slow"}


class Player(Person):
    def round(self, content=None, **more):
        body = {"conversation_id": self.conversation, **more}
        if content is not None:
            body["content"] = content
        made = self.client.post(f"{self.path}/rounds", body).expect(201).json()
        assert made["slots"] == ["A", "B"] and "model" not in json.dumps(made)
        return made

    def both(self, made):
        """The last events of both answers, asked for at the same time."""
        ends = {}

        def ask(slot):
            ends[slot] = self.say(round_id=made["id"], slot=slot)

        threads = [threading.Thread(target=ask, args=(slot,)) for slot in "AB"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {ends[slot]["turn_id"] for slot in "AB"} == {made["turn_id"]}
        return ends

    def play(self, content=None, **more):
        made = self.round(content, **more)
        return made, self.both(made)

    def vote(self, made, choice):
        return self.client.post(f"{self.path}/rounds/{made['id']}/vote", {"choice": choice})

    def end(self):
        return self.client.post(f"{self.path}/conversations/{self.conversation}/end")


@pytest.fixture
def gate(server, models):  # noqa: F811
    gate = Gate(server, models.url)
    gate.add(models.url, models=[f"{name}={there}" for name, there in NAMES.items()]).expect(201)
    return gate


@pytest.fixture
def ada(gate):
    return Player(gate)


def votes(gate):
    return gate.sql("select id, detail ->> 'answer', detail ->> 'over', detail ->> 'choice', "
                    "supersedes, impression_id from feedback where project_id = PROJECT "
                    "and kind = 'vote' order by xid, id")


def test_both_answers_are_one_impression_drawn_with_a_propensity(ada, gate):
    made, ends = ada.play("Tell me about wings")
    [[models_, answers, policy, propensity, shown, surface, count]] = gate.sql(
        "select to_json(r.models), to_json(r.answer_ids), i.policy, i.propensity, to_json(i.shown), "
        "i.surface, (select count(*) from impression where project_id = PROJECT) "
        "from arena_round r join impression i on i.project_id = r.project_id "
        "and i.id = r.impression_id where r.project_id = PROJECT")
    names = json.loads(models_)
    assert len(set(names)) == 2 and set(names) <= set(NAMES)
    assert json.loads(answers) == [ends["A"]["answer_id"], ends["B"]["answer_id"]]
    assert (policy, surface, count) == ("arena-uniform", "arena", "1")
    assert abs(float(propensity) - 1 / 6) < 1e-6
    assert [sorted(names)[index] for index in json.loads(shown)] == names
    rows = gate.sql("select distinct impression_id, turn_id from answer where project_id = PROJECT")
    assert len(rows) == 1 and rows[0][1] == made["turn_id"]
    assert facts(gate) == [], "the second slot is no retry of the first"


def test_draws_are_uniform_and_sides_random(ada, gate):
    for _ in range(90):
        ada.conversation = uuid7()
        ada.round("Which?")
    rows = [tuple(json.loads(row[0])) for row in gate.sql(
        "select to_json(models) from arena_round where project_id = PROJECT")]
    counts = {pair: rows.count(pair) for pair in set(rows)}
    # each of six has 15 of 90 expected; outside of these less often than once in a million
    assert len(counts) == 6 and all(2 <= count <= 34 for count in counts.values()), counts


def test_going_on_from_the_winner_and_trying_both_again(ada, gate, models):  # noqa: F811
    made, ends = ada.play("Tell me about wings")
    again, second = ada.play(turn_id=made["turn_id"])
    assert again["turn_id"] == made["turn_id"]
    assert sorted(facts(gate)) == sorted(("retry", ends[slot]["answer_id"]) for slot in "AB")
    ada.vote(again, "B").expect(200)
    before = len(facts(gate))
    following, third = ada.play("And tails?", parent_id=second["B"]["answer_id"])
    assert facts(gate)[before:] == [("continue", second["B"]["answer_id"])]
    for request in models.requests[-2:]:
        assert [message["content"] for message in request["body"]["messages"]] == [
            "Tell me about wings", second["B"]["content"], "And tails?"]
    ada.play("And feathers?", parent_id=second["B"]["answer_id"])
    assert sorted(facts(gate)[before + 1:]) == sorted(
        ("rephrase", third[slot]["answer_id"]) for slot in "AB")
    turns = {turn["id"]: turn for turn in ada.show()["turns"]}
    assert [(answer["slot"], answer["round_id"], answer["vote"], answer["model"])
            for answer in turns[made["turn_id"]]["answers"]] == [
        ("A", made["id"], False, None), ("B", made["id"], False, None),
        ("A", again["id"], False, None), ("B", again["id"], True, None)]
    assert turns[made["turn_id"]]["round_id"] == again["id"]
    assert turns[made["turn_id"]]["choice"] == "B"
    assert turns[following["turn_id"]]["parent_id"] == second["B"]["answer_id"]
    labels = {json.loads(line)["rule"] for line in gate.project.export_text(
        format="trl-preference", source="implicit").splitlines()}
    assert labels == {"pair-vote", "pair-retry"}


def test_trying_again_is_told_of_answers_that_were_given_up_and_no_others(ada, gate, models):  # noqa: F811
    gate.add(models.url, models=["alpha=slow", "beta=slow"]).expect(201)
    made = ada.round("word " * 100)
    links = [ada.open({"round_id": made["id"], "slot": slot}) for slot in "AB"]
    begun = [json.loads(response.readline()[6:])["answer_id"] for _, response in links]
    again = ada.round(turn_id=made["turn_id"])  # while both are still going
    for link, response in links:
        response.close()
        link.close()
    wait_until(lambda: len(facts(gate)) == 4, what="two stops, two retries")
    assert sorted(facts(gate)) == sorted((kind, one) for one in begun for kind in ("retry", "stop"))
    gate.add(models.url, models=["alpha=error:500", "beta=error:500"]).expect(201)
    time.sleep(2.2)  # each worker keeps what it knows of a project for two seconds
    for _ in range(2):  # answers that never came are not what is given up
        failed = ada.round(turn_id=again["turn_id"])
        for slot in "AB":
            ada.refuse(502, round_id=failed["id"], slot=slot)
    assert len(facts(gate)) == 4


def test_votes_may_come_before_the_answers_end_and_be_changed(ada, gate):
    made = ada.round("one two three four five six seven eight nine ten")
    first = ada.vote(made, "A").expect(200).json()["id"]
    assert ada.vote(made, "A").expect(200).json()["id"] == first, "the same again is no new vote"
    ends = ada.both(made)
    a, b = (ends[slot]["answer_id"] for slot in "AB")
    tie = ada.vote(made, "tie").expect(200).json()["id"]
    last = ada.vote(made, "B").expect(200).json()["id"]
    [[impression]] = gate.sql("select impression_id from arena_round where project_id = PROJECT")
    assert votes(gate) == [[first, a, b, "A", "", impression], [tie, "", "", "tie", first, impression],
                           [last, b, a, "B", tie, impression]]
    [pair] = [json.loads(line) for line in gate.project.export_text(
        format="trl-preference", source="implicit", rule="pair-vote").splitlines()]
    assert pair["chosen"][0]["content"] == ends["B"]["content"]
    assert pair["rejected"][0]["content"] == ends["A"]["content"] and pair["events"] == [last]
    ada.vote(made, "both_bad").expect(200)
    assert gate.project.export_text(format="trl-preference", source="implicit") == ""
    bob = Player(gate)
    bob.vote(made, "A").problem(404)
    ada.vote(made, "C").problem(422, "/choice")


def test_votes_of_many_at_once_leave_one_standing(ada, gate):
    made, _ = ada.play("Which?")
    cookie = ada.client.cookie

    def vote(choice):
        client = ada.gate.server.client()
        client.cookie = cookie
        client.post(f"{ada.path}/rounds/{made['id']}/vote", {"choice": choice}).expect(200)

    threads = [threading.Thread(target=vote, args=("AB"[n % 2],)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = votes(gate)
    superseded = {row[4] for row in rows}
    assert len([row for row in rows if row[0] not in superseded]) == 1


@pytest.mark.parametrize("choice", ["tie", "both_bad"])
def test_neither_is_no_pair(ada, gate, choice):
    made, _ = ada.play("Which?")
    ada.vote(made, choice).expect(200)
    assert [row[1:4] for row in votes(gate)] == [["", "", choice]]
    assert gate.project.export_text(format="trl-preference", source="implicit") == ""
    assert ada.show()["turns"][0]["choice"] == choice


def test_the_end_names_the_models_and_locks_the_conversation(ada, gate):
    made, ends = ada.play("Which?")
    path = f"{ada.path}/rounds"
    assert [answer["model"] for answer in ada.show()["turns"][0]["answers"]] == [None, None]
    told = {item["id"]: item["model"] for item in ada.end().expect(200).json()["answers"]}
    [[names]] = gate.sql("select to_json(models) from arena_round where project_id = PROJECT")
    assert [told[ends[slot]["answer_id"]] for slot in "AB"] == json.loads(names)
    shown = ada.show()
    assert shown["ended"] and [answer["model"] for answer in shown["turns"][0]["answers"]] == \
        json.loads(names)
    assert ada.end().expect(200).json()["answers"], "it may be asked for again"
    body = {"conversation_id": ada.conversation}
    ada.client.post(path, {**body, "content": "More"}).problem(409)
    ada.client.post(path, {**body, "turn_id": made["turn_id"]}).problem(409)
    ada.refuse(409, round_id=made["id"], slot="A")
    ada.vote(made, "A").problem(409)
    ada.client.post(f"{ada.path}/edits", {"answer_id": ends["A"]["answer_id"],
                                          "content": "x"}).problem(409)
    [item] = ada.client.get(f"{ada.path}/conversations").json()["items"]
    assert (item["surface"], item["ended"], item["turns"]) == ("arena", True, 1)


def test_errors_do_not_name_the_model(server, models):  # noqa: F811
    gate = Gate(server, models.url)
    gate.add(models.url, models=["alpha=error:500", "beta=error:404"]).expect(201)
    ada = Player(gate)
    made = ada.round("Which?")
    for slot in "AB":
        problem = ada.refuse(502, round_id=made["id"], slot=slot)
        assert "scripted" not in problem["detail"] and "alpha" not in json.dumps(problem)
    [turn] = ada.show()["turns"]
    assert turn["answers"] == [] and turn["content"] == "Which?"


def test_bad_rounds_are_refused(ada, gate, models):  # noqa: F811
    path = f"{ada.path}/rounds"
    body = {"conversation_id": ada.conversation}
    ada.client.post(path, body).problem(422, "/content")
    ada.client.post(path, {**body, "content": "x", "model": "alpha"}).problem(422, "/model")
    ada.client.post(path, {**body, "content": "x", "slot": "A"}).problem(422, "/slot")
    ada.client.post(path, {**body, "content": "x", "parent_id": uuid7()}).problem(404, "/parent_id")
    ada.client.post(path, {**body, "turn_id": uuid7()}).problem(404, "/turn_id")
    ada.refuse(404, "/round_id", round_id=uuid7(), slot="A")
    ada.vote({"id": uuid7()}, "A").problem(404)
    made, _ = ada.play("Which?")
    ada.refuse(409, "/slot", round_id=made["id"], slot="A")
    ada.refuse(409, "/conversation_id", content="Chat here", model="alpha")
    bob = Player(gate)
    bob.refuse(404, round_id=made["id"], slot="A")
    chat = Person(gate, ada.client)
    chat.say("Hello", model="alpha")
    ada.client.post(path, {"conversation_id": chat.conversation, "content": "x"}).problem(409)
    assert ada.client.get(f"{ada.path}/models").json() == {"models": list(NAMES), "arena": True}
    gate.add(models.url, models=["alone=count"]).expect(201)
    assert ada.client.get(f"{ada.path}/models").json() == {"models": ["alone"], "arena": False}
    ada.client.post(path, {"conversation_id": uuid7(), "content": "x"}).problem(409)


# ---- servers that stop, and the demo ----

def test_an_end_that_was_seen_is_there_after_kill_9(models):  # noqa: F811
    with Server() as server:
        gate = Gate(server, models.url)
        ada = Person(gate)
        seen = [ada.say(f"Question {n}") for n in range(5)]
        link, response = ada.open({"content": "word " * 200, "model": "slow"})
        begin = json.loads(response.readline()[6:])
        server.kill9()
        link.close()
        server.start()
        rows = {row[0]: row[1] for row in gate.answers()}
        assert {end["answer_id"]: end["content"] for end in seen}.items() <= rows.items()
        assert begin["answer_id"] not in rows
        assert len(ada.show()["turns"]) == 5
        ada.refuse(404, "/turn_id", turn_id=begin["turn_id"], model="count")
        ada.say("Go on", parent_id=seen[-1]["answer_id"])  # restarted in the middle
        assert ("continue", seen[-1]["answer_id"]) in facts(gate)


def test_a_database_that_goes_is_said_and_nothing_is_promised(models):  # noqa: F811
    with Server() as server:
        gate = Gate(server, models.url)
        ada = Person(gate)
        first = ada.say("Before")
        link, response = ada.open({"content": "word " * 30, "model": "slow",
                                   "parent_id": first["answer_id"]})
        begin = json.loads(response.readline()[6:])
        server.kill9_postgres()
        last = json.loads(response.read().decode().strip().rsplit("data: ", 1)[1])
        link.close()
        server.restart()
        kept = {row[0] for row in gate.answers()}
        assert last["event"] in ("end", "error")
        assert (begin["answer_id"] in kept) == (last["event"] == "end")
        assert first["answer_id"] in kept
        ada.say("After", parent_id=first["answer_id"])


def test_a_stopping_server_lets_answers_end(models):  # noqa: F811
    with Server() as server:
        gate = Gate(server, models.url)
        ada = Person(gate)
        link, response = ada.open({"content": "word " * 20, "model": "slow"})
        response.readline()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        rest = response.read().decode()
        stopping.join()
        link.close()
        assert '"event":"end"' in rest
        server.start()
        assert [row[2] for row in gate.answers()] == ["stop"]


def test_the_demo_project_can_be_chatted_with_at_once():
    with Server("--demo") as server:
        client = server.admin()

        class Demo:
            project = type("P", (), {"path": "/projects/demo"})

        Demo.server = server
        ada = Player(Demo, client)
        listed = client.get("/projects/demo/chat/models").expect(200).json()
        assert listed == {"models": ["demo-1", "demo-2"], "arena": True}
        first = ada.say("Hello there", model="demo-1")
        assert first["content"].startswith("[Canned demo answer] ")
        texts = [first["content"]]
        for _ in range(2):
            texts.append(ada.say(turn_id=first["turn_id"], model="demo-1")["content"])
        assert all(one != two for one, two in zip(texts, texts[1:])), texts
        ada.conversation = uuid7()
        made, ends = ada.play("Hello there")
        assert ends["A"]["content"] != ends["B"]["content"]
        _, again = ada.play(turn_id=made["turn_id"])
        assert ends["A"]["content"] != again["A"]["content"]
        wait_until(lambda: len(ada.show()["turns"][0]["answers"]) == 4)
