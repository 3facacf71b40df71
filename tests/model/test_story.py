"""From the project's database to a reward model: import, judge, freeze, train, evaluate, score; all
by the real server, its command line and aileron-rm."""
import hashlib
import json

import pytest

import aileron
import rm


@pytest.fixture(scope="module")
def project(server):
    """Comparisons that people judged through the interface, half of them, and the rest came with
    judgments: the answer with "yes" was preferred."""
    rows = rm.rows(120, seed=5)
    for number, row in enumerate(rows):
        row["group"] = f"user {number % 40}"
    asked = [{**row, "judgments": [], "priority": 9} for row in rows[:12]]
    made = aileron.Project(server, rows=[*rows[12:], *asked])
    for number in range(12):
        person = made.client("annotator")
        lease = made.leases(person)[0]
        slots = {c["slot"]: c["content"] for c in lease["task"]["candidates"]}
        wanted = next(slot for slot, text in slots.items() if "yes" in text.split())
        made.judge(person, lease, wanted if number else "tie").expect(201)
    return made


def database_url(server):
    return json.loads(server.cli("doctor", "--json").stdout)["database"]


def export(server, project, *more):
    return server.cli("export", "--project", project.slug, *more).stdout


def test_a_project_becomes_a_reward_model(server, project, tmp_path):
    server.cli("snapshot", "add", "first", "--project", project.slug)
    frozen = export(server, project, "--snapshot", "first")
    out = tmp_path / "model"
    rm.run("train", *rm.TINY, "--out", out, "--database", database_url(server), "--server-data",
           server.data, "--project", project.slug, "--snapshot", "first", "--batch", "8",
           "--epochs", "4")
    report = rm.report(out)
    origin = report["data"]["origin"]
    expected = hashlib.blake2b(frozen.encode(), digest_size=32).hexdigest()
    assert origin["hash"] == origin["snapshot_hash"] == expected
    assert origin["pseudonyms"] == "as exported" and origin["snapshot"] == "first"
    assert report["data"]["rows"] == 120 and report["data"]["without_judgment"] == 0
    trained = [line for line in export(server, project, "--split", "train").splitlines()]
    assert report["data"]["trained"] == len(trained)
    assert report["heldout"]["accuracy"] >= 0.8, report["heldout"]

    # what people say afterwards is not in the snapshot, and is evaluated by its group alone
    project.import_rows([{**row, "group": "somebody new"} for row in rm.rows(30, seed=6)])
    rm.run("eval", "--model", out, "--server-data", server.data, "--project", project.slug,
           *rm.SCORING, status=1)
    got = json.loads(rm.run("eval", "--model", out, "--server-data", server.data, "--project",
                            project.slug, "--skip-train-rows", "--json", *rm.SCORING).stdout)
    assert got["data"]["rows"] == 150 and got["data"]["left_out_because_trained"] == len(trained)
    assert got["accuracy"] >= 0.8 and got["pairs"] > 30
    names = {j["annotator"] for line in export(server, project).splitlines()
             for j in json.loads(line).get("judgments", [])}
    assert set(got["slices"]["annotator"]) <= names
    scored = rm.score(out, export(server, project, "--limit", "5").splitlines())
    assert all(len(row["scores"]) == len(row["completions"]) for row in scored)


def test_now_is_a_boundary_too(server, project, tmp_path):
    """Without a snapshot the ledger is read up to a boundary that the report names; reading it
    again up to there gives the same bytes, whatever has been added since."""
    common = ["--server-data", server.data, "--project", project.slug, "--batch", "32",
              "--split", "all"]
    whole = export(server, project)
    rm.run("train", *rm.TINY, "--out", tmp_path / "a", *common, "--steps", "2")
    origin = rm.report(tmp_path / "a")["data"]["origin"]
    assert origin["hash"] == hashlib.blake2b(whole.encode(), digest_size=32).hexdigest()
    assert origin["boundary"] > 0 and origin["snapshot"] is None

    process = rm.start("train", *rm.TINY, "--out", tmp_path / "b", *common, "--steps", "400",
                       "--checkpoint-every", "1")
    aileron.wait_until(lambda: (tmp_path / "b" / "checkpoints" / "current").exists(), 60)
    process.kill()
    process.communicate()
    project.import_rows(rm.rows(5, seed=10))
    again = rm.start("train", *rm.TINY, "--out", tmp_path / "b", *common, "--steps", "400",
                     "--checkpoint-every", "1", "--resume")
    log = tmp_path / "b" / "train.jsonl"
    begun = len(rm.read(log))
    aileron.wait_until(lambda: len(log.read_text("utf-8").splitlines()) > begun + 2
                       or again.poll() is not None, 60)
    again.terminate()
    _, errors = again.communicate()
    assert "--resume goes on" in errors, errors


def test_what_is_missing_is_named(server, project, tmp_path):
    common = ["train", *rm.TINY, "--out", tmp_path / "x"]
    url = database_url(server)
    for arguments, says in [
            (["--database", url, "--project", "nobody"], "--project"),
            (["--database", url, "--project", project.slug, "--snapshot", "none"], "--snapshot"),
            (["--database", "host=/nowhere dbname=x", "--project", "p"], "nowhere"),
            (["--server-data", tmp_path, "--project", "p"], "--server-data")]:
        done = rm.run(*common, *arguments, status=1)
        assert says in done.stderr, (arguments, done.stderr)
    keyless = tmp_path / "keyless"
    rm.run(*common[:-1], keyless, "--database", url, "--project", project.slug, "--steps", "1")
    assert rm.report(keyless)["data"]["origin"]["pseudonyms"] == "without the server's key"
