"""Events and feedback told by applications: batched, idempotent, from any origin, by key only."""
import json
import threading
import time
import uuid

import pytest
from aileron import Client
from test_gateway import Gate, models  # noqa: F401  (the fixture)


def uuid7(ms=None):
    ms = int(time.time() * 1000) if ms is None else ms
    value = ms << 80 | 7 << 76 | uuid.uuid4().int & ((1 << 76) - 1)
    return str(uuid.UUID(int=value & ~(3 << 62) | 2 << 62))


@pytest.fixture
def gate(server, models):  # noqa: F811
    return Gate(server, models.url)


@pytest.fixture
def shown(gate):
    """A completion id that the gateway gave."""
    _, headers, _ = gate.ask("Show me something", user="u")
    return headers["x-aileron-completion-id"]


def event(completion, kind="copy", **more):
    return {"id": uuid7(), "completion_id": completion, "kind": kind, **more}


def test_a_batch_is_recorded_once_however_often_it_is_sent(gate, shown):
    client = Client(gate.server, gate.project.key("reporter"))
    batch = [event(shown, "view"), event(shown, "dwell", value=12.5), event(shown, "copy"),
             event(shown, "thumb_down", comment="<b>no</b>", at="2026-11-21T10:00:00Z")]
    ids = [item["id"] for item in batch]
    for _ in range(3):
        assert client.post("/events", {"events": batch}).expect(200).json()["accepted"] == ids
    rows = gate.sql("select f.id, f.kind, f.detail ->> 'value', f.detail ->> 'comment', "
                    "i.surface from feedback f join impression i on i.project_id = f.project_id "
                    "and i.id = f.impression_id where f.project_id = PROJECT order by f.id")
    assert sorted(row[0] for row in rows) == sorted(ids)
    assert {row[1]: (row[2], row[3]) for row in rows} == {
        "view": ("", ""), "dwell": ("12.5", ""), "copy": ("", ""), "thumb_down": ("", "<b>no</b>")}
    assert {row[4] for row in rows} == {"gateway"}


def test_what_is_not_the_projects_is_not_accepted(gate, shown, server, models):  # noqa: F811
    other = Gate(server, models.url)
    theirs = event(shown)
    mine = event(other.ask("mine", user="u")[1]["x-aileron-completion-id"])
    reply = Client(server, other.key).post("/events", {"events": [theirs, mine, event(uuid7())]})
    assert reply.expect(200).json()["accepted"] == [mine["id"]]
    assert gate.signals() == []


def test_a_beacon_from_another_origin(gate, shown):
    key = gate.project.key("reporter")
    body = json.dumps({"events": [event(shown, "leave")]}).encode()
    client = Client(gate.server)
    away = {"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://app.example",
            "Sec-Fetch-Site": "cross-site"}
    reply = client.raw("POST", f"/api/v1/events?key={key}", body, away).expect(200)
    assert reply.headers["access-control-allow-origin"] == "*"
    assert gate.signals() == ["leave"] and key not in gate.server.log()
    asked = client.raw("OPTIONS", "/api/v1/events", headers={
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST"}).expect(204)
    assert "POST" in asked.headers["access-control-allow-methods"]
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    # a cookie does not count here, so no other site can speak for who is signed in
    cookie = gate.project.owner.cookie
    client.raw("POST", "/api/v1/events", body, {**away, "Cookie": cookie}).problem(401)


def test_bad_events_are_refused_by_name(gate, shown):
    client = Client(gate.server, gate.key)
    for change, pointer in (({"kind": "guess"}, "/events/1/kind"),
                            ({"id": "x"}, "/events/1/id"),
                            ({"id": str(uuid.uuid4())}, "/events/1/id"),
                            ({"id": uuid7(0)}, "/events/1/id"),
                            ({"id": uuid7(int(time.time() * 1000) + 10 ** 9)}, "/events/1/id"),
                            ({"id": None}, "/events/1/id"),
                            ({"completion_id": None}, "/events/1/completion_id"),
                            ({"value": "much"}, "/events/1/value"),
                            ({"value": 1e300}, "/events/1/value"),
                            ({"at": "yesterday"}, "/events/1/at"),
                            ({"comment": "x" * 20000}, "/events/1/comment"),
                            ({"more": 1}, "/events/1/more")):
        batch = [event(shown), {**event(shown), **change}]
        client.post("/events", {"events": batch}).problem(422, pointer)
    client.post("/events", {"events": []}).problem(422, "/events")
    client.post("/events", {"events": [event(shown)] * 501}).problem(422, "/events")
    assert gate.signals() == [], "a batch with a bad event leaves nothing"


def test_feedback_on_one_completion(gate, shown):
    client = Client(gate.server, gate.key)
    said = {"completion_id": shown, "kind": "thumb_up", "comment": "Helped me"}
    first = client.post("/feedback", said).expect(201).json()
    assert gate.sql("select id, kind, detail ->> 'comment' from feedback where project_id = PROJECT"
                    ) == [[first["id"], "thumb_up", "Helped me"]]
    client.post("/feedback", {**said, "completion_id": uuid7()}).problem(404, "/completion_id")
    client.post("/feedback", {**said, "kind": "five_stars"}).problem(422, "/kind")
    client.post("/feedback", {"kind": "star", "completion_id": shown, "value": 4}).expect(201)
    again = {"id": uuid7(), "kind": "star", "completion_id": shown, "value": 5}
    assert client.post("/feedback", again).expect(201).json() == {"id": again["id"]}
    assert client.post("/feedback", again).expect(201).json() == {"id": again["id"]}
    assert gate.signals() == ["thumb_up", "star", "star"]


def test_a_reporters_key_may_do_nothing_else(gate, shown):
    key = gate.project.key("reporter")
    client = Client(gate.server, key)
    client.get(gate.project.path).problem(404)
    client.post(f"{gate.project.path}/leases", {"count": 1}).problem(404)
    link, response = gate.raw({"model": "echo", "messages": [{"role": "user", "content": "x"}]},
                              key=key)
    assert response.status == 403, response.read()
    link.close()
    client.post("/events", {"events": [event(shown)]}).expect(200)


def test_many_batches_at_once_are_all_there(gate, shown):
    key, accepted, lock = gate.project.key("reporter"), [], threading.Lock()

    def report():
        client = Client(gate.server, key)
        for _ in range(10):
            reply = client.post("/events", {"events": [event(shown) for _ in range(20)]})
            with lock:
                accepted.extend(reply.expect(200).json()["accepted"])

    threads = [threading.Thread(target=report) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = gate.sql("select id from feedback where project_id = PROJECT and kind = 'copy'")
    assert len(accepted) == 1600 and {row[0] for row in rows} == set(accepted)
