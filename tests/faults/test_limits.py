"""More than the limits allow: 503 or 429 with Retry-After, quickly, and recovery afterwards."""
import asyncio
import collections
import concurrent.futures
import contextlib
import socket
import subprocess
import time

import pytest

import faults
from aileron import Client, Server, pair_rows, wait_until
from annotators import Connection

IN_FLIGHT_MAX = 1024  # of one worker (worker.c)
REQUESTS = 1500
QUICK_SECONDS = 2


@pytest.fixture
def one_worker(postgres):
    with Server("--workers", "1", database=postgres.database()) as server:
        yield server


def check_refusal(reply, status):
    reply.problem(status)
    assert int(reply.headers["retry-after"]) >= 1


@contextlib.contextmanager
def locked(server, table):
    """Whoever wants to write to the table waits."""
    blocker = subprocess.Popen(["psql", "-X", "-q", server.database_url()], stdin=subprocess.PIPE,
                               text=True)
    blocker.stdin.write(f"begin; lock table {table} in exclusive mode;\n")
    blocker.stdin.flush()
    time.sleep(0.5)
    try:
        yield
    finally:
        blocker.stdin.write("rollback;\n")
        blocker.stdin.close()
        blocker.wait(10)


async def ask_at_once(server, project, keys, count):
    """That many requests for a task at the same time: [(status, headers, seconds)]"""
    async def one(key):
        connection = Connection(server.port, key)
        begin = time.monotonic()
        status, headers, _ = await connection.request("POST", f"{project.path}/leases",
                                                      {"count": 1})
        connection.close()
        return status, headers, time.monotonic() - begin

    return await asyncio.gather(*(one(keys[n % len(keys)]) for n in range(count)))


def test_more_requests_than_may_be_in_flight(one_worker):
    project = one_worker.project(rows=pair_rows(3000))
    keys = [project.key("annotator") for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with locked(one_worker, "comparison"):
            flood = pool.submit(lambda: asyncio.run(ask_at_once(one_worker, project, keys,
                                                                REQUESTS)))
            for _ in range(6):
                time.sleep(0.5)
                Client(one_worker, timeout=QUICK_SECONDS).raw("GET", "/healthz").expect(200)
        replies = flood.result()
    statuses = collections.Counter(status for status, _, _ in replies)
    refused = [(headers, seconds) for status, headers, seconds in replies if status == 503]
    assert set(statuses) <= {200, 503}, statuses
    assert all("retry-after" in headers for headers, _ in refused)
    quick = [seconds for _, seconds in refused if seconds < QUICK_SECONDS + 3]
    assert len(quick) >= (REQUESTS - IN_FLIGHT_MAX) // 2, "the refusals were no quick ones"
    wait_until(lambda: Client(one_worker, keys[0]).post(f"{project.path}/leases").status == 200,
               20, "recovery")
    wait_until(lambda: one_worker.metrics()["aileron_http_in_flight"] <= 1, 20, "the end")
    again = asyncio.run(ask_at_once(one_worker, project, keys, 200))
    assert {status for status, _, _ in again} == {200}
    faults.record("too many requests", requests=REQUESTS, refused=len(refused),
                  refused_quickly=len(quick), afterwards_refused=0)


def test_more_exports_than_there_are_connections_for(one_worker):
    rows = [{"prompt": f"q{n}", "completions": [{"content": f"{n}" + "long " * 2000},
                                                {"content": f"{n}" + "text " * 2000}]}
            for n in range(1500)]
    project = one_worker.project(rows=rows)
    key = project.key("researcher")
    links = []
    for _ in range(4):
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect((one_worker.host, one_worker.port))
        link.sendall(f"GET /api/v1{project.path}/export HTTP/1.1\r\nHost: x\r\n"
                     f"Authorization: Bearer {key}\r\n\r\n".encode())
        assert b" 200 " in link.recv(4096)
        links.append(link)
    check_refusal(Client(one_worker, key).get(f"{project.path}/export"), 503)
    for link in links:
        link.close()
    export = f"{project.path}/export"
    wait_until(lambda: Client(one_worker, key).get(export).status == 200, 20, "a free slot")


def test_more_requests_than_the_rate_allows(postgres):
    with Server(database=postgres.database(), env={"AILERON_RATE_LIMIT": "20"}) as server:
        project = server.project(rows=pair_rows(10))
        client, other = project.client("owner"), project.client("owner")
        replies = [client.get(f"{project.path}/members") for _ in range(100)]
        refused = [reply for reply in replies if reply.status != 200]
        assert 30 <= len(refused) < 100
        for reply in refused:
            check_refusal(reply, 429)
        other.get(f"{project.path}/members").expect(200)
        time.sleep(int(refused[-1].headers["retry-after"]))
        client.get(f"{project.path}/members").expect(200)


def test_more_connections_than_may_be_open(postgres):
    with Server("--workers", "1", "--connections", "64", database=postgres.database()) as server:
        client = server.client()
        client.raw("GET", "/healthz").expect(200)
        links = []
        for _ in range(150):
            with contextlib.suppress(OSError):
                links.append(socket.create_connection((server.host, server.port), timeout=5))
        begin = time.monotonic()
        client.raw("GET", "/healthz").expect(200)  # who is in stays in
        assert time.monotonic() - begin < QUICK_SECONDS
        for link in links:
            link.close()
        wait_until(lambda: answers(server), 20, "room for new connections")
        assert server.process.poll() is None


def answers(server):
    try:
        return Client(server, timeout=2).raw("GET", "/healthz").status == 200
    except OSError:
        return False
