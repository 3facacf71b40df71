"""The database goes away and comes back: quick 503s meanwhile, recovery without a restart."""
import os
import signal
import subprocess
import time

import pytest

import faults
from aileron import Client, Postgres, Server, pair_rows, psql, wait_until

QUICK_SECONDS = 2  # for a refusal once the loss is known
NOTICE_SECONDS = 25  # until a database that hangs counts as gone: statement timeout and grace
BACK_SECONDS = 30


def refusals(server, project, key):
    """What a client gets while the database is away: quick 503s, and everything else as ever."""
    client = Client(server, key)
    for method, path, body in (("POST", f"{project.path}/leases", b'{"count":1}'),
                               ("GET", f"{project.path}/progress", None),
                               ("GET", f"{project.path}/export", None),
                               ("POST", f"{project.path}/import", b"{}\n")):
        begin = time.monotonic()
        reply = client.request(method, path, body, {"Content-Type": "application/json"})
        reply.problem(503)
        assert int(reply.headers["retry-after"]) >= 1
        assert time.monotonic() - begin < QUICK_SECONDS, path
    ready = client.raw("GET", "/readyz").expect(503)
    assert ready.json()["ready"] is False and "retry-after" in ready.headers
    client.raw("GET", "/healthz").expect(200)
    client.raw("GET", "/").expect(200)
    client.raw("GET", "/static/app.css").expect(200)
    client.raw("GET", "/metrics").expect(200)


def is_ready(server):
    return Client(server).raw("GET", "/readyz").status == 200


def all_ready(server):
    """Every worker: new connections spread over them."""
    return all(is_ready(server) for _ in range(12))


def works(server, project, key):
    """Takes a task and answers it; a connection that is just being lost may still cost a 503."""
    client = Client(server, key)

    def not_refused(ask):
        reply = ask()
        return reply.status != 503 and reply

    lease = wait_until(lambda: not_refused(lambda: client.post(f"{project.path}/leases")), 5) \
        .expect(200).json()["leases"][0]
    wait_until(lambda: not_refused(lambda: project.judge(client, lease)), 5).expect(200, 201)


def until_away(server):
    wait_until(lambda: not any(is_ready(server) for _ in range(12)), NOTICE_SECONDS, "the loss")


def start_again(postgres):
    """The throwaway cluster's postmaster anew, as it was started."""
    postgres.process = subprocess.Popen(postgres.process.args, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, start_new_session=True)


@pytest.fixture
def rented():
    """A server on a PostgreSQL of the test's own, which may be stopped for good."""
    postgres = Postgres()
    server = Server(database=postgres.database())
    yield postgres, server
    server.close()
    if postgres.process.poll() is None:
        postgres.close()


def test_stopped_for_good_and_started_again(rented):
    postgres, server = rented
    project = server.project(rows=pair_rows(20))
    key = project.key("owner")
    works(server, project, key)
    postgres.process.send_signal(signal.SIGINT)
    postgres.process.wait(20)
    until_away(server)
    time.sleep(1.5)  # also later, between two tries to connect
    for _ in range(3):
        refusals(server, project, key)
    pid = server.process.pid
    start_again(postgres)
    begin = time.monotonic()
    wait_until(lambda: all_ready(server), BACK_SECONDS, "recovery")
    seconds = time.monotonic() - begin
    works(server, project, key)
    assert server.process.pid == pid and server.process.poll() is None
    faults.record("database stopped", recovery_ms=round(seconds * 1000))


def test_killed_postmaster_is_replaced(own_server):
    project = own_server.project(rows=pair_rows(20))
    key = project.key("owner")
    works(own_server, project, key)
    for _ in range(2):
        before = own_server.postgres_pid()
        own_server.kill9_postgres()
        begin = time.monotonic()
        wait_until(lambda: own_server.postgres_pid() not in (before, None), BACK_SECONDS, "watch")
        wait_until(lambda: all_ready(own_server), BACK_SECONDS, "recovery")
        seconds = time.monotonic() - begin
        works(own_server, project, key)
    faults.record("postmaster killed", recovery_ms=round(seconds * 1000))


def test_a_database_that_hangs_is_noticed(own_server):
    project = own_server.project(rows=pair_rows(20))
    key = project.key("owner")
    works(own_server, project, key)
    with faults.frozen(own_server.postgres_pid()):
        begin = time.monotonic()
        reply = Client(own_server, key).post(f"{project.path}/leases", {"count": 1})
        noticed = time.monotonic() - begin
        reply.problem(503)
        assert noticed < NOTICE_SECONDS and "retry-after" in reply.headers
        Client(own_server).raw("GET", "/healthz").expect(200)
        until_away(own_server)
        for _ in range(2):
            refusals(own_server, project, key)
    wait_until(lambda: all_ready(own_server), BACK_SECONDS, "recovery")
    works(own_server, project, key)
    faults.record("database hangs", noticed_ms=round(noticed * 1000))


def test_terminated_connections_are_made_anew(own_server):
    project = own_server.project(rows=pair_rows(40))
    key = project.key("owner")
    url = own_server.database_url()
    for _ in range(10):
        psql(url, "select pg_terminate_backend(pid) from pg_stat_activity"
                  " where application_name like 'aileron%'")
        wait_until(lambda: Client(own_server, key).get(f"{project.path}/progress").status == 200,
                   5, "an answer")
    wait_until(lambda: all_ready(own_server), 5, "all connections")
    works(own_server, project, key)


@pytest.mark.parametrize("pid", [1, os.getpid()])
def test_locks_of_a_dead_postmaster_do_not_stop_the_next(own_server, pid):
    """After a power cut the numbers in its files belong to strangers."""
    own_server.kill9()
    postmaster = own_server.postgres_pid()
    os.kill(postmaster, signal.SIGKILL)
    faults.wait_ended(postmaster, 10)
    run = own_server.data / "run"
    for path in (own_server.data / "postgres" / "postmaster.pid",
                 run / ".s.PGSQL.5432.lock"):
        lines = path.read_text().split("\n")
        owner = path.stat()
        path.write_text("\n".join([str(pid), *lines[1:]]))
        os.chown(path, owner.st_uid, owner.st_gid)
    own_server.start()
    assert is_ready(own_server)
