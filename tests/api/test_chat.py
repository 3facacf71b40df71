"""Chat and arena in the browser: what pages ask, what they get while an answer grows, and what is kept
of it, on a real server in front of a scripted model server."""
import http.client
import json
import time

import pytest
from aileron import Client, wait_until
from test_events import uuid7
from test_gateway import Gate, models  # noqa: F401  (models is a fixture)


class Person:
    """A member of the project with a page open: one conversation at a time."""

    def __init__(self, gate, client=None):
        self.gate, self.client = gate, client or gate.project.annotator()
        self.path = f"{gate.project.path}/chat"
        self.conversation = uuid7()

    def open(self, body, path="messages"):
        """The connection and its response, unread."""
        server = self.gate.server
        link = http.client.HTTPConnection(server.host, server.port, timeout=60)
        headers = {"Content-Type": "application/json", "Origin": server.url}
        if self.client.key:
            headers["Authorization"] = f"Bearer {self.client.key}"
        else:
            headers["Cookie"] = self.client.cookie
        link.request("POST", f"/api/v1{self.path}/{path}",
                     json.dumps({"conversation_id": self.conversation, **body}), headers)
        return link, link.getresponse()

    def events(self, **body):
        """All events of an answer, each with the time of its arrival."""
        link, response = self.open(body)
        assert response.status == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        events = []
        for line in response:
            if line.startswith(b"data: "):
                events.append({**json.loads(line[6:]), "time": time.monotonic()})
        link.close()
        return events

    def say(self, content=None, model="count", **more):
        """The last event of an answer that came to its end."""
        body = {"content": content} if content is not None else {}
        events = self.events(**body, **({} if "round_id" in more else {"model": model}), **more)
        assert events[0]["event"] == "begin" and events[-1]["event"] == "end", events
        assert events[0]["answer_id"] == events[-1]["answer_id"]
        return {**events[-1], "turn_id": events[0]["turn_id"]}

    def refuse(self, status, pointer=None, **body):
        link, response = self.open(body)
        problem = json.loads(response.read())
        link.close()
        assert response.status == status and problem["status"] == status, problem
        if pointer:
            assert problem["pointer"] == pointer, problem
        return problem

    def show(self):
        return self.client.get(f"{self.path}/conversations/{self.conversation}").expect(200).json()


@pytest.fixture
def gate(server, models):  # noqa: F811
    return Gate(server, models.url)


@pytest.fixture
def ada(gate):
    return Person(gate)


def facts(gate):
    """(kind, answer) in the order of the ledger."""
    return [tuple(row) for row in gate.sql(
        "select kind, detail ->> 'answer' from feedback where project_id = PROJECT "
        "order by xid, id")]


# ---- messages ----

def test_a_message_is_answered_as_it_grows_and_recorded_before_the_end(ada, gate, models):
    events = ada.events(content="Tell *me* about wings", model="echo")
    assert [event["event"] for event in events][0] == "begin"
    end = events[-1]
    assert end["event"] == "end" and end["finish"] == "stop"
    assert end["content"] == "You said: Tell *me* about wings"
    assert end["html"] == "<p>You said: Tell <em>me</em> about wings</p>\n"
    [row] = gate.sql("select a.id, a.turn_id, a.conversation_id, a.content, c.surface, "
                     "c.end_user_id, i.surface from answer a join conversation c "
                     "on c.project_id = a.project_id and c.id = a.conversation_id join impression i "
                     "on i.project_id = a.project_id and i.id = a.impression_id "
                     "where a.project_id = PROJECT")
    assert row == [end["answer_id"], events[0]["turn_id"], ada.conversation,
                   "You said: Tell *me* about wings", "chat", ada.client.account["id"], "chat"]
    sent = models.requests[-1]["body"]
    assert sent == {"model": "echo", "stream": True,
                    "messages": [{"role": "user", "content": "Tell *me* about wings"}]}


def test_regenerate_continue_edit_the_question(ada, gate, models):
    first = ada.say("Tell me about wings")
    second = ada.say(turn_id=first["turn_id"])
    assert second["turn_id"] == first["turn_id"] and first["content"] != second["content"]
    assert facts(gate) == [("retry", first["answer_id"])]
    third = ada.say("And tails?", parent_id=second["answer_id"])
    assert facts(gate)[1:] == [("continue", second["answer_id"])]
    assert [message["content"] for message in models.requests[-1]["body"]["messages"]] == [
        "Tell me about wings", second["content"], "And tails?"]
    ada.say("And what of tails?", parent_id=second["answer_id"])
    assert facts(gate)[2:] == [("rephrase", third["answer_id"])]
    ada.say("Tell me of wings")
    assert facts(gate)[3:] == [("rephrase", second["answer_id"])], "another first question"


def test_an_edited_answer_is_gone_on_from(ada, gate, models):
    first = ada.say("Tell me about wings")
    path = f"{ada.path}/edits"
    ada.client.post(path, {"answer_id": first["answer_id"],
                           "content": first["content"] + "\n"}).problem(422, "/content")
    better = "Answer number one it *surely* is"
    made = ada.client.post(path, {"answer_id": first["answer_id"],
                                  "content": better}).expect(201).json()
    assert made["html"] == "<p>Answer number one it <em>surely</em> is</p>\n"
    assert facts(gate) == [("edit", first["answer_id"])]
    ada.say("Go on", parent_id=made["id"])
    assert facts(gate) == [("edit", first["answer_id"])], "it says nothing more of the answer"
    assert [message["content"] for message in models.requests[-1]["body"]["messages"]] == [
        "Tell me about wings", better, "Go on"]
    again = ada.client.post(path, {"answer_id": made["id"], "content": "Best"}).expect(201).json()
    turns = ada.show()["turns"]
    assert [(a["id"], a["edit_of"], a["finish"]) for a in turns[0]["answers"]] == [
        (first["answer_id"], None, "stop"), (made["id"], first["answer_id"], "edited"),
        (again["id"], first["answer_id"], "edited")]
    assert turns[1]["parent_id"] == made["id"]
    pairs = [json.loads(line) for line in gate.project.export_text(
        format="trl-preference", source="implicit", rule="pair-edit").splitlines()]
    assert {pair["chosen"][0]["content"] for pair in pairs} == {better, "Best"}


def test_a_stop_is_told_and_can_be_gone_on_from_at_once(ada, gate, models):
    for step, more in enumerate(({"turn_id": None}, {"parent_id": None})):
        ada.conversation = uuid7()
        link, response = ada.open({"content": "word " * 300, "model": "slow"})
        begin = json.loads(response.readline()[6:])
        while b'"tail"' not in response.readline():
            pass
        response.close()
        link.close()
        key = "turn_id" if "turn_id" in more else "parent_id"
        more = {key: begin["turn_id" if step == 0 else "answer_id"]}
        answer = ada.say("And now?" if step else None, **more)  # waits for what was stopped
        assert answer["finish"] == "stop"
        wait_until(lambda: models.requests[-2]["ended"] == "gone", 10, "the cancelled call")
        rows = gate.sql("select finish, content from answer where project_id = PROJECT "
                        f"and id = '{begin['answer_id']}'")
        assert rows[0][0] == "stopped" and rows[0][1].startswith("You said:")
        assert ("stop", begin["answer_id"]) in facts(gate)
    assert [kind for kind, _ in facts(gate)] == ["stop", "retry", "stop", "continue"]


def test_thumbs_stars_and_copies_by_cookie_are_ones_own(ada, gate):
    first = ada.say("Tell me about wings")
    bob = Person(gate)

    def tell(person, kind, **more):
        event = {"id": uuid7(), "completion_id": first["answer_id"], "kind": kind, **more}
        reply = person.client.post(f"{gate.project.path}/events", {"events": [event]}).expect(200)
        return reply.json()["accepted"] == [event["id"]]

    assert tell(ada, "copy") and tell(ada, "thumb_up") and tell(ada, "star", value=2)
    assert tell(ada, "thumb_down", comment="not <b>true</b>") and tell(ada, "star", value=4)
    assert not tell(bob, "thumb_up"), "it is not his conversation"
    [turn] = ada.show()["turns"]
    [answer] = turn["answers"]
    assert (answer["thumb"], answer["star"], answer["vote"]) == ("down", 4, False)
    assert gate.sql("select distinct annotator_id from feedback where project_id = PROJECT") == [
        [ada.client.account["id"]]]
    event = {"id": uuid7(), "completion_id": first["answer_id"], "kind": "copy"}
    Client(gate.server).post(f"{gate.project.path}/events", {"events": [event]}).problem(401)
    ada.client.post("/events", {"events": [event]}).problem(401)  # by key only there


def test_conversations_are_listed_and_nobody_elses_are_seen(ada, gate, server):
    bob = Person(gate)
    first = ada.say("  Tell me\n about wings ")
    ada.say("More", parent_id=first["answer_id"])
    earlier, ada.conversation = ada.conversation, uuid7()
    ada.say("Another matter")
    path = f"{ada.path}/conversations"
    listed = ada.client.get(path, limit=1).expect(200).json()
    assert [(item["id"], item["title"], item["turns"], item["surface"], item["ended"])
            for item in listed["items"]] == [
        (ada.conversation, "Another matter", 1, "chat", False)]
    listed = ada.client.get(path, limit=1, after=listed["next"]).expect(200).json()
    assert [(item["id"], item["turns"]) for item in listed["items"]] == [(earlier, 2)]
    ada.conversation = earlier
    shown = ada.show()
    assert [turn["content"] for turn in shown["turns"]] == ["  Tell me\n about wings ", "More"]
    assert shown["turns"][0]["answers"][0]["model"] == "count"
    assert shown["turns"][1]["parent_id"] == first["answer_id"]
    assert bob.client.get(path).expect(200).json()["items"] == []
    bob.client.get(f"{path}/{earlier}").problem(404)
    bob.client.post(f"{path}/{earlier}/end").problem(404)
    bob.client.post(f"{ada.path}/edits", {"answer_id": first["answer_id"],
                                          "content": "mine now"}).problem(404, "/answer_id")
    bob.conversation = earlier
    bob.refuse(404, "/conversation_id", content="Hello", model="count")
    bob.refuse(404, "/conversation_id", turn_id=first["turn_id"], model="count")
    bob.conversation = uuid7()
    bob.refuse(404, "/parent_id", content="Hello", model="count", parent_id=first["answer_id"])
    bob.refuse(404, "/turn_id", model="count", turn_id=first["turn_id"])
    stranger = server.user()
    stranger.get(path).problem(404)
    key = gate.project.client("annotator")  # a key is a person of its own
    key.get(f"{path}/{earlier}").problem(404)
    owner = gate.project.owner
    owner.get(f"{path}/{earlier}").problem(404)
    by_key = Person(gate, key)
    by_key.say("By key")
    assert len(key.get(path).expect(200).json()["items"]) == 1
    assert facts(gate) == [("continue", first["answer_id"])]


def test_bad_requests_are_refused(ada, gate, models):
    good = {"content": "x", "model": "count"}
    for change, pointer in (({"content": None}, "/content"), ({"turn_id": uuid7()}, "/content"),
                            ({"content": ""}, "/content"), ({"model": None}, "/model"),
                            ({"content": "x" * 131073}, "/content"),
                            ({"slot": "A"}, "/slot"), ({"slot": "C"}, "/slot"),
                            ({"round_id": uuid7()}, "/slot"), ({"surprise": 1}, "/surprise"),
                            ({"round_id": uuid7(), "slot": "A"}, "/model"),
                            ({"content": None, "turn_id": uuid7(), "parent_id": uuid7()},
                             "/parent_id"),
                            ({"conversation_id": "x"}, "/conversation_id"),
                            ({"conversation_id": "8c7f5a4e-1111-4222-8333-123456789abc"},
                             "/conversation_id")):
        ada.refuse(422, pointer, **{**good, **change})
    gate.add(models.url, models=["count"]).expect(201)
    ada.refuse(404, "/model", content="x", model="nobody serves this")
    bare = Person(Gate(gate.server, None))
    assert "model server" in bare.refuse(404, content="x", model="m")["detail"]


# ---- how answers are shown ----

HOSTILE = ("<script>alert(1)</script> <img src=x onerror=alert(1)> [a](javascript:alert(1)) "
           "![i](https://evil.example/x.png) **bold**")


def test_hostile_answers_are_inert_in_every_event_and_afterwards(ada):
    events = ada.events(content=HOSTILE, model="slow")
    pages = [event["html"] for event in events if "html" in event]
    turn = ada.show()["turns"][0]
    pages += [turn["html"], turn["answers"][0]["html"]]
    assert len(pages) > 4
    for html in pages:
        for bad in ("<script", "<img", "onerror=alert(1)>", "href=\"javascript"):
            assert bad not in html, html
    assert "<strong>bold</strong>" in events[-1]["html"] and "&lt;script&gt;" in events[-1]["html"]


def test_tails_come_at_most_ten_times_a_second_and_blocks_once(ada):
    text = " ".join(["First words here\n\n```\ncode\n\nmore code\n```\n\n- one\n\n- two\n\nThe end"]
                    + ["word"] * 30)
    events = ada.events(content=text, model="slow")
    tails = [event for event in events if event["event"] == "tail"]
    blocks = [event["html"] for event in events if event["event"] == "block"]
    seconds = events[-1]["time"] - events[0]["time"]
    assert 5 < len(tails) <= 10 * seconds + 2, (len(tails), seconds)
    # (a busy machine may finish two pieces between two tails: then they come as one)
    assert "".join(blocks) == (
        "<p>You said: First words here</p>\n<pre><code>code\n\nmore code\n</code></pre>\n"
        "<ul>\n<li>\n<p>one</p>\n</li>\n<li>\n<p>two</p>\n</li>\n</ul>\n")
    assert tails[-1]["html"].startswith("<p>The end word"), "the tail holds what is open, no more"
    assert events[-1]["html"].startswith("".join(blocks) + "<p>The end word word")


def test_long_answers(ada, gate):
    end = ada.events(content="<" * 131072, model="echo")[-1]
    assert end["html"].startswith("<pre class=\"plain\">You said: &lt;&lt;")
    end = ada.events(content="x", model="huge")[-1]  # one piece of 2 MiB: more than is kept
    assert (end["event"], end["content"], end["html"]) == ("end", "", "")
    text = ("word " * 30 + "\n\n") * 600  # 90 KB
    events = ada.events(content=text, model="echo")
    assert events[-1]["content"] == "You said: " + text
    assert sum(len(event.get("html", "")) for event in events[:-1]) < 4 * len(text)
    drip = ada.events(content="drip by drip ✓", model="drip")
    assert drip[-1]["content"] == "You said: drip by drip ✓"
    plain = ada.events(content="no stream", model="plain")
    assert [event["event"] for event in plain] == ["begin", "end"]
    assert plain[-1]["html"] == "<p>You said: no stream</p>\n"


def test_errors_of_the_model_server(ada, gate, models):
    assert "scripted 500" in ada.refuse(502, content="x", model="error:500")["detail"]
    assert "scripted 404" in ada.refuse(502, content="x", model="error:404")["detail"]
    ada.refuse(429, content="x", model="error:429")
    ada.refuse(502, content="x", model="garbage")
    end = ada.events(content="one two three", model="die")[-1]
    assert (end["event"], end["finish"], end["content"]) == ("end", "broken", "You said:")
    ada.client.get(f"{ada.path}/conversations/{uuid7()}").problem(404)
    assert [turn["answers"][0]["finish"] for turn in ada.show()["turns"]] == ["broken"]
    tired = Gate(gate.server, None)
    tired.add(models.url, timeout_ms=200).expect(201)
    assert "in time" in Person(tired).refuse(504, content="x", model="silent")["detail"]
