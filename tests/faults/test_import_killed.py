"""kill -9 in the middle of an import, of the command and of the server: the same file again adds
exactly what was missing."""
import json
import os
import random
import subprocess
import time

import faults
from aileron import BINARY, ROOT, Client, pair_rows, wait_until

ROWS = 40_000
KILLS = 4


def write_rows(path):
    judgment = {"annotator": "w1", "choice": 0, "at": "2026-01-01T00:00:00Z"}
    with open(path, "w", encoding="utf-8") as file:
        for row in pair_rows(ROWS):
            file.write(json.dumps({**row, "judgments": [judgment]}) + "\n")


def stored(server, slug):
    """(comparisons, judgments, judgments that are there twice)"""
    row = server.sql(f"""with p as (select id from project where slug = '{slug}')
        select (select count(*) from comparison c, p where c.project_id = p.id),
               (select count(*) from feedback f, p where f.project_id = p.id),
               (select count(*) from (select 1 from feedback f, p where f.project_id = p.id
                 group by f.comparison_id, f.annotator_id having count(*) > 1) twice)""")[0]
    return tuple(int(n) for n in row)


def check_complete(server, project, kept, again):
    assert again["refused"] in (0, [])
    assert (again["comparisons"], again["present"]) == (ROWS - kept[-1], kept[-1]), (again, kept)
    assert stored(server, project.slug) == (ROWS, ROWS, 0)
    assert any(0 < n < ROWS for n in kept), f"killed before or after the import only: {kept}"


def test_the_command_killed(own_server, tmp_path):
    project = own_server.project()
    path = tmp_path / "rows.jsonl"
    write_rows(path)
    command = [str(BINARY), "import", "--project", project.slug, "--json", str(path),
               "--data", str(own_server.data)]
    kept = []
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   cwd=ROOT, env={**os.environ, **own_server.env})
        before = stored(own_server, project.slug)[0]
        deadline = time.monotonic() + 10
        while (process.poll() is None and time.monotonic() < deadline
               and stored(own_server, project.slug)[0] <= before + ROWS // 10):
            time.sleep(random.uniform(0, 0.05))
        process.kill()
        process.wait()
        time.sleep(0.3)  # a batch that had been sent is still committed
        kept.append(stored(own_server, project.slug)[0])
    done = own_server.cli("import", "--project", project.slug, "--json", path)
    check_complete(own_server, project, kept, json.loads(done.stdout))
    faults.record("import command killed", kills=KILLS, rows=ROWS, kept=kept, twice=0)


def test_the_server_killed(own_server, tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path)
    lines = path.read_bytes()
    project = own_server.project()
    key = project.key("owner")
    kept = []
    for number in range(KILLS):
        sender = subprocess.Popen(["curl", "-sS", "-o", "/dev/null", "--limit-rate", "4M",
                                   "-H", f"Authorization: Bearer {key}", "-H", "Expect:",
                                   "-H", "Content-Type: application/x-ndjson",
                                   "--data-binary", f"@{path}",
                                   f"{own_server.url}/api/v1{project.path}/import"],
                                  stderr=subprocess.DEVNULL)
        before = stored(own_server, project.slug)[0]
        wait_until(lambda: stored(own_server, project.slug)[0] > before
                   or sender.poll() is not None, 20, "rows")
        if number % 2:
            own_server.kill9_postgres()
            sender.wait(60)
            wait_until(lambda: Client(own_server).raw("GET", "/readyz").status == 200, 30)
        own_server.kill9()
        sender.wait(60)
        own_server.start()
        kept.append(stored(own_server, project.slug)[0])
    again = project.import_text(lines, Client(own_server, key)).expect(200).json()
    check_complete(own_server, project, kept, again)
    faults.record("server killed while importing", kills=KILLS + KILLS // 2, rows=ROWS, kept=kept,
                  twice=0)
