"""The drop-in gateway: passed on untouched, recorded before it ends, and what requests say about the
answers before them, on a real server between real HTTP clients and a scripted model server."""
import http.client
import json
import socket
import threading
import time

import pytest
import upstream as scripted
from aileron import psql, unique, wait_until


@pytest.fixture(scope="module")
def models():
    running = scripted.Upstream()
    yield running
    running.close()


class Gate:
    """A project with the scripted model server behind it, asked through the gateway."""

    def __init__(self, server, url, **settings):
        self.server = server
        self.project = server.project({"session_seconds": 3600, **settings})
        self.key = self.project.key("annotator")
        if url:
            self.add(url)

    def add(self, url, name="scripted", **more):
        return self.project.owner.post(f"{self.project.path}/upstreams",
                                       {"name": name, "url": url, **more})

    def raw(self, body, headers=None, key=None, path="/openai/v1/chat/completions"):
        """The connection and its response, unread."""
        link = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        link.request("POST", path, data, {"Content-Type": "application/json",
                                          "Authorization": f"Bearer {key or self.key}",
                                          **(headers or {})})
        return link, link.getresponse()

    def ask(self, messages, model="echo", headers=None, **more):
        """(status, headers, body as JSON) of a request that does not stream."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        link, response = self.raw({"model": model, "messages": messages, **more}, headers)
        body = response.read()
        link.close()
        return response.status, response.headers, json.loads(body)

    def say(self, messages, **more):
        """The answer's text; a conversation is a list that the caller extends with it."""
        status, _, body = self.ask(messages, **more)
        assert status == 200, body
        return body["choices"][0]["message"]["content"]

    def stream(self, messages, model="echo", **more):
        """(text of the answer, raw bytes, completion id) of a stream read to its end."""
        link, response = self.raw({"model": model, "messages": messages, "stream": True, **more})
        raw = response.read()
        link.close()
        text = ""
        for line in raw.decode("utf-8", "replace").splitlines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:]).get("choices", []):
                    text += choice["delta"].get("content") or ""
        return text, raw, response.headers.get("x-aileron-completion-id")

    def sql(self, text):
        return self.server.sql(text.replace("PROJECT",
                               f"(select id from project where slug = '{self.project.slug}')"))

    def signals(self):
        """Kinds in the order of the ledger."""
        return [row[0] for row in self.sql("select kind from feedback where project_id = PROJECT "
                                           "order by xid, id")]

    def answers(self):
        return self.sql("select id, content, finish, conversation_id from answer "
                        "where project_id = PROJECT and edit_of is null order by id")


@pytest.fixture
def gate(server, models):
    return Gate(server, models.url)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


# ---- passing on ----

def test_the_request_goes_on_byte_for_byte_and_the_answer_comes_back_the_same(gate, models):
    body = (b'{"model":"echo","user":"u","messages":[{"role":"user","content":[{"type":"text","text":'
            b'"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}], '
            b'"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],'
            b'"some_new_field":{"a":[1,2.50,null]}, "temperature":0.70}')
    link, response = gate.raw(body, {"Accept": "application/json", "User-Agent": "probe"})
    answer = response.read()
    link.close()
    assert response.status == 200
    sent = models.requests[-1]
    assert sent["raw"] == body and sent["path"] == "/v1/chat/completions"
    assert sent["headers"]["Accept"] == "application/json"
    assert "Authorization" not in sent["headers"], "our key is not the model server's business"
    direct = http.client.HTTPConnection("127.0.0.1", models.server.server_port)
    direct.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    assert direct.getresponse().read() == answer


def test_a_stream_comes_back_event_by_event(gate):
    link, response = gate.raw({"model": "slow", "stream": True,
                               "messages": [user("one two three four five six")]})
    assert response.headers["content-type"].startswith("text/event-stream")
    begin = time.monotonic()
    first = response.read1(65536)
    early = time.monotonic() - begin
    rest = response.read()
    link.close()
    assert first.startswith(b"data: ") and early < 0.3, "the first word waited for the others"
    assert rest.endswith(b"data: [DONE]\n\n")


def test_the_answer_is_recorded_under_the_id_in_the_header(gate):
    status, headers, body = gate.ask("Remember me", temperature=0.5, user="u")
    assert status == 200 and body["choices"][0]["message"]["content"] == "You said: Remember me"
    identity = headers["x-aileron-completion-id"]
    [row] = gate.sql("select id, content, finish, detail ->> 'temperature', "
                     "detail -> 'usage' ->> 'total_tokens' from answer where project_id = PROJECT")
    assert row == [identity, "You said: Remember me", "stop", "0.5", "3"]
    text, raw, identity = gate.stream([user("Remember me streamed")])
    assert text == "You said: Remember me streamed" and raw.endswith(b"data: [DONE]\n\n")
    assert [identity, text] in [row[:2] for row in gate.answers()]


def test_several_choices_and_tool_calls(gate):
    _, headers, body = gate.ask("three", n=3)
    assert len(body["choices"]) == 3
    identities = headers["x-aileron-completion-id"].split(",")
    rows = gate.answers()
    assert sorted(identities) == [row[0] for row in rows]
    assert [row[1] for row in rows] == ["You said: three", "You said: three (1)",
                                        "You said: three (2)"]
    for stream in (False, True):
        if stream:
            gate.stream([user("weather?")], "tools", user="t")
        else:
            gate.ask("weather?", "tools", user="t")
        [[call, content]] = gate.sql(
            "select message -> 'tool_calls' -> 0 ->> 'id', message -> 'tool_calls' -> 0 -> "
            "'function' ->> 'arguments' from answer where project_id = PROJECT "
            "and finish = 'tool_calls' order by id desc limit 1")
        assert (call, content) == ("call_1", '{"city":"Seoul"}')
    # the tool's result goes on from that answer, but no user spoke: nothing is inferred
    before = gate.signals()
    gate.ask([user("weather?"),
              {"role": "assistant", "content": None, "tool_calls": [
                  {"id": "call_1", "type": "function",
                   "function": {"name": "weather", "arguments": '{"city":"Seoul"}'}}]},
              {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}], user="t")
    assert gate.signals() == before


def test_models_are_listed(gate, models):
    link, response = gate.raw(b"", path="/openai/v1/models")
    link.close()
    assert response.status == 405
    listed = gate.server.client(gate.key).raw("GET", "/openai/v1/models").expect(200).json()
    assert [model["id"] for model in listed["data"]] == ["echo", "slow"]
    gate.add(models.url, models=["mine", "alias=echo"]).expect(201)
    listed = gate.server.client(gate.key).raw("GET", "/openai/v1/models").expect(200).json()
    assert sorted(model["id"] for model in listed["data"]) == ["alias", "mine"]
    assert gate.say("renamed", model="alias") == "You said: renamed"
    assert models.requests[-1]["body"]["model"] == "echo"
    status, _, body = gate.ask("x", "unknown")
    assert status == 404 and body["error"]["param"] == "/model"
    assert body["error"]["message"].startswith("model: no model server") and \
        "unknown" in body["error"]["message"]


def test_one_model_is_looked_up(gate, models):
    gate.add(models.url, models=["mine", "owner/name"]).expect(201)
    client = gate.server.client(gate.key)
    for name in ("mine", "owner/name"):
        model = client.raw("GET", f"/openai/v1/models/{name}").expect(200).json()
        assert model["id"] == name and model["object"] == "model"
    for path in ("mi%2Fne", "%15"):
        refused = client.raw("GET", f"/openai/v1/models/{path}").expect(400)
        assert "message" in refused.json()["error"]
    missing = client.raw("GET", "/openai/v1/models/other").expect(404).json()
    assert missing["error"]["param"] == "/model" and "other" in missing["error"]["message"]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_errors_of_the_model_server_are_passed_on(gate, status):
    got, headers, body = gate.ask("x", f"error:{status}")
    assert got == status and body["error"]["message"] == f"scripted {status}"
    assert headers["Retry-After"] == "7"
    got, _, body = gate.ask("x", f"error:{status}", stream=True)
    assert got == status and body["error"]["code"] == "scripted"
    assert gate.answers() == []


def test_bad_requests_are_refused_in_openais_shape(gate, server):
    for body, param in ((b"{", None), (b"[]", ""), ({"model": "echo"}, "/messages"),
                        ({"messages": [user("x")]}, "/model"),
                        ({"model": "echo", "messages": []}, "/messages"),
                        ({"model": "echo", "messages": ["x"]}, "/messages/0"),
                        ({"model": "echo", "messages": [user("x")], "n": 0}, "/n")):
        link, response = gate.raw(body)
        problem = json.loads(response.read())["error"]
        link.close()
        assert response.status in (400, 422) and problem["message"], problem
        if param is not None:
            assert problem["param"] == param, (body, problem)
    link, response = gate.raw({"model": "echo", "messages": [user("x")]}, key="ak_wrong")
    problem = json.loads(response.read())["error"]
    link.close()
    assert response.status == 401 and problem["type"] == "authentication_error"
    bare = Gate(server, None)
    status, _, problem = bare.ask("x")
    assert status == 404 and "aileron upstream add" in problem["error"]["message"]


# ---- servers that fail ----

def test_the_next_server_is_asked_while_nothing_has_been_passed_on(gate, models):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        gate.add(dead, name="a-dead", priority=0).expect(201)
        gate.add(models.url, name="b-failing", priority=1, models=["m=error:500"]).expect(201)
        gate.add(models.url, priority=2, models=["m=echo"]).expect(201)
        assert gate.say("try", model="m") == "You said: try"
        [[used]] = gate.sql("select detail ->> 'upstream' from answer where project_id = PROJECT")
        assert used == "scripted"
        for _ in range(8):  # the breaker opens: the dead one is not even tried
            assert gate.say("again", model="m", user=unique("u")) == "You said: again"


def test_no_server_answers(server):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gate = Gate(server, f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        status, _, body = gate.ask("x")
        assert status == 502 and body["error"]["type"] == "server_error"
    silent = Gate(server, None)
    running = scripted.Upstream()
    silent.add(running.url, timeout_ms=300).expect(201)
    status, _, body = silent.ask("x", "silent")
    assert status == 504 and "in time" in body["error"]["message"]
    running.close()


def test_a_stream_that_breaks_off_ends_without_done(gate):
    text, raw, _ = gate.stream([user("one two three")], "die")
    assert text == "You said:" and b"[DONE]" not in raw
    wait_until(lambda: [row[2] for row in gate.answers()] == ["broken"], what="the record")


def test_garbage_huge_words_drips_and_plain_answers(gate):
    link, response = gate.raw({"model": "garbage", "messages": [user("x")]})
    assert response.status == 200 and response.read() == b"\x00\xff<html>not JSON"
    link.close()
    text, raw, _ = gate.stream([user("x")], "huge")
    assert len(text) == 2 << 20 and raw.endswith(b"data: [DONE]\n\n")
    text, raw, _ = gate.stream([user("drip by drip")], "drip")
    assert text == "You said: drip by drip" and raw.endswith(b"data: [DONE]\n\n")
    status, _, body = gate.ask("x", "plain", stream=True)
    assert status == 200 and body["choices"][0]["message"]["content"] == "You said: x"


def test_a_client_that_goes_away_stops_the_model_server(gate, models):
    link, response = gate.raw({"model": "slow", "stream": True, "user": "u",
                               "messages": [user(" ".join(["word"] * 200))]})
    response.read1(100)
    link.sock.close()
    response.close()
    wait_until(lambda: gate.signals() == ["stop"], 10, "the stop")
    wait_until(lambda: models.requests[-1]["ended"] == "gone", 10, "the cancelled call")
    [[_, content, finish, _]] = gate.answers()
    assert finish == "stopped" and content.startswith("You") and len(content) < 500
    # one that waits for a whole answer
    link = socket.create_connection((gate.server.host, gate.server.port))
    body = json.dumps({"model": "silent", "messages": [user("never")]}).encode()
    link.sendall(b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: "
                 b"application/json\r\nAuthorization: Bearer " + gate.key.encode() +
                 b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    wait_until(lambda: models.requests[-1]["body"]["model"] == "silent")
    link.close()
    wait_until(lambda: len(gate.answers()) == 2, 10, "the record of it")
    assert gate.answers()[1][2] == "stopped"


# ---- threading ----

def test_a_retry_a_continuation_an_edit_and_another_wording(gate):
    who = {"user": "ada"}
    question = [user("Tell me about wings")]
    first = gate.say(question, model="count", **who)
    second = gate.say(question, model="count", **who)
    assert gate.signals() == ["retry"] and first != second
    talk = question + [assistant(second), user("And tails?")]
    third = gate.say(talk, model="count", **who)
    assert gate.signals() == ["retry", "continue"]
    told = gate.sql("select i.id = a.impression_id, f.detail ->> 'answer' = a.id::text "
                    "from feedback f join impression i on i.project_id = f.project_id "
                    "and i.id = f.impression_id join answer a on a.project_id = f.project_id and "
                    "a.content = '" + second + "' where f.project_id = PROJECT and "
                    "f.kind = 'continue'")
    assert told == [["t", "t"]]
    gate.say(question + [assistant(second), user("What of the tail?")], model="count", **who)
    assert gate.signals()[-1] == "rephrase"
    changed = third.replace("it is", "it surely is")
    gate.say(talk + [assistant(changed), user("Go on")], model="count", **who)
    assert gate.signals()[-1] == "edit"
    gate.say(talk + [assistant(changed), user("Go on")], model="count", **who)
    assert gate.signals()[-1] == "retry", "an edit is told once"
    assert len({row[3] for row in gate.answers()}) == 1, "it is one conversation"
    depth = gate.sql("select count(*) from turn where project_id = PROJECT")
    assert depth == [["4"]], "each turn is one row, however often its chain was sent"


def test_white_space_at_the_ends_and_content_parts_are_the_same_text(gate):
    answer = gate.say("Hello wings", user="u")
    gate.say([{"role": "user", "content": [{"type": "text", "text": " Hello wings\n"}]},
              assistant(answer + "\n"), user("more")], user="u")
    assert gate.signals() == ["continue"]


def test_two_people_are_never_taken_for_one(gate):
    for name in ("ada", "bob", "cyd"):
        gate.say("The very same question, word for word, from each of us", user=name)
    assert gate.signals() == []
    for name in ("ada", "bob"):
        gate.say("Same chat ids differ too", user="one", headers={"X-Conversation-Id": name})
    assert gate.signals() == []
    assert gate.sql("select count(*) from conversation where project_id = PROJECT") == [["5"]]


def test_nobody_in_particular(gate):
    gate.say("hi")
    gate.say("hi")
    assert gate.signals() == [], "too little to tell two strangers apart"
    long = "A question that is long enough to be told from all others, about wings and tails"
    answer = gate.say(long)
    gate.say(long)
    assert gate.signals() == ["retry"]
    gate.say([user(long), assistant(answer), user("and then?")])
    assert gate.signals() == ["retry", "continue"]
    rows = gate.sql("select kind, detail ->> 'confidence' from feedback "
                    "where project_id = PROJECT order by xid, id")
    assert [float(row[1]) for row in rows] == [0.6, 0.8]


def test_the_first_question_in_other_words(gate):
    gate.say("What is the capital of France", user="u")
    gate.say("Tell me, what is the capital of France please", user="u")
    assert gate.signals() == ["rephrase"]
    assert len({row[3] for row in gate.answers()}) == 1
    gate.say("Who wrote Hamlet", user="u")
    assert gate.signals() == ["rephrase"]
    assert len({row[3] for row in gate.answers()}) == 2


def test_a_conversation_that_came_from_elsewhere(gate):
    past = [user("Asked elsewhere"), assistant("Answered elsewhere"), user("Now here")]
    answer = gate.say(past, user="u")
    assert gate.signals() == []
    gate.say(past + [assistant(answer), user("Go on")], user="u")
    assert gate.signals() == ["continue"]
    [[messages]] = gate.sql("select json_array_length(messages) from turn "
                            "where project_id = PROJECT and parent_id is null")
    assert messages == "3"


def test_an_answer_that_was_exchanged_is_no_edit(gate):
    gate.say("Say something about wings", user="u")
    gate.say([user("Say something about wings"), assistant("Completely unrelated words instead"),
              user("ok")], user="u")
    assert gate.signals() == []


def test_silence_is_a_leave_once_the_session_is_over(server, models):
    gate = Gate(server, models.url, session_seconds=2)
    first = gate.say("A short visit", user="u")
    gate.say([user("A short visit"), assistant(first), user("one more")], user="u")
    assert gate.signals() == ["continue"]
    wait_until(lambda: gate.signals() == ["continue", "leave"], 15, "the leave")
    [[left]] = gate.sql("select a.content from feedback f join answer a on a.id = "
                        "(f.detail ->> 'answer')::uuid and a.project_id = f.project_id "
                        "where f.project_id = PROJECT and f.kind = 'leave'")
    assert left == "You said: one more"
    time.sleep(3)
    assert gate.signals() == ["continue", "leave"], "it is told once"


def test_consent_withheld_is_passed_through_and_not_kept(gate):
    assert gate.say("secret", headers={"X-Aileron-Consent": "off"}) == "You said: secret"
    assert gate.say("secret", metadata={"aileron_consent": "off"}) == "You said: secret"
    assert gate.answers() == [] and gate.sql(
        "select count(*) from turn where project_id = PROJECT") == [["0"]]
    assert "secret" not in gate.server.log()


def test_end_users_are_kept_as_hashes_only(gate):
    gate.say("who am I", user="somebody@example.org")
    for table in ("conversation", "turn", "answer", "impression", "feedback"):
        [[found]] = gate.sql(f"select count(*) from {table} t where t.project_id = PROJECT "
                             "and t::text like '%somebody@%'")
        assert found == "0", table
    assert "somebody@" not in gate.server.log()


def test_many_at_once_are_all_recorded(gate):
    failures = []

    def person(number):
        talk = []
        for step in range(5):
            talk.append(user(f"{number} says {step}"))
            text, raw, _ = gate.stream(talk, user=f"person-{number}")
            if not raw.endswith(b"data: [DONE]\n\n"):
                failures.append(raw)
            talk.append(assistant(text))

    threads = [threading.Thread(target=person, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(gate.answers()) == 100
    assert gate.signals() == ["continue"] * 80
    assert len({row[3] for row in gate.answers()}) == 20


# ---- the servers behind it ----

def test_upstreams_are_the_owners_business_and_their_keys_stay(gate, models, server):
    gate.add(models.url, name="sealed", key="sk-very-secret").expect(201)
    listed = gate.project.owner.get(f"{gate.project.path}/upstreams").expect(200)
    assert "sk-very-secret" not in listed.text
    assert {item["name"]: item["has_key"] for item in listed.json()["items"]} == {
        "scripted": False, "sealed": True}
    url = server.database_url()
    assert psql(url, "select count(*) from upstream where name = 'sealed' and "
                     "position('sk-very-secret'::bytea in sealed_key) > 0") == [["0"]]
    gate.project.client("researcher").get(f"{gate.project.path}/upstreams").problem(403)
    for body, pointer in (({"name": "x", "url": "ftp://h"}, "/url"),
                          ({"name": "bad name", "url": "demo:"}, "/name"),
                          ({"name": "x", "url": "http://u:p@h/v1"}, "/url"),
                          ({"name": "x", "url": "demo:", "key": "a b"}, "/key"),
                          ({"name": "x", "url": "demo:", "timeout_ms": 1}, "/timeout_ms")):
        gate.project.owner.post(f"{gate.project.path}/upstreams", body).problem(422, pointer)
    identity = next(item["id"] for item in listed.json()["items"] if item["name"] == "scripted")
    gate.project.owner.delete(f"{gate.project.path}/upstreams/{identity}").expect(204)
    gate.say("hello")
    assert models.requests[-1]["headers"]["Authorization"] == "Bearer sk-very-secret"


def test_the_command_line_knows_upstreams(server, models):
    slug = unique("cli")
    server.cli("project", "add", slug)
    server.cli("upstream", "add", "--project", slug, "--name", "one", "--url", models.url,
               "--key-stdin", "--models", "a, b=echo", input="sk-from-stdin\n")
    listed = json.loads(server.cli("upstream", "list", "--project", slug, "--json").stdout)
    assert [(item["name"], item["models"]) for item in listed["items"]] == [
        ("one", ["a", "b=echo"])]
    assert server.cli("upstream", "add", "--project", slug, "--name", "x", "--url", "nowhere",
                      check=False).returncode == 1
    server.cli("upstream", "remove", "--project", slug, "--name", "one")
    assert server.cli("upstream", "remove", "--project", slug, "--name", "one",
                      check=False).returncode == 1


def test_the_demo_upstream_answers_from_the_projects_own_completions(server):
    gate = Gate(server, "demo:")
    gate.project.import_rows([{"prompt": "Name a prime.", "completions": [
        {"model": "a", "content": "Seven is one."}, {"model": "b", "content": "Nine is not."}]}])
    answers = {gate.say("Name a prime.", model="demo", user=unique("u")) for _ in range(12)}
    assert answers == {"[Canned demo answer] Seven is one.", "[Canned demo answer] Nine is not."}
    text, raw, _ = gate.stream([user("Name a prime.")], "demo-1", user="x")
    assert text == "[Canned demo answer] Seven is one." and raw.endswith(b"data: [DONE]\n\n")
    assert "demo" in [model["id"] for model in gate.server.client(gate.key)
                      .raw("GET", "/openai/v1/models").expect(200).json()["data"]]
    gate.say("Something else", model="demo", user="x")


def test_a_share_of_requests_becomes_pairs_for_annotators(server, models):
    gate = Gate(server, models.url, pair_share=1, pair_model="say:Another answer altogether")
    for number in range(6):
        gate.say(f"Question {number} of real traffic", user=f"u{number}")
    gate.ask("with tools", "tools", user="t")
    wait_until(lambda: gate.project.progress()["comparisons"]["total"] == 6, 15, "the pairs")
    rows = [row for row in gate.project.export_rows(source="explicit") if row["tags"]]
    for row in rows:
        assert row["tags"] == ["gateway"] and row["metadata"]["policy"] == "pair-share"
        assert row["metadata"]["propensity"] == 1
        assert [c["content"] for c in row["completions"]] == [
            "You said: " + row["prompt"][0]["content"], "Another answer altogether"]
        assert [c["model"] for c in row["completions"]] == ["echo", "say:Another answer altogether"]
    assert len(gate.project.leases(gate.project.client("annotator"), 10)) == 6
    # another temperature of the same model, where no other is named
    same = Gate(server, models.url, pair_share=1)
    same.say("One question", model="count", user="u", temperature=0.1, seed=7)
    wait_until(lambda: same.project.progress()["comparisons"]["total"] == 1, 15, "the pair")
    assert models.requests[-1]["body"]["temperature"] == 1.0
    assert "seed" not in models.requests[-1]["body"]
    none = Gate(server, models.url)
    none.say("No pair of this", user="u")
    assert none.project.progress()["comparisons"]["total"] == 0
