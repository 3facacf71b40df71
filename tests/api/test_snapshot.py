"""Snapshots: what was settled below a boundary, hashed, and the same for ever."""
import hashlib
import json
import threading

import pytest

from aileron import pair_rows, psql, unique


def hash_of(text):
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def take(project, name=None, **filters):
    body = {"name": name or unique("v"), **({"filters": filters} if filters else {})}
    return project.owner.post(f"{project.path}/snapshots", body).expect(201).json()


def verify(project, name):
    return project.owner.post(f"{project.path}/snapshots/{name}/verify").expect(200).json()


def judged(count, start=0):
    return pair_rows(count, start, judgments=[{"annotator": "w", "choice": 0}])


def test_a_snapshot_is_frozen(make_project):
    project = make_project(judged(20))
    before = project.export_text()
    snapshot = take(project, "v1")
    assert snapshot["hash"] == hash_of(before)
    assert (snapshot["comparisons"], snapshot["judgments"]) == (20, 20)
    project.import_rows(judged(5, 20))
    project.import_rows(pair_rows(3, judgments=[{"annotator": "late", "choice": 1}]))
    assert project.export_text() != before
    assert project.export_text(snapshot="v1") == before
    assert verify(project, "v1") == {"name": "v1", "ok": True, "expected": snapshot["hash"],
                                     "actual": snapshot["hash"], "erased_at": None}
    assert len(project.export_rows(format="trl-preference", snapshot="v1")) == 20


def test_later_corrections_do_not_reach_it(make_project):
    project = make_project(pair_rows(3))
    person = project.annotator()
    leases = project.leases(person, 3)
    ids = [project.judge(person, lease, "A").expect(201).json()["id"] for lease in leases]
    before = project.export_text()
    take(project, "v1")
    project.judge(person, leases[0], "B").expect(201)
    person.delete(f"/judgments/{ids[1]}").expect(204)
    assert project.export_text() != before
    assert project.export_text(snapshot="v1") == before and verify(project, "v1")["ok"]


def test_filters_belong_to_it(make_project):
    rows = [{**row, "tags": ["ko"] if n % 2 else []} for n, row in enumerate(judged(60))]
    project = make_project(rows)
    snapshot = take(project, "ko", tag="ko", min_judgments=1)
    assert snapshot["filters"] == {"tag": "ko", "min_judgments": "1"}
    assert snapshot["comparisons"] == 30
    assert hash_of(project.export_text(snapshot="ko")) == snapshot["hash"]
    assert project.export_text(snapshot="ko", tag="ko") == project.export_text(snapshot="ko")
    project.owner.get(f"{project.path}/export", snapshot="ko", tag="en").problem(422, "?tag")
    parts = [project.export_rows(snapshot="ko", split=s) for s in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 30


def test_what_has_been_tampered_with_is_found(own_server):
    project = own_server.project(rows=judged(5))
    take(project, "v1")
    assert verify(project, "v1")["ok"]
    own_server.sql("update completion set content = content || '!' where id = "
                   "(select completion_ids[1] from comparison order by id limit 1)")
    result = verify(project, "v1")
    assert not result["ok"] and result["actual"] != result["expected"]
    done = own_server.cli("snapshot", "verify", "v1", "--project", project.slug, check=False)
    assert done.returncode == 1 and "HAS CHANGED" in done.stdout


def test_a_transaction_that_is_still_open_cannot_slip_in(own_server):
    project = own_server.project(rows=judged(3))
    url = own_server.database_url()
    results = []

    def slow_writer():
        psql(url, "begin; update comparison set tags = '{late}' where id = "
                  "(select id from comparison order by id limit 1); select pg_sleep(2); commit")

    writer = threading.Thread(target=slow_writer)
    writer.start()
    taking = threading.Thread(target=lambda: results.append(take(project, "v1")))
    threading.Event().wait(0.7)
    taking.start()
    taking.join()
    writer.join()
    assert results[0]["hash"] == hash_of(project.export_text(snapshot="v1"))
    assert '"late"' in project.export_text(snapshot="v1")  # it had begun before, so it counts


def test_snapshots_under_a_stream_of_judgments_stay_what_they_are(make_project):
    project = make_project(pair_rows(200), overlap=3)
    people, stop = project.annotators(3), threading.Event()

    def work(person):
        while not stop.is_set():
            leases = project.leases(person, 5)
            if not leases:
                return
            for lease in leases:
                project.judge(person, lease, "A")

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    taken = [take(project) for _ in range(5)]
    stop.set()
    for thread in threads:
        thread.join()
    for snapshot in taken:
        assert verify(project, snapshot["name"])["ok"]
        assert hash_of(project.export_text(snapshot=snapshot["name"])) == snapshot["hash"]


@pytest.mark.parametrize("body, pointer", [
    ({}, "/name"), ({"name": ""}, "/name"), ({"name": "-x"}, "/name"), ({"name": "a b"}, "/name"),
    ({"name": "x" * 101}, "/name"), ({"name": "x", "filters": []}, "/filters"),
    ({"name": "x", "filters": {"limit": 1}}, "/filters/limit"),
    ({"name": "x", "filters": {"split": "dev"}}, "/filters/split"),
    ({"name": "x", "filters": {"tag": ["ko"]}}, "/filters/tag"), ({"name": "x", "y": 1}, "/y")])
def test_bad_snapshots_are_refused(project, body, pointer):
    project.owner.post(f"{project.path}/snapshots", body).problem(422, pointer)


def test_names_are_taken_once_and_listed(make_project):
    project = make_project(judged(2))
    take(project, "v1")
    project.owner.post(f"{project.path}/snapshots", {"name": "v1"}).problem(409, "/name")
    take(project, "v2")
    names = [item["name"] for item in
             project.owner.get(f"{project.path}/snapshots").expect(200).json()["items"]]
    assert names == ["v2", "v1"]
    project.owner.get(f"{project.path}/export", snapshot="v3").problem(404, "?snapshot")
    project.owner.post(f"{project.path}/snapshots/v3/verify").problem(404)
    project.client("annotator").get(f"{project.path}/snapshots").problem(403)


def test_the_command_does_the_same(make_project):
    project = make_project(judged(7))
    cli = project.server.cli
    made = json.loads(cli("snapshot", "add", "c1", "--project", project.slug, "--json").stdout)
    assert made["hash"] == hash_of(project.export_text(snapshot="c1"))
    exported = cli("export", "--project", project.slug, "--snapshot", "c1").stdout
    assert hash_of(exported) == made["hash"] and verify(project, "c1")["ok"]
    assert "c1 is as it was" in cli("snapshot", "verify", "c1", "--project", project.slug).stdout
    listed = json.loads(cli("snapshot", "list", "--project", project.slug, "--json").stdout)
    assert [item["name"] for item in listed] == ["c1"]
    for wrong in (["add"], ["add", "a b"], ["list", "x"], ["drop", "c1"], []):
        assert cli("snapshot", *wrong, "--project", project.slug, check=False).returncode == 2
    assert cli("snapshot", "add", "c1", "--project", project.slug, check=False).returncode == 1
    assert cli("snapshot", "verify", "c9", "--project", project.slug, check=False).returncode == 1
