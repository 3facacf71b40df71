"""The disk runs full under load: writes are refused, nothing acknowledged is lost, and once there
is room again everything works by itself."""
import json
import os
import threading
import time

import pytest

import faults
import ledger
from aileron import Client, Server, pair_rows, psql, wait_until
from annotators import Crowd

DISK_MIB = 320
PEOPLE = 20
FULL_SECONDS = 6


def fill(path):
    """Takes whatever is left, to the last block."""
    with open(path, "wb", buffering=0) as file:
        size = 1 << 20
        while size >= 512:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2


def big_rows(start):
    """2 MiB that do not compress."""
    return "".join(json.dumps({"prompt": f"big {n}", "completions": [
        {"content": os.urandom(32 * 1024).hex()}, {"content": "b"}]}) + "\n"
        for n in range(start, start + 32)).encode()


def import_until_refused(project, key):
    client = Client(project.server, key)
    for n in range(200):
        reply = project.import_text(big_rows(n * 32), client)
        if reply.status != 200:
            return reply
    raise AssertionError("the disk never ran full")


def database_writes(url):
    try:
        psql(url, "create temporary table room as select 1")
        return True
    except AssertionError:
        return False


def test_disk_full():
    with faults.small_disk(DISK_MIB) as disk:
        if disk is None:
            pytest.skip("nothing can be mounted here (it takes root and CAP_SYS_ADMIN)")
        with Server(data=disk) as server:
            run_full(server, disk)


def run_full(server, disk):
    project = server.project({"overlap": 3}, pair_rows(3000))
    other = server.project()
    key, other_key = project.key("owner"), other.key("owner")
    keys = [project.key("annotator") for _ in range(PEOPLE)]
    url = server.database_url()
    ledger.make_notes(url)
    crowd = Crowd(server.port, project.slug, keys, 3)
    crowd.leaving = 0
    thread = threading.Thread(target=crowd.run, args=(FULL_SECONDS + 25,), daemon=True)
    thread.start()
    wait_until(lambda: crowd.counts["acknowledged"] > 200, 30, "load")
    fill(disk / "filler")
    refused = import_until_refused(other, other_key)
    refused.problem(503)
    assert "retry-after" in refused.headers
    time.sleep(FULL_SECONDS)
    Client(server).raw("GET", "/healthz").expect(200)
    Client(server).raw("GET", "/static/app.css").expect(200)
    amid = crowd.counts["acknowledged"]
    (disk / "filler").unlink()
    begin = time.monotonic()
    wait_until(lambda: database_writes(url), 60, "the database")
    wait_until(lambda: crowd.counts["acknowledged"] > amid + 50, 60, "answers again")
    recovery = time.monotonic() - begin
    crowd.stopping = True
    thread.join(90)
    assert not thread.is_alive() and server.process.poll() is None
    Client(server, key).get(f"{project.path}/progress").expect(200)
    other.import_text(big_rows(0)).expect(200)
    found = ledger.violations(url, project.slug, crowd.acknowledged, crowd.refused)
    faults.record("disk full", acknowledged=crowd.counts["acknowledged"],
                  refused_meanwhile=crowd.counts["status 503"],
                  recovery_ms=round(recovery * 1000), violations=len(found))
    assert found == [] and crowd.wrong == [], (found[:20], crowd.wrong[:20])
