"""Signing in and out: cookies, one-time links, limits, and what a stranger can learn."""
import statistics
import time

from aileron import Client, PASSWORD, Server, unique


def cookie_of(reply):
    return next(c for c in reply.cookies if c.startswith("aileron_session="))


def test_sign_in_sets_a_cookie_that_scripts_cannot_read(server):
    login = server.add_user()
    reply = Client(server).post("/session", {"login": login, "password": PASSWORD}).expect(200)
    cookie = cookie_of(reply)
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie
    assert reply.json()["account"]["login"] == login
    assert "password" not in reply.text.replace("has_password", "")


def test_a_proxy_must_be_trusted_before_its_word_counts(server):
    login = server.add_user()
    body = {"login": login, "password": PASSWORD}
    reply = Client(server).request("POST", "/session", body, {"X-Forwarded-Proto": "https"})
    assert "Secure" not in cookie_of(reply.expect(200))
    with Server("--trusted-proxies", "127.0.0.1", database=server.database_url()) as behind:
        reply = Client(behind).request("POST", "/session", body, {"X-Forwarded-Proto": "https"})
        assert "Secure" in cookie_of(reply.expect(200))


def test_signing_in_again_rotates_the_token(server):
    client = server.user()
    old = client.cookie
    client.sign_in(client.login)
    assert client.cookie != old
    stale = Client(server)
    stale.cookie = old
    stale.get("/session").problem(401)
    client.get("/session").expect(200)


def test_sign_out_everywhere_ends_every_session_at_once(server):
    one = server.user()
    two = Client(server).sign_in(one.login)
    two.get("/session").expect(200)
    one.delete("/session?everywhere=true").expect(204)
    two.get("/session").problem(401)
    assert one.cookie is None


def test_wrong_login_and_wrong_password_look_the_same_and_take_as_long(server):
    login = server.add_user()
    times = {"wrong password": [], "wrong login": []}
    bodies = {}
    for _ in range(4):
        for name, who in (("wrong password", login), ("wrong login", unique("nobody"))):
            client = Client(server)
            begin = time.monotonic()
            problem = client.post("/session", {"login": who, "password": "not the password"}) \
                .problem(401)
            times[name].append(time.monotonic() - begin)
            bodies[name] = (problem["title"], problem["detail"], problem["type"])
    assert bodies["wrong password"] == bodies["wrong login"]
    wrong, unknown = (statistics.median(times[n]) for n in ("wrong password", "wrong login"))
    assert 0.5 < wrong / unknown < 2, times


def test_a_link_works_once(server):
    link = server.sign_in_link()
    first = Client(server).open_link(link)
    assert first.account["admin"] is True and first.account["has_password"] is False
    token = link.split("#link=", 1)[1]
    Client(server).post("/session/link", {"token": token}).problem(410, "/token")
    Client(server).post("/session/link", {"token": "x" * 43}).problem(410)


def test_tries_are_limited_by_login_and_by_address(server):
    with Server(database=server.database_url(), env={"AILERON_RATE_LIMIT": "1000"}) as limited:
        login = server.add_user()
        statuses = [Client(limited).post("/session", {"login": login, "password": "wrong wrong"})
                    for _ in range(40)]
        last = statuses[-1]
        assert last.status == 429, [s.status for s in statuses]
        assert int(last.headers["retry-after"]) >= 1


def test_a_new_password_ends_the_other_sessions(server):
    one = server.user()
    two = Client(server).sign_in(one.login)
    one.patch("/account", {"password": "another long secret"}).problem(422, "/current_password")
    one.patch("/account", {"password": "short", "current_password": PASSWORD}).problem(422, "/password")
    one.patch("/account", {"password": "another long secret", "current_password": "wrong one"}) \
        .problem(422, "/current_password")
    one.patch("/account", {"password": "another long secret", "current_password": PASSWORD}).expect(200)
    two.get("/session").problem(401)
    one.get("/session").expect(200)
    Client(server).sign_in(one.login, "another long secret")


def test_preferences_are_kept_and_bounded(server):
    client = server.user()
    keys = {"keys": {"tie": "x"}, "language": "ko"}
    reply = client.patch("/account", {"preferences": keys}).expect(200).json()
    assert reply["account"]["preferences"] == keys
    client.patch("/account", {"preferences": {"x": "y" * 20000}}).problem(422, "/preferences")
    assert client.get("/session").json()["account"]["preferences"] == keys


def test_unsafe_requests_with_a_cookie_must_come_from_here(server):
    client = server.user()
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}):
        client.request("PATCH", "/account", {"name": "Mallory"}, headers).problem(403)
    assert client.get("/session").json()["account"]["name"] != "Mallory"
    client.request("PATCH", "/account", {"name": "Me"}, {"Sec-Fetch-Site": "same-origin"}).expect(200)


def test_a_disabled_account_is_out_at_once(server):
    admin, client = server.admin(), server.user()
    client.get("/session").expect(200)
    admin.patch(f"/accounts/{client.account['id']}", {"disabled": True}).expect(200)
    client.get("/session").problem(401)
    Client(server).post("/session", {"login": client.login, "password": PASSWORD}).problem(401)


def test_administrators_make_accounts_with_links(server):
    admin = server.admin()
    login = unique("new")
    made = admin.post("/accounts", {"login": login, "name": "New Person"}).expect(201).json()
    assert made["account"]["login"] == login and made["link"].startswith("/signin#link=")
    assert made["expires_at"].endswith("Z")
    newcomer = Client(server).open_link(made["link"])
    newcomer.patch("/account", {"password": "a long enough secret"}).expect(200)
    newcomer.get("/accounts").problem(403)
    admin.post("/accounts", {"login": login}).problem(409, "/login")
    admin.post("/accounts", {"login": "No Spaces!"}).problem(422, "/login")
    again = admin.post(f"/accounts/{made['account']['id']}/link").expect(201).json()
    Client(server).open_link(again["link"])
    assert any(item["login"] == login for item in
               admin.get("/accounts", limit=200).expect(200).json()["items"])
