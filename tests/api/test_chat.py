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
