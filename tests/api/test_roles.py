"""Who may do what: invites, members, keys, and what stays hidden from annotators."""
import pytest

from aileron import Client, PASSWORD, pair_rows, unique


def test_an_invite_makes_an_account_and_is_spent(server, project):
    token = project.invite()
    offer = Client(server).post("/invites/lookup", {"token": token}).expect(200).json()
    assert offer["project"]["slug"] == project.slug and offer["role"] == "annotator"
    client = Client(server)
    login = unique("w")
    client.post("/invites/accept", {"token": token}).problem(422, "/login")
    client.post("/invites/accept", {"token": token, "login": login, "password": "short"}) \
        .problem(422, "/password")
    session = client.post("/invites/accept", {"token": token, "login": login, "name": "W",
                                              "password": PASSWORD}).expect(201).json()
    assert session["projects"] == [{"slug": project.slug, "title": f"Project {project.slug}",
                                    "role": "annotator"}]
    Client(server).post("/invites/lookup", {"token": token}).problem(410)
    Client(server).post("/invites/accept", {"token": token, "login": unique("w"),
                                            "password": PASSWORD}).problem(410, "/token")


def test_a_taken_login_does_not_spend_the_invite(server, project):
    token = project.invite()
    taken = server.add_user()
    Client(server).post("/invites/accept", {"token": token, "login": taken, "password": PASSWORD}) \
        .problem(409, "/login")
    Client(server).post("/invites/lookup", {"token": token}).expect(200)


def test_somebody_signed_in_joins_with_the_token_alone(server, project):
    client = server.user()
    client.get(project.path).problem(404)
    client.post("/invites/accept", {"token": project.invite("researcher")}).expect(201)
    assert client.get(project.path).expect(200).json()["role"] == "researcher"


def test_an_ended_invite_lets_nobody_in(server, project):
    made = project.owner.post(f"{project.path}/invites", {"uses": 5}).expect(201).json()
    project.owner.delete(f"{project.path}/invites/{made['id']}").expect(204)
    Client(server).post("/invites/lookup", {"token": made["link"].split("#")[1]}).problem(410)


ANNOTATOR_MAY_NOT = [
    ("GET", "/export"), ("GET", "/members"), ("GET", "/invites"), ("GET", "/keys"),
    ("GET", "/audit"), ("GET", "/judgments"), ("GET", "/snapshots"), ("POST", "/import"),
    ("POST", "/invites"), ("POST", "/keys"), ("POST", "/members"), ("PATCH", ""),
]


@pytest.mark.parametrize("kind", ["account", "key"])
def test_an_annotator_may_only_annotate(project, kind):
    project.import_rows(pair_rows(2))
    client = project.annotator() if kind == "account" else project.client("annotator")
    for method, path in ANNOTATOR_MAY_NOT:
        body = None if method == "GET" else {}
        client.request(method, project.path + path, body).problem(403)
    assert len(project.leases(client)) == 1
    client.get(f"{project.path}/judgments?mine=true").expect(200)
    progress = client.get(f"{project.path}/progress").expect(200).json()
    assert "annotators" not in progress and "choices" not in progress


def test_a_researcher_exports_but_does_not_manage(project):
    client = project.client("researcher")
    client.get(f"{project.path}/export").expect(200)
    client.get(f"{project.path}/members").expect(200)
    for path in ("/invites", "/keys", "/audit"):
        client.get(project.path + path).problem(403)
    client.patch(project.path, {"title": "Mine"}).problem(403)


def test_annotators_never_see_models_or_each_other(project):
    project.owner.patch(project.path, {"settings": {"overlap": 2}}).expect(200)
    project.import_rows(pair_rows(3, metadata={"secret": "origin"}, tags=["hidden-tag"]))
    one, two = project.annotator(), project.annotator()
    for client in (one, two):
        reply = client.post(f"{project.path}/leases", {"count": 3}).expect(200)
        assert "model-one" not in reply.text and "hidden-tag" not in reply.text
        assert "origin" not in reply.text and "metadata" not in reply.text
        for lease in reply.json()["leases"]:
            project.judge(client, lease, rationale="because of " + client.login).expect(201)
    mine = one.get(f"{project.path}/judgments?mine=true")
    assert two.login not in mine.text and "model-one" not in mine.text
    theirs = two.get(f"{project.path}/judgments?mine=true").json()["items"][0]
    one.get(f"/judgments/{theirs['id']}").problem(404)
    one.put(f"/leases/{theirs['lease_id']}/judgment", {"choice": "B"}).problem(404)
    one.delete(f"/judgments/{theirs['id']}").problem(404)


def test_projects_do_not_leak_into_each_other(server, project, make_project):
    project.import_rows(pair_rows(1))
    other = make_project(pair_rows(1))
    key = other.client("owner")
    for path in ("", "/export", "/progress", "/members"):
        key.get(project.path + path).problem(404)
    lease = project.leases(project.client("annotator"))[0]
    other.client("annotator").put(f"/leases/{lease['id']}/judgment", {"choice": "A"}).problem(404)


def test_a_role_that_is_taken_away_counts_at_once(project):
    project.import_rows(pair_rows(5))
    client = project.annotator("researcher")
    client.get(f"{project.path}/export").expect(200)
    member = f"{project.path}/members/{client.account['id']}"
    project.owner.patch(member, {"role": "annotator"}).expect(200)
    client.get(f"{project.path}/export").problem(403)
    lease = project.leases(client)[0]
    project.owner.delete(member).expect(204)
    client.put(f"/leases/{lease['id']}/judgment", {"choice": "A"}).problem(404)
    client.get(project.path).problem(404)


def test_a_revoked_key_is_dead_at_once(project):
    client = project.client("researcher")
    client.get(project.path).expect(200)
    key = project.owner.get(f"{project.path}/keys").json()["items"][0]
    assert "key" not in key and key["prefix"].startswith("ak_")
    project.owner.delete(f"{project.path}/keys/{key['id']}").expect(204)
    client.get(project.path).problem(401)


def test_the_last_owner_stays(server):
    creator = server.user()
    slug = unique("p")
    creator.post("/projects", {"slug": slug}).expect(201)
    me = f"/projects/{slug}/members/{creator.account['id']}"
    creator.patch(me, {"role": "annotator"}).problem(409)
    creator.delete(me).problem(409)
    second = server.user()
    creator.post(f"/projects/{slug}/members", {"login": second.login, "role": "owner"}).expect(201)
    creator.patch(me, {"role": "researcher"}).expect(200)
    creator.post(f"/projects/{slug}/members", {"login": "nobody-here", "role": "owner"}).problem(403)


def test_the_audit_log_names_who_did_what(project):
    project.owner.patch(project.path, {"settings": {"overlap": 3}}).expect(200)
    project.key()
    items = project.owner.get(f"{project.path}/audit").expect(200).json()["items"]
    actions = [item["action"] for item in items]
    assert actions[:2] == ["key.add", "project.change"] and "project.add" in actions
    assert items[0]["actor"] == project.owner.login
    url = project.server.database_url()
    with pytest.raises(AssertionError, match="append-only"):
        __import__("aileron").psql(url, "update audit set actor = 'nobody'")
    with pytest.raises(AssertionError, match="append-only"):
        __import__("aileron").psql(url, "delete from audit")
