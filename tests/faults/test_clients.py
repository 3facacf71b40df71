"""Clients that vanish, drip and never read: the server stays well and everybody else is served."""
import contextlib
import json
import socket
import struct
import threading
import time

import pytest

import faults
from aileron import Client, pair_rows, wait_until

QUICK_SECONDS = 1.0  # for the others, while somebody misbehaves, on a noisy machine
DRIP_SECONDS = 45  # one request may take: 30 for its body, and a few to be told so
MEMORY_KIB = 64 * 1024  # that misbehaving may cost


@pytest.fixture(scope="module")
def served(request):
    """One durable server with a project whose export is far larger than any buffer."""
    server = request.getfixturevalue("server")
    rows = [{"prompt": f"Question {n}", "completions": [{"content": f"{n} " + "long " * 1000},
                                                        {"content": f"{n} " + "text " * 1000}]}
            for n in range(5000)]
    project = server.project(rows=rows)
    return server, project, project.key("owner")


def leave(link, abruptly):
    """Closes; abruptly with a reset instead of an orderly end."""
    if abruptly:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def head(method, path, key, *more):
    lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextlib.contextmanager
def nothing_left_behind(server):
    """Descriptors, connections and requests are as before, once everybody has left."""
    files = faults.open_files(server)
    before = server.metrics()

    def settled():
        now = server.metrics()
        return (now["aileron_http_in_flight"] <= before["aileron_http_in_flight"]
                and now["aileron_http_connections"] <= before["aileron_http_connections"]
                and faults.open_files(server) <= files + 8)  # connections kept for exports

    yield
    wait_until(settled, 40, f"the end of all connections ({files} files, {before})")


@contextlib.contextmanager
def others_are_served(server, project, key):
    """Measures somebody else's requests meanwhile; yields the list of seconds."""
    seconds, over = [], threading.Event()

    def ask():
        client = Client(server, key)
        while not over.wait(0.05):
            begin = time.monotonic()
            client.post(f"{project.path}/leases", {"count": 1}).expect(200)
            seconds.append(time.monotonic() - begin)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    yield seconds
    over.set()
    thread.join(20)
    assert not thread.is_alive() and seconds
    usual = sorted(seconds)[int(len(seconds) * 0.95)]
    assert usual < QUICK_SECONDS, f"the others waited {usual:.2f} s"


@pytest.mark.parametrize("abruptly", [False, True])
def test_gone_in_the_middle_of_everything(served, abruptly):
    server, project, key = served
    lease = Client(server, key).post(f"{project.path}/leases").expect(200).json()["leases"][0]
    body = b'{"choice":"A"}'
    judge = head("PUT", f"/leases/{lease['id']}/judgment", key, "Content-Type: application/json",
                 f"Content-Length: {len(body)}")
    export = head("GET", f"{project.path}/export", key)
    with nothing_left_behind(server):
        for round_ in range(25):
            for piece, wait in ((judge[:30], 0), (judge[:-2], 0), (judge, 0.01),
                                (judge + body[:7], 0.01), (judge + body, 0),
                                (export, 0.002 * round_)):
                link = server.connect()
                link.sendall(piece)
                time.sleep(wait)
                leave(link, abruptly)
        for _ in range(10):
            link = server.connect()
            link.sendall(export)
            assert len(link.recv(65536)) > 0  # it has begun, and is full at our end
            leave(link, abruptly)
    client = Client(server, key)
    client.put(f"/leases/{lease['id']}/judgment", {"choice": "A"}).expect(200)  # had arrived
    assert len(server.sql("select id from feedback where kind = 'judgment' and impression_id = "
                          f"'{lease['id']}'")) == 1
    faults.record("clients gone", connections=160, abruptly=abruptly, left_behind=0)


@pytest.mark.parametrize("abruptly", [False, True])
def test_gone_in_the_middle_of_an_import(server, abruptly):
    project = server.project()
    key = project.key("owner")
    lines = "".join(json.dumps(row) + "\n" for row in pair_rows(6000)).encode()
    with nothing_left_behind(server):
        for part in (0.3, 0.6, 0.9):
            link = server.connect()
            link.sendall(head("POST", f"{project.path}/import?format=aileron", key,
                              "Content-Type: application/x-ndjson",
                              f"Content-Length: {len(lines)}"))
            link.sendall(lines[:int(len(lines) * part)])
            time.sleep(0.5)  # a reset throws away what has not been read yet
            leave(link, abruptly)
    count = f"select count(*) from comparison c join project p on p.id = c.project_id " \
            f"where p.slug = '{project.slug}'"
    kept = int(server.sql(count)[0][0])
    assert kept > 0, "nothing of what had arrived was kept"
    result = project.import_text(lines).expect(200).json()
    assert result["comparisons"] + result["present"] == 6000 and result["present"] == kept
    assert server.sql(count) == [["6000"]]
    assert project.import_text(lines).expect(200).json()["present"] == 6000
    faults.record("import cut off", rows=6000, kept=kept, added_by_resending=result["comparisons"],
                  twice=0)


def drip(server, data, start, seconds):
    """Sends `start`, then a byte each 0.2 s; the seconds until the server had enough."""
    begin = time.monotonic()
    with server.connect() as link:
        link.sendall(start)
        link.settimeout(0.2)
        for byte in data:
            try:
                link.sendall(bytes([byte]))
                link.recv(65536)  # an answer before the end, or the end itself
                break
            except TimeoutError:
                if time.monotonic() - begin > seconds:
                    return None
            except OSError:
                break
    return time.monotonic() - begin


def test_dripping_clients_are_bounded_and_others_served(served):
    server, project, key = served
    length = 10_000
    body_head = head("POST", f"{project.path}/leases", key, "Content-Type: application/json",
                     f"Content-Length: {length}")[:-2]  # over the limit of that address
    judge_head = head("PUT", "/leases/01900000-0000-7000-8000-000000000000/judgment", key,
                      "Content-Type: application/json", f"Content-Length: {length}")
    cases = [(b"GET /api/v1/session HTTP/1.1\r\nX: ", b"a" * length)] * 15
    cases += [(body_head, b"\r\n" + b"a" * length)] * 5
    cases += [(judge_head, b" " * length)] * 15
    memory = faults.memory_kib(server)
    ended = [None] * len(cases)

    def run(index):
        ended[index] = drip(server, cases[index][1], cases[index][0], DRIP_SECONDS)

    with nothing_left_behind(server), others_are_served(server, project, key) as seconds:
        threads = [threading.Thread(target=run, args=(n,)) for n in range(len(cases))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
    assert None not in ended, f"somebody could drip too long: {ended}"
    grown = faults.memory_kib(server) - memory
    assert grown < MEMORY_KIB
    faults.record("dripping clients", clients=len(cases), longest_s=round(max(ended)),
                  others_requests=len(seconds),
                  others_p95_ms=round(sorted(seconds)[int(len(seconds) * 0.95)] * 1000),
                  memory_grown_kib=grown)


def test_exports_nobody_reads_cost_nothing_but_their_slot(served):
    server, project, key = served
    memory = faults.memory_kib(server)
    links = []
    with nothing_left_behind(server), others_are_served(server, project, key) as seconds:
        for _ in range(4):
            link = socket.socket()
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.connect((server.host, server.port))
            link.sendall(head("GET", f"{project.path}/export", key))
            links.append(link)
        time.sleep(6)
        grown = faults.memory_kib(server) - memory
        for link in links:
            link.close()
    assert grown < MEMORY_KIB, f"{grown} KiB for exports nobody reads"
    faults.record("exports nobody reads", exports=len(links), memory_grown_kib=grown,
                  others_p95_ms=round(sorted(seconds)[int(len(seconds) * 0.95)] * 1000))
