"""The gateway under kill -9 of server and database: who saw [DONE], or a whole answer, finds its row."""
import http.client
import json
import random
import threading
import time

import pytest
import upstream as scripted
from aileron import Server, unique, wait_until

CLIENTS, ROUNDS, SECONDS = 16, 5, 2.0


@pytest.fixture
def models():
    running = scripted.Upstream()
    yield running
    running.close()


class Load:
    """Clients that ask, streamed and not, and remember which completions were acknowledged."""

    def __init__(self, server, key):
        self.server, self.key = server, key
        self.acknowledged, self.refused, self.cut = [], 0, 0
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(CLIENTS)]

    def one(self, source):
        stream = source.random() < 0.6
        link = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        try:
            body = {"model": "echo", "stream": stream, "user": unique("u"),
                    "messages": [{"role": "user", "content": unique("words of a question")}]}
            link.request("POST", "/openai/v1/chat/completions", json.dumps(body),
                         {"Content-Type": "application/json",
                          "Authorization": f"Bearer {self.key}"})
            response = link.getresponse()
            raw = response.read()
            completion = response.headers.get("x-aileron-completion-id")
            whole = b"data: [DONE]" in raw if stream else response.status == 200
            with self.lock:
                if response.status == 200 and whole:
                    self.acknowledged.append(completion)
                else:
                    self.refused += 1
        except (OSError, http.client.HTTPException):
            with self.lock:
                self.cut += 1
            time.sleep(0.05)
        finally:
            link.close()

    def run(self, number):
        source = random.Random(number)
        while not self.stopping.is_set():
            self.one(source)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def make(server, models):
    project = server.project()
    project.owner.post(f"{project.path}/upstreams", {"name": "s", "url": models.url}).expect(201)
    return project, project.key("annotator")


def missing(server, project, load):
    stored = {row[0] for row in server.sql(
        "select a.id from answer a join project p on p.id = a.project_id "
        f"where p.slug = '{project.slug}'")}
    doubled = len(load.acknowledged) - len(set(load.acknowledged))
    return set(load.acknowledged) - stored, doubled


def test_kill_9_of_the_server_loses_no_acknowledged_answer(own_server, models):
    project, key = make(own_server, models)
    own_server.cli("doctor", check=False)
    with Load(own_server, key) as load:
        for round_number in range(ROUNDS):
            time.sleep(SECONDS * random.Random(round_number).uniform(0.5, 1))
            own_server.kill9()
            own_server.start()
        time.sleep(0.5)
    lost, doubled = missing(own_server, project, load)
    print(f"faults: gateway, server killed: kills {ROUNDS}, acknowledged "
          f"{len(load.acknowledged)}, refused {load.refused}, cut {load.cut}, lost {len(lost)}")
    assert len(load.acknowledged) > 100 and load.cut > 0
    assert lost == set() and doubled == 0


def test_a_database_that_dies_is_told_and_comes_back(own_server, models):
    project, key = make(own_server, models)
    with Load(own_server, key) as load:
        for _ in range(2):
            time.sleep(SECONDS)
            own_server.kill9_postgres()
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 50, 30, "answers after the recovery")
    lost, doubled = missing(own_server, project, load)
    print(f"faults: gateway, database killed: kills 2, acknowledged {len(load.acknowledged)}, "
          f"refused {load.refused}, cut {load.cut}, lost {len(lost)}")
    assert lost == set() and doubled == 0 and load.refused + load.cut > 0


def test_a_stream_whose_record_fails_says_so_and_has_no_done(own_server, models):
    _, key = make(own_server, models)
    link = http.client.HTTPConnection(own_server.host, own_server.port, timeout=60)
    link.request("POST", "/openai/v1/chat/completions", json.dumps(
        {"model": "slow", "stream": True, "messages": [
            {"role": "user", "content": " ".join(["word"] * 40)}]}),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    response = link.getresponse()
    first = response.read1(10)
    own_server.sql("alter table answer rename to answer_away")
    raw = first + response.read()
    own_server.sql("alter table answer_away rename to answer")
    assert b"[DONE]" not in raw and b"not_recorded" in raw, raw[-500:]


def test_stream_acknowledgement_can_be_chosen(models):
    with Server("--gateway-ack", "stream") as server:
        project, key = make(server, models)
        with Load(server, key) as load:
            time.sleep(1)
        assert load.acknowledged and load.refused == load.cut == 0
        wait_until(lambda: not missing(server, project, load)[0], 10, "the records")


def test_stop_under_load_records_what_was_acknowledged(own_server, models):
    project, key = make(own_server, models)
    with Load(own_server, key) as load:
        time.sleep(1.5)
        assert own_server.stop() == 0
        load.stopping.set()
    own_server.start()
    lost, doubled = missing(own_server, project, load)
    assert load.acknowledged and lost == set() and doubled == 0
