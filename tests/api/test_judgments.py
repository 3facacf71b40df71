"""Judgments: every kind of answer, idempotence, revision, retraction, and what is refused."""
import pytest

from aileron import pair_rows

RANK_ROWS = [{"prompt": "Rank these.",
              "completions": [{"model": m, "content": f"Answer {m}"} for m in ("a", "b", "c")]}]
SETTINGS = {"criteria": [{"name": "helpful"}, {"name": "true"}], "flags": ["unsafe", "off topic"],
            "ratings": {"min": 1, "max": 7, "names": ["overall"]}}


@pytest.fixture
def rich(make_project):
    return make_project(pair_rows(12), **SETTINGS)


def slot_of(lease, word):
    return next(c["slot"] for c in lease["task"]["candidates"] if word in c["content"])


def exported(project, prompt):
    return next(row for row in project.export_rows(format="aileron") if row["prompt"] == prompt)


def test_the_same_body_again_is_the_same_judgment(project):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    lease = project.leases(client)[0]
    body = {"strength": 2, "duration_ms": 900}
    first = project.judge(client, lease, "A", **body).expect(201).json()
    assert first["lease_id"] == lease["id"] and first["revision"] is False
    for _ in range(3):
        again = project.judge(client, lease, "A", **body).expect(200).json()
        assert again["id"] == first["id"]
    assert project.progress()["judgments"]["total"] == 1


def test_another_body_is_a_revision_and_nothing_is_overwritten(project):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    lease = project.leases(client)[0]
    first = project.judge(client, lease, "A").expect(201).json()
    second = project.judge(client, lease, "tie").expect(201).json()
    assert second["revision"] is True and second["id"] != first["id"]
    row = project.export_rows(format="aileron")[0]
    assert [j["choice"] for j in row["judgments"]] == ["tie"]
    assert project.progress()["comparisons"]["complete"] == 1
    ledger = project.server.sql(f"select count(*) from feedback where impression_id = '{lease['id']}'")
    assert ledger == [["2"]]
    item = client.get(f"{project.path}/judgments?mine=true").json()["items"]
    assert len(item) == 1 and item[0]["choice"] == "tie" and item[0]["revisions"] == 1


def test_everything_an_annotator_can_say_comes_back_out(rich):
    client = rich.client("annotator")
    lease = rich.leases(client)[0]
    one, two = slot_of(lease, "one"), slot_of(lease, "two")
    body = {"choice": one, "strength": 3,
            "criteria": {"helpful": {"choice": two, "strength": 1}, "true": {"choice": "tie"}},
            "ratings": {one: {"overall": 6}, two: {"overall": 2}}, "flags": {two: ["unsafe"]},
            "rationale": "Weil's so ist 😀 \"quoted\" \\", "edits": {one: "A better answer."},
            "duration_ms": 4200}
    reply = client.put(f"/leases/{lease['id']}/judgment", body).expect(201).json()
    got = client.get(f"/judgments/{reply['id']}").expect(200).json()
    assert got["body"] == body
    assert got["task"]["candidates"] == lease["task"]["candidates"]
    judgment = exported(rich, lease["task"]["prompt"][0]["content"])["judgments"][0]
    assert judgment["choice"] == 0 and judgment["strength"] == 3
    assert judgment["criteria"] == {"helpful": {"choice": 1, "strength": 1}, "true": {"choice": "tie"}}
    assert judgment["ratings"] == {"0": {"overall": 6}, "1": {"overall": 2}}
    assert judgment["flags"] == {"1": ["unsafe"]} and judgment["edits"] == {"0": "A better answer."}
    assert judgment["rationale"] == body["rationale"] and judgment["duration_ms"] == 4200


@pytest.mark.parametrize("choice", ["A", "B", "tie", "both_bad", "cannot_judge"])
def test_every_choice_is_taken(project, choice):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    project.judge(client, project.leases(client)[0], choice).expect(201)
    assert project.progress()["choices"] == {choice: 1}


def test_a_ranking_with_ties(project):
    project.import_rows(RANK_ROWS)
    client = project.client("annotator")
    lease = project.leases(client)[0]
    assert lease["task"]["kind"] == "ranking"
    slots = {c["content"][-1]: c["slot"] for c in lease["task"]["candidates"]}
    put = lambda body: client.put(f"/leases/{lease['id']}/judgment", body)
    put({"choice": "A"}).problem(422, "/ranking")
    put({"ranking": [["A"], ["B"]]}).problem(422, "/ranking")
    put({"ranking": [["A", "B", "C", "A"]]}).problem(422, "/ranking")
    put({"ranking": [["A"], ["B"], ["D"]]}).problem(422, "/ranking")
    put({"ranking": [["A"], [], ["B", "C"]]}).problem(422, "/ranking")
    put({"ranking": "ABC"}).problem(422, "/ranking")
    put({"ranking": [[slots["b"]], [slots["a"], slots["c"]]]}).expect(201)
    judgment = project.export_rows(format="aileron")[0]["judgments"][0]
    assert [sorted(rank) for rank in judgment["ranking"]] == [[1], [0, 2]]
    pairs = project.export_rows(format="trl-preference")
    assert len(pairs) == 2


@pytest.mark.parametrize("body, pointer", [
    ({}, "/choice"), ({"choice": "C"}, "/choice"), ({"choice": "left"}, "/choice"),
    ({"choice": 1}, "/choice"), ({"choice": "A", "strength": 0}, "/strength"),
    ({"choice": "A", "strength": 4}, "/strength"), ({"choice": "tie", "strength": 1}, "/strength"),
    ({"choice": "A", "criteria": {"nope": {"choice": "A"}}}, "/criteria/nope"),
    ({"choice": "A", "criteria": {"helpful": {"choice": "C"}}}, "/criteria/helpful/choice"),
    ({"choice": "A", "criteria": {"helpful": "A"}}, "/criteria/helpful"),
    ({"choice": "A", "flags": {"A": ["nope"]}}, "/flags/A"),
    ({"choice": "A", "flags": {"C": ["unsafe"]}}, "/flags/C"),
    ({"choice": "A", "flags": ["unsafe"]}, "/flags"),
    ({"choice": "A", "ratings": {"C": {"overall": 1}}}, "/ratings/C"),
    ({"choice": "A", "ratings": {"A": {"overall": 7}, "B": {"overall": 8}}}, "/ratings/B/overall"),
    ({"choice": "A", "ratings": {"A": {"overall": 0}}}, "/ratings/A/overall"),
    ({"choice": "A", "ratings": {"A": {"other": 5}}}, "/ratings/A/other"),
    ({"choice": "A", "edits": {"C": "x"}}, "/edits/C"), ({"choice": "A", "edits": {"A": 5}}, "/edits"),
    ({"choice": "A", "rationale": 5}, "/rationale"), ({"choice": "A", "duration_ms": -1}, "/duration_ms"),
    ({"choice": "A", "unknown": True}, "/unknown"), ({"choice": "A", "ranking": [["A"], ["B"]]}, "/ranking"),
    ({"choice": "A", "rationale": "nul \u0000 inside"}, None),
])
def test_a_bad_judgment_is_refused_by_name_and_the_lease_stays(rich, body, pointer):
    client = rich.client("annotator")
    lease = rich.leases(client)[0]
    reply = client.put(f"/leases/{lease['id']}/judgment", body)
    assert reply.status in (400, 422)
    if pointer:
        reply.problem(422, pointer)
    assert rich.progress()["judgments"]["total"] == 0
    rich.judge(client, lease, "A").expect(201)


def test_without_a_scale_ratings_go_from_1_to_7(project):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    lease = project.leases(client)[0]
    for points, status in ((0, 422), (8, 422), (1, 201), (7, 201)):
        project.judge(client, lease, "A", ratings={"B": {"overall": points}}).expect(status)


def test_settings_decide_what_may_be_said(make_project):
    project = make_project(pair_rows(1), ties=False, both_bad=False, cannot_judge=False,
                           strength_levels=1, rationale="required", edits=False)
    client = project.client("annotator")
    lease = project.leases(client)[0]
    put = lambda body: client.put(f"/leases/{lease['id']}/judgment", body)
    for choice in ("tie", "both_bad", "cannot_judge"):
        put({"choice": choice, "rationale": "x"}).problem(422, "/choice")
    put({"choice": "A", "strength": 2, "rationale": "x"}).problem(422, "/strength")
    put({"choice": "A"}).problem(422, "/rationale")
    put({"choice": "A", "rationale": "x", "edits": {"A": "y"}}).problem(422, "/edits")
    put({"choice": "A", "rationale": "x"}).expect(201)


def test_a_withdrawn_answer_is_gone_from_exports_and_asked_of_others(project):
    project.import_rows(pair_rows(1))
    one, two = project.annotators(2)
    lease = project.leases(one)[0]
    judgment = project.judge(one, lease).expect(201).json()
    two.delete(f"/judgments/{judgment['id']}").problem(404)
    one.delete(f"/judgments/{judgment['id']}").expect(204)
    one.delete(f"/judgments/{judgment['id']}").expect(204)
    assert project.export_rows(format="trl-preference") == []
    progress = project.progress()
    assert progress["judgments"]["total"] == 0 and progress["retractions"] == 1
    item = one.get(f"{project.path}/judgments?mine=true").json()["items"][0]
    assert item["retracted"] is True
    assert project.leases(one) == []
    project.judge(two, project.leases(two)[0]).expect(201)
    project.judge(one, lease, "B").problem(409)


def test_a_withdrawn_answer_can_be_given_again_while_there_is_room(project):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    lease = project.leases(client)[0]
    judgment = project.judge(client, lease).expect(201).json()
    client.delete(f"/judgments/{judgment['id']}").expect(204)
    project.judge(client, lease, "B").expect(201)
    assert project.progress()["judgments"]["total"] == 1


def test_an_old_answer_cannot_be_withdrawn_behind_its_revision(project):
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    lease = project.leases(client)[0]
    first = project.judge(client, lease, "A").expect(201).json()
    second = project.judge(client, lease, "B").expect(201).json()
    client.delete(f"/judgments/{first['id']}").problem(409)
    project.owner.delete(f"/judgments/{second['id']}").expect(204)


def test_history_pages_newest_first(project):
    project.import_rows(pair_rows(7))
    client = project.client("annotator")
    given = []
    for lease in project.leases(client, 7):
        given.append(project.judge(client, lease).expect(201).json()["id"])
    seen, after = [], None
    while True:
        page = client.get(f"{project.path}/judgments?mine=true&limit=3"
                          + (f"&after={after}" if after else "")).expect(200).json()
        seen += [item["id"] for item in page["items"]]
        after = page["next"]
        if not after:
            break
    assert seen == given[::-1]
    client.get(f"{project.path}/judgments?mine=true&after=nonsense").problem(422, "?after")
    everybody = project.owner.get(f"{project.path}/judgments").expect(200).json()["items"]
    assert len(everybody) == 7 and everybody[0]["annotator"].startswith("key ")
    research = project.client("researcher").get(f"{project.path}/judgments").json()["items"]
    assert research[0]["annotator"].startswith("a-")


def test_the_ledger_refuses_to_be_rewritten(project):
    import aileron
    project.import_rows(pair_rows(1))
    client = project.client("annotator")
    project.judge(client, project.leases(client)[0]).expect(201)
    url = project.server.database_url()
    for statement in ("update feedback set choice = 1", "delete from feedback",
                      "update impression set shown = '{0,1}'"):
        with pytest.raises(AssertionError, match="append-only"):
            aileron.psql(url, statement)
