"""The command line beside a running server, and on a data directory nobody serves."""
import json
import re
import signal
import subprocess
import time

import pytest

from aileron import BINARY, PASSWORD, Client, Server, process_alive, unique, wait_until


def run(*args, input=None):
    return subprocess.run([str(BINARY), *map(str, args)], input=input, capture_output=True,
                          text=True, check=False)


def test_every_command_explains_itself():
    commands = re.findall(r"^  ([a-z]+) ", run("--help").stdout, re.M)
    assert {"serve", "migrate", "user", "project", "member", "key", "doctor"} <= set(commands)
    for command in commands:
        done = run(command, "--help")
        assert done.returncode == 0 and f"aileron {command}" in done.stdout, command


@pytest.mark.parametrize("words", [
    [], ["nonsense"], ["user"], ["user", "add"], ["user", "remove", "x"], ["user", "add", "x", "y"],
    ["user", "add", "x", "--bogus"], ["user", "add", "x", "--name"], ["member", "add", "x"],
    ["member", "add", "x", "--project", "p", "--role", "king"], ["key", "add"], ["key", "list"],
    ["project", "add"], ["migrate", "now"], ["doctor", "please"], ["link"], ["serve", "now"],
])
def test_wrong_usage_exits_2_and_says_how(words):
    done = run(*words)
    assert done.returncode == 2, done
    assert done.stdout == "" and "aileron" in done.stderr


def test_a_sign_in_link_works_once(server):
    link = server.sign_in_link()
    assert link.startswith(server.url + "/signin#link=")
    account = Client(server).open_link(link).account
    assert account["admin"] is True
    token = link.split("=", 1)[1]
    Client(server).post("/session/link", {"token": token}).problem(410)


def test_links_lead_to_the_server_that_runs(server):
    for words in (["user", "add", unique("linked")], ["user", "add", unique("linked"), "--json"]):
        link = subprocess.run([str(BINARY), *words, *server._where()], capture_output=True,
                              text=True, check=True).stdout
        assert f"{server.url}/signin#link=" in link, link
    named = subprocess.run([str(BINARY), "user", "add", unique("linked"), *server._where(),
                            "--public-url", "https://a.example/"], capture_output=True, text=True,
                           check=True).stdout
    assert named.startswith("https://a.example/signin#link=")


def test_a_new_link_replaces_the_old(server):
    login = unique("linked")
    old = server.sign_in_link(login)
    new = server.cli("link", login, "--json")
    Client(server).post("/session/link", {"token": old.split("=", 1)[1]}).problem(410)
    assert Client(server).open_link(json.loads(new.stdout)["link"]).account["login"] == login
    assert server.cli("link", unique("nobody"), check=False).returncode == 1


def test_a_password_from_standard_input_signs_in(server):
    login = unique("typed")
    done = server.cli("user", "add", login, "--name", "Typed 이름", "--password-stdin", "--json",
                      input=PASSWORD + "\n")
    account = json.loads(done.stdout)
    assert account["link"] is None and account["name"] == "Typed 이름"
    assert Client(server).sign_in(login).account["id"] == account["id"]


@pytest.mark.parametrize("login, password, reason", [
    ("ab", PASSWORD, "/login"), ("Has Space", PASSWORD, "/login"),
    ("someone", "short", "10 to 1024"), ("someone", "x" * 1025, "10 to 1024"), ("someone", "", "10"),
])
def test_bad_accounts_are_refused(server, login, password, reason):
    done = server.cli("user", "add", login, "--password-stdin", input=password + "\n", check=False)
    assert done.returncode == 1 and reason in done.stderr, done


def test_a_taken_login_is_refused(server):
    login = server.add_user()
    done = server.cli("user", "add", login, check=False)
    assert done.returncode == 1 and "taken" in done.stderr


def test_projects_members_and_keys(server, tmp_path):
    slug, login = unique("cli"), server.add_user()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"overlap": 3, "question": "어느 쪽이 나은가?"}))
    added = server.cli("project", "add", slug, "--title", "From the command line",
                       "--settings", settings, "--json")
    assert json.loads(added.stdout)["slug"] == slug
    server.cli("member", "add", "--project", slug, login, "--role", "owner")
    key = server.cli("key", "add", "--project", slug, "--role", "annotator", "--name", "bot").stdout
    assert re.fullmatch(r"ak_[A-Za-z0-9_-]{43}\n", key)

    owner = Client(server).sign_in(login)
    project = owner.get(f"/projects/{slug}").expect(200).json()
    assert project["settings"]["overlap"] == 3 and project["role"] == "owner"
    assert Client(server, key.strip()).get("/session").expect(200).json()["key"]["role"] \
        == "annotator"
    actions = [entry["action"] for entry in owner.get(f"/projects/{slug}/audit").json()["items"]]
    assert {"project.add", "member.add", "key.add"} <= set(actions)


def test_options_come_from_the_environment_too(server, monkeypatch, tmp_path):
    slug = unique("env")
    monkeypatch.setenv("AILERON_TITLE", "From the environment")
    monkeypatch.setenv("AILERON_JSON", "true")
    assert json.loads(server.cli("project", "add", slug).stdout)["title"] == "From the environment"
    monkeypatch.setenv("AILERON_TITLE", "")
    assert json.loads(server.cli("project", "add", slug + "2").stdout)["title"] == slug + "2"
    monkeypatch.setenv("AILERON_PROJECT", slug)
    monkeypatch.setenv("AILERON_ROLE", "annotator")
    assert json.loads(server.cli("key", "add").stdout)["role"] == "annotator"
    assert json.loads(server.cli("key", "add", "--role", "owner").stdout)["role"] == "owner"
    assert server.cli("key", "add", "--json=no").stdout.startswith("ak_")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt":"p","completions":[{"content":"a"},{"content":"b"}]}\n')
    assert json.loads(server.cli("import", rows).stdout)["comparisons"] == 1
    monkeypatch.setenv("AILERON_MIN_JUDGMENTS", "1")
    assert server.cli("export").stdout == ""
    monkeypatch.setenv("AILERON_JSON", "perhaps")
    assert server.cli("key", "add", check=False).returncode == 2


def test_refusals_name_what_is_missing(server, tmp_path):
    slug = unique("gone")
    bad = tmp_path / "bad.json"
    bad.write_text('{"overlap": 0}')
    (tmp_path / "cut.json").write_text('{"overlap":')
    for words, reason in [
            (["member", "add", "--project", slug, "ann"], f"no project \"{slug}\""),
            (["key", "add", "--project", slug], "aileron project add"),
            (["project", "add", "Not-a-slug"], "/slug"),
            (["project", "add", slug, "--settings", bad], "/settings/overlap"),
            (["project", "add", slug, "--settings", tmp_path / "cut.json"], "cut.json: "),
            (["project", "add", slug, "--settings", tmp_path / "none.json"], "none.json")]:
        done = server.cli(*words, check=False)
        assert done.returncode == 1 and reason in done.stderr, (words, done)


def test_doctor_finds_a_healthy_server_healthy(server):
    server.sign_in_link()  # there is an administrator
    report = json.loads(server.cli("doctor", "--json").stdout)
    assert report["failed"] == 0
    checks = {check["check"]: check["status"] for check in report["checks"]}
    for name in ("database", "schema", "fsync", "synchronous_commit", "clock", "keys", "accounts",
                 "data_checksums", "encoding", "ledger", "partitions"):
        assert checks[name] == "ok", (name, report)
    assert report["database"] in server.cli("doctor").stdout  # for psql, pg_dump, aileron-rm


def test_doctor_says_what_is_wrong_and_how_to_mend_it(data_directory):
    data = data_directory
    done = run("doctor", "--data", data)
    assert done.returncode == 1 and "no database" in done.stdout and "mend:" in done.stdout
    assert not (data / "postgres").exists()  # looking makes nothing
    with Server(data=data) as server:
        server.stop()
        (data / "secret.key").chmod(0o644)
        done = run("doctor", "--data", data)
        assert done.returncode == 1 and "chmod 600" in done.stdout
    done = run("doctor", "--database", "host=/nonexistent")
    assert done.returncode == 1 and "cannot connect" in done.stdout


def test_a_command_on_an_unserved_directory_starts_and_stops_the_database(data_directory):
    data = data_directory
    done = run("user", "add", "early", "--admin", "--data", data)
    assert done.returncode == 0 and "/signin#link=" in done.stdout
    assert not (data / "postgres" / "postmaster.pid").exists()
    with Server(data=data) as server:
        assert Client(server).open_link(done.stdout.strip()).account["login"] == "early"


def test_an_interrupted_command_leaves_no_database_running(data_directory):
    data = data_directory
    run("project", "add", "waiting", "--data", data)
    pid_file = data / "postgres" / "postmaster.pid"
    assert not pid_file.exists()
    process = subprocess.Popen([str(BINARY), "import", "--project", "waiting", "--data", data, "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_until(lambda: pid_file.exists() and "ready" in pid_file.read_text(), 20, "the database")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 128 + signal.SIGINT
    assert not pid_file.exists()
    process.stdin.close()


def test_two_servers_cannot_share_a_directory(server):
    done = run("serve", "--listen", "127.0.0.1:0", "--data", server.data)
    assert done.returncode == 1 and str(server.process.pid) in done.stderr


# ---- what a crash leaves ----

def test_a_killed_server_comes_back_on_the_postgres_it_left():
    with Server() as server:
        login = server.add_user()
        postmaster = server.postgres_pid()
        server.kill9()
        assert process_alive(postmaster)
        server.start()
        assert server.postgres_pid() == postmaster  # adopted
        assert server.start_seconds < 5
        Client(server).sign_in(login)
        assert server.stop() == 0
        assert not process_alive(postmaster)  # and owned: stopped with the server


def test_a_killed_postgres_is_unavailable_then_back():
    with Server() as server:
        login = server.add_user()
        client = Client(server).sign_in(login)
        server.kill9_postgres()
        refused = wait_until(lambda: (reply := client.raw("GET", "/readyz")).status == 503 and reply,
                             10, "/readyz to fail")
        assert refused.json()["ready"] is False
        assert client.raw("GET", "/healthz").status == 200
        wait_until(lambda: client.raw("GET", "/readyz").status == 200, 30, "/readyz to come back")
        client.get("/session").expect(200)
        assert server.process.poll() is None


def test_start_on_an_existing_cluster_is_quick():
    with Server() as server:
        times = []
        for _ in range(3):
            server.stop()
            time.sleep(0.1)
            times.append(server.start().start_seconds)
        assert min(times) < 1.5, times
