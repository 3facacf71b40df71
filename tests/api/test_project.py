"""Projects and their settings: what is taken, what is refused and where it points."""
import pytest

from aileron import pair_rows, unique

DEFAULTS = {"strength_levels": 3, "ties": True, "both_bad": True, "overlap": 1, "lease_seconds": 900,
            "criteria": [], "flags": [], "kind": "auto", "rationale": "optional"}


def test_a_project_has_defaults_and_keeps_what_is_given(server, admin):
    slug = unique("p")
    made = admin.post("/projects", {"slug": slug, "settings": {"overlap": 3}}).expect(201).json()
    assert made["title"] == slug and made["settings"]["overlap"] == 3
    for name, value in {**DEFAULTS, "overlap": 3}.items():
        assert made["settings"][name] == value
    changed = admin.patch(f"/projects/{slug}", {"title": "A title", "settings": {
        "ties": False, "instructions": "Be **fair**.",
        "criteria": [{"name": "helpful", "label": "Helpful"}]}}).expect(200).json()
    assert changed["title"] == "A title" and changed["settings"]["overlap"] == 3
    assert changed["settings"]["ties"] is False
    assert "<strong>fair</strong>" in changed["settings"]["instructions_html"]
    assert admin.get(f"/projects/{slug}").json() == changed


def test_a_setting_that_is_null_is_its_default(project):
    project.import_rows(pair_rows(2))
    fresh = project.owner.get(project.path).json()["settings"]
    project.owner.patch(project.path, {"settings": {"overlap": 3, "ties": False}}).expect(200)
    assert project.progress()["judgments"]["wanted"] == 6
    nulls = dict.fromkeys(set(fresh) - {"instructions_html"})
    changed = project.owner.patch(project.path, {"title": None, "settings": nulls}).expect(200)
    assert changed.json()["settings"] == fresh
    assert project.progress()["judgments"]["wanted"] == 2
    client = project.client("annotator")
    project.judge(client, project.leases(client)[0], "tie").expect(201)
    made = project.owner.post("/projects", {"slug": unique("p"), "settings": nulls}).expect(201)
    assert made.json()["settings"] == fresh


@pytest.mark.parametrize("settings, pointer", [
    ({"overlap": 0}, "/settings/overlap"), ({"overlap": 101}, "/settings/overlap"),
    ({"overlap": "3"}, "/settings/overlap"), ({"overlap": 1.5}, "/settings/overlap"),
    ({"strength_levels": 4}, "/settings/strength_levels"),
    ({"lease_seconds": 29}, "/settings/lease_seconds"), ({"kind": "duel"}, "/settings/kind"),
    ({"ties": 1}, "/settings/ties"), ({"unknown": 1}, "/settings/unknown"),
    ({"criteria": [{"name": "Bad Name"}]}, "/settings/criteria/0/name"),
    ({"criteria": [{"name": "a"}, {"name": "a"}]}, "/settings/criteria/1/name"),
    ({"criteria": [{"label": "no name"}]}, "/settings/criteria/0/name"),
    ({"flags": ["x", "x"]}, "/settings/flags/1"), ({"flags": [""]}, "/settings/flags/0"),
    ({"ratings": {"min": 5, "max": 5, "names": ["o"]}}, "/settings/ratings/max"),
    ({"question": ""}, "/settings/question"), ({"instructions": "x" * 65537}, "/settings/instructions"),
    ({"gold_share": 0.1}, "/settings/gold_share"),
])
def test_bad_settings_are_refused_by_name_and_cost_nothing(project, settings, pointer):
    before = project.owner.get(project.path).json()
    project.owner.patch(project.path, {"title": "new", "settings": settings}).problem(422, pointer)
    assert project.owner.get(project.path).json() == before


@pytest.mark.parametrize("body, status, pointer", [
    ({"slug": "Has Space"}, 422, "/slug"), ({"slug": ""}, 422, "/slug"), ({}, 422, "/slug"),
    ({"slug": "-dash"}, 422, "/slug"), ({"slug": "a" * 64}, 422, "/slug"),
    ({"slug": "ok-slug", "title": ""}, 422, "/title"), ({"slug": 5}, 422, "/slug"),
    ({"slug": "ok-slug", "extra": 1}, 422, "/extra"),
])
def test_bad_projects_are_refused(admin, body, status, pointer):
    admin.post("/projects", body).problem(status, pointer)


def test_a_slug_is_taken_once(admin, project):
    admin.post("/projects", {"slug": project.slug}).problem(409, "/slug")


def test_lists_page(server):
    person = server.user()
    slugs = sorted(unique("list") for _ in range(5))
    for slug in slugs:
        person.post("/projects", {"slug": slug}).expect(201)
    seen, after = [], None
    while True:
        page = person.get("/projects", limit=2, **({"after": after} if after else {})).expect(200).json()
        seen += [item["slug"] for item in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == slugs
    person.get("/projects?limit=0").problem(422, "?limit")
    person.get("/projects?limit=201").problem(422, "?limit")
    person.get("/projects?limit=x").problem(422, "?limit")


def test_a_new_overlap_reaches_what_is_queued(project):
    project.import_rows(pair_rows(2))
    people = project.annotators(3)
    for lease in project.leases(people[0], 5):
        project.judge(people[0], lease).expect(201)
    assert project.leases(people[1], 5) == []
    project.owner.patch(project.path, {"settings": {"overlap": 2}}).expect(200)
    assert project.leases(people[0], 5) == []
    assert len(project.leases(people[1], 5)) == 2
    assert project.leases(people[2], 5) == []


def test_progress_counts(project):
    project.import_rows(pair_rows(4))
    client = project.annotator()
    for lease in project.leases(client, 3):
        project.judge(client, lease, "A", duration_ms=2000).expect(201)
    got = project.owner.get(f"{project.path}/progress").expect(200).json()
    assert got["comparisons"] == {"total": 4, "complete": 3, "open": 1, "in_progress": 0}
    assert got["judgments"]["total"] == 3 and got["judgments"]["wanted"] == 4
    assert got["judgments"]["mine"] == 0 and got["median_duration_ms"] == 2000
    assert got["rate_per_hour"] == 3 and got["seconds_left"] == 1200
    assert [point["judgments"] for point in got["series"]] == [3]
    assert got["annotators"][0]["judgments"] == 3 and got["choices"] == {"A": 3}
    mine = client.get(f"{project.path}/progress").expect(200).json()
    assert mine["judgments"]["mine"] == 3 and mine["judgments"]["mine_today"] == 3


@pytest.mark.parametrize("path", ["keys", "invites", "audit", "snapshots"])
def test_a_cursor_that_no_list_gave_is_refused_by_name(project, path):
    project.owner.get(f"{project.path}/{path}?after=nonsense").problem(422, "?after")
