"""Export: lossless in the native shape, filters, splits, sums, and what leaves no trace of names."""
import gzip
import json

import pytest

from aileron import make_directory, pair_rows, unique

RICH = [
    {"key": "k1", "prompt": [{"role": "system", "content": "Be brief."},
                             {"role": "user", "content": "안녕? </script> \u2028 \"q\"",
                              "name": "bob"}],
     "completions": [{"model": "m-a", "content": "A", "metadata": {"b": 1, "a": [1, 2.5, None]}},
                     {"model": "m-b", "content": "B"}, {"content": ""}],
     "tags": ["ko", 'a"b\\c', "x y, {z}", "NULL"], "group": "user-7", "metadata": {"z": 1, "a": {}},
     "gold": {"choice": 0}, "priority": 5,
     "judgments": [
         {"annotator": "w17", "choice": 0, "strength": 2, "ranking": [[0], [1, 2]],
          "shown": [1, 0, 2], "at": "2026-11-21T10:00:00.123456+09:00", "duration_ms": 4200,
          "rationale": "because", "criteria": {"style": {"choice": 1, "strength": 3},
                                               "a": {"choice": "tie"}},
          "flags": {"1": ["rude"]}, "ratings": {"0": {"overall": 5, "b": 1}},
          "edits": {"2": "better"}, "metadata": {"n": 1.5}, "source": "annotate"},
         {"annotator": "w18", "choice": "tie"},
         {"annotator": "w18", "choice": "both_bad", "at": "2026-11-21T10:00:00Z",
          "source": "implicit:retry-v1"},
         {"annotator": "a-abcdefghijklmnop", "choice": "cannot_judge"}]},
    {"prompt": "plain", "completions": [{"content": "x"}, {"content": "y"}], "metadata": {}},
    {"completions": [{"model": "m1"}, {"model": "m2"}], "group": "g",
     "judgments": [{"annotator": "v", "choice": 1, "criteria": {}, "flags": {}}]},
]


def judged(count, *choices):
    return [{**row, "judgments": [{"annotator": f"w{i}", "choice": choice}
                                  for i, choice in enumerate(choices)]}
            for row in pair_rows(count)]


# ---- the native shape ----

def test_export_import_elsewhere_and_export_again_is_the_same_bytes(make_project, own_server):
    first, second = make_project(RICH), make_project()
    text = first.export_text()
    second.import_text(text).expect(200)
    assert second.export_text() == text
    other = own_server.project()  # another server, with another key for pseudonyms
    other.import_text(text).expect(200)
    assert other.export_text() == text
    assert first.import_text(text).json()["present"] == 3  # and nobody appears twice
    assert first.export_text() == text


def test_nothing_is_lost(make_project):
    rows = make_project(RICH).export_rows(identify="true")
    assert len(rows) == 3
    for got, given in zip(rows, RICH):
        judgments = got.pop("judgments", [])
        assert got == {k: v for k, v in given.items() if k != "judgments"}
        assert len(judgments) == len(given.get("judgments", []))
    first = next(j for j in make_project(RICH).export_rows(identify="true")[0]["judgments"]
                 if j["annotator"] == "w17")
    assert first == {**RICH[0]["judgments"][0], "at": "2026-11-21T01:00:00.123456Z"}


def test_own_judgments_move_with_their_answers(make_project):
    project = make_project(pair_rows(4), overlap=2)
    person = project.annotator()
    for lease in project.leases(person, 4):
        project.judge(person, lease, "A", strength=3, rationale="clear",
                      duration_ms=1200).expect(201)
    text = project.export_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert all(j["source"] == "annotate" and sorted(j["shown"]) == [0, 1] and
               j["choice"] == j["shown"][0] and j["rationale"] == "clear"
               for row in rows for j in row["judgments"])
    elsewhere = make_project(overlap=2)
    elsewhere.import_text(text).expect(200)
    assert elsewhere.export_text() == text
    assert elsewhere.progress()["judgments"]["total"] == 4
    assert project.import_text(text).json()["judgments"] == 0
    assert project.export_text() == text


def test_only_standing_judgments_leave(make_project):
    project = make_project(pair_rows(2))
    person = project.annotator()
    one, two = project.leases(person, 2)
    project.judge(person, one, "A").expect(201)
    project.judge(person, one, "B").expect(201)
    second = project.judge(person, two, "A").expect(201).json()
    person.delete(f"/judgments/{second['id']}").expect(204)
    rows = project.export_rows()
    assert [len(row.get("judgments", [])) for row in rows].count(1) == 1
    (only,) = [j for row in rows for j in row.get("judgments", [])]
    assert only["choice"] == only["shown"][1]


# ---- names ----

def test_names_leave_for_owners_only_and_when_asked(make_project):
    project = make_project(judged(1, 0))
    person = project.annotator()
    project.judge(person, project.leases(person)[0], "A").expect(201)
    text = project.export_text()
    assert person.login not in text and '"w0"' not in text
    names = {j["annotator"] for j in project.export_rows(identify="true")[0]["judgments"]}
    assert names == {"w0", person.login}
    researcher = project.client("researcher")
    researcher.get(f"{project.path}/export", identify="true").problem(403, "?identify")
    assert project.export_text(researcher) == text


def test_pseudonyms_are_stable_and_tell_people_apart(make_project):
    project = make_project(judged(3, 0, 1))
    names = [[j["annotator"] for j in row["judgments"]] for row in project.export_rows()]
    assert len({name for row in names for name in row}) == 2
    assert all(name.startswith("a-") and len(name) == 18 for row in names for name in row)


def test_annotators_do_not_export(project):
    project.client("annotator").get(f"{project.path}/export").problem(403)


def test_an_export_is_noted(make_project):
    project = make_project(judged(1, 0))
    project.export_text(format="trl-preference", split="train")
    log = project.owner.get(f"{project.path}/audit").expect(200).json()["items"]
    entry = next(item for item in log if item["action"] == "export")
    assert entry["subject"] == "trl-preference" and entry["detail"]["split"] == "train"


# ---- pair shapes ----

def test_ties_and_refusals_to_choose(make_project):
    project = make_project(judged(1, 0, "tie", "both_bad", "cannot_judge"))
    pairs = project.export_rows(format="trl-preference")
    assert len(pairs) == 1 and set(pairs[0]) == {"prompt", "chosen", "rejected"}
    kept = project.export_rows(format="trl-preference", ties="keep")
    assert [row["tie"] for row in kept].count(True) == 1 and len(kept) == 2
    labels = [row["label"] for row in project.export_rows(format="trl-unpaired")]
    assert sorted(labels) == [False, False, False, True]
    assert len(project.export_rows()[0]["judgments"]) == 4
    assert len(project.export_rows(ties="drop")[0]["judgments"]) == 3


def test_rankings_become_all_their_pairs(make_project):
    project = make_project([{"prompt": "p", "completions": [{"content": c} for c in "abcd"],
                             "judgments": [{"annotator": "w", "ranking": [[2], [0, 3], [1]]}]}])
    pairs = {(row["chosen"], row["rejected"])
             for row in project.export_rows(format="trl-preference", text="plain")}
    assert pairs == {("c", "a"), ("c", "d"), ("c", "b"), ("a", "b"), ("d", "b")}


def test_margins_follow_the_strength(make_project):
    rows = pair_rows(3)
    for n, row in enumerate(rows):
        row["judgments"] = [{"annotator": "w", "choice": 0, "strength": n + 1}]
    margins = [row["margin"] for row in make_project(rows).export_rows(format="trl-preference",
                                                                       margin="true")]
    assert margins == pytest.approx([1 / 3, 2 / 3, 1])


def test_majorities(make_project):
    rows = [*judged(1, 0, 0, 1), *judged(2, 0, 1)[1:], *judged(3, "both_bad", "both_bad", 0)[2:]]
    project = make_project(rows)
    assert len(project.export_rows(format="trl-preference")) == 6
    pairs = project.export_rows(format="trl-preference", aggregate="majority", text="plain")
    assert [(row["chosen"], row["rejected"]) for row in pairs] == [
        ("Answer one to 0.", "Answer two to 0.")]
    native = project.export_rows(aggregate="majority")
    assert [row["judgments"][0]["choice"] for row in native] == [0, "tie", "both_bad"]
    assert all(row["judgments"][0]["annotator"] == "majority" for row in native)


def test_a_reliable_minority_can_outweigh_careless_votes(make_project):
    rows = []
    for n, row in enumerate(pair_rows(300)):
        careless = [(n * 7 + k * k) % 2 for k in (1, 2, 3, 5)]
        votes = {"good1": 0, "good2": 0, "good3": 0 if n % 10 else 1,
                 **{f"dice{k}": c for k, c in enumerate(careless)}}
        if n == 0:
            votes = {"good1": 0, "good2": 0, "dice0": 1, "dice1": 1, "dice2": 1}
        row["judgments"] = [{"annotator": a, "choice": c} for a, c in votes.items()]
        rows.append(row)
    project = make_project(rows)
    path = {"format": "trl-preference", "text": "plain", "limit": 1}
    majority = project.export_rows(**path, aggregate="majority")[0]
    model = project.export_rows(**path, aggregate="model")[0]
    assert majority["chosen"] == "Answer two to 0." and model["chosen"] == "Answer one to 0."


# ---- filters ----

def test_splits_are_disjoint_complete_and_by_group(make_project):
    rows = [{**row, "group": f"g{n % 40}"} for n, row in enumerate(judged(400, 0))]
    project = make_project(rows)
    parts = {name: project.export_rows(split=name) for name in ("train", "validation", "test")}
    groups = {name: {row["group"] for row in part} for name, part in parts.items()}
    assert sum(len(part) for part in parts.values()) == 400
    assert not groups["train"] & groups["test"] and not groups["train"] & groups["validation"]
    assert not groups["validation"] & groups["test"]
    assert 24 <= len(groups["train"]) <= 38


def test_filters(make_project):
    rows = judged(4, 0)
    rows[0]["judgments"][0]["at"] = "2026-03-01T00:00:00Z"
    rows[1]["judgments"][0]["at"] = "2026-05-01T00:00:00Z"
    rows[1]["judgments"].append({"annotator": "x", "choice": 1, "source": "implicit:retry-v1"})
    rows[2]["tags"] = ["ko", "long"]
    rows[3]["judgments"] = []
    project = make_project(rows)
    keys = lambda **query: [row["prompt"].split()[1][:-1] for row in project.export_rows(**query)]
    assert keys() == ["0", "1", "2", "3"]
    assert keys(tag="ko") == ["2"] and keys(tag="k") == []
    assert keys(min_judgments=1) == ["0", "1", "2"] and keys(min_judgments=2) == ["1"]
    assert keys(since="2026-04-01") == ["1"] and keys(since="2026-03-01T00:00:00Z") == ["0", "1"]
    assert keys(limit=2) == ["0", "1"]
    implicit = project.export_rows(source="implicit", min_judgments=1)
    assert [j["source"] for row in implicit for j in row["judgments"]] == ["implicit:retry-v1"]
    assert len(project.export_rows(format="trl-preference", source="explicit")) == 3
    assert len(project.export_rows(format="trl-preference", source="all")) == 4
    assert len(project.export_rows(format="trl-preference", limit=2)) == 2


@pytest.mark.parametrize("query", [
    {"format": "votes"}, {"format": "x"}, {"split": "dev"}, {"ties": "half"}, {"aggregate": "mean"},
    {"source": "x"}, {"since": "yesterday"}, {"min_judgments": "-1"}, {"limit": "0"},
    {"limit": "1e3"}, {"text": "html"}, {"identify": "yes"}, {"margin": "2"}, {"splits": "test"},
    {"Format": "hh"}, {"": "x"}, {"태그": "x"}])
def test_wrong_filters_are_refused(project, query):
    project.owner.get(f"{project.path}/export", **query).problem(422, f"?{next(iter(query))}")


def test_an_empty_project_exports_nothing(project):
    for name in ("aileron", "trl-preference", "trl-implicit", "trl-unpaired", "hh"):
        assert project.export_text(format=name) == ""


# ---- the transfer ----

def test_a_download_is_named_and_packed(make_project):
    project = make_project(judged(50, 0))
    reply = project.owner.request("GET", f"{project.path}/export", None,
                                  {"Accept-Encoding": "gzip"}).expect(200)
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert reply.headers["content-disposition"] == \
        f'attachment; filename="{project.slug}-aileron.jsonl"'
    assert gzip.decompress(reply.content).decode() == project.export_text()


def test_a_reader_that_leaves_costs_nothing(make_project):
    rows = [{**row, "metadata": {"pad": "x" * 5000}} for row in judged(2000, 0)]
    project = make_project(rows)
    client = project.client()
    for _ in range(8):  # more than there are streams
        with project.server.connect() as sock:
            sock.sendall(f"GET /api/v1{project.path}/export HTTP/1.1\r\nHost: x\r\n"
                         f"Authorization: Bearer {client.key}\r\n\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert len(project.export_rows()) == 2000


def test_the_command_exports_the_same(make_project):
    project = make_project(judged(20, 0, "tie"))
    cli, folder = project.server.cli, make_directory("aileron-export-")
    assert cli("export", "--project", project.slug).stdout == project.export_text()
    out = folder / "pairs.jsonl"
    cli("export", "--project", project.slug, "--format", "trl-preference", "--ties", "keep",
        "--out", out)
    assert out.read_text() == project.export_text(format="trl-preference", ties="keep")
    assert cli("export", "--project", project.slug, "--identify").stdout == \
        project.export_text(identify="true")
    assert [p.name for p in folder.iterdir()] == ["pairs.jsonl"]
    counted = cli("export", "--project", project.slug, "--out", out, "--json")
    assert json.loads(counted.stdout) == {
        "out": str(out), "comparisons": 20, "judgments": 40, "lines": 20,
        "bytes": out.stat().st_size}
    counted = cli("export", "--project", project.slug, "--json")
    assert counted.stdout == project.export_text()
    assert json.loads(counted.stderr.splitlines()[-1])["out"] is None
    nothing = cli("export", "--project", project.slug, "--tag", "none", "--format", "hh")
    assert nothing.stdout == "" and "nothing to export" in nothing.stderr
    for wrong in (["--format", "votes"], ["--split", "x"], ["--limit", "x"], ["extra"]):
        assert cli("export", "--project", project.slug, *wrong, check=False).returncode == 2
    assert cli("export", "--project", unique("no"), check=False).returncode == 1
    assert cli("export", "--project", project.slug, "--out", "/nowhere/x",
               check=False).returncode == 1
