"""The real server for tests: a process on a free port with a data directory of its own.

Server     starts, kills, restarts and removes it; runs the command line beside it
Client     JSON over one connection, with an API key or a session cookie
Project    a fresh project with its owner, keys, members and imports
Postgres   a throwaway cluster without fsync, for tests that need a database fast and not durable
Only the standard library is used, so that odd requests stay possible (Server.connect).
"""
import glob
import http.client
import itertools
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("AILERON_BINARY", ROOT / "build" / "aileron")).absolute()
PASSWORD = "correct horse battery"
START_SECONDS = 60
STOP_SECONDS = 60
_numbers = itertools.count(1)


def unique(prefix):
    return f"{prefix}-{next(_numbers)}-{uuid.uuid4().hex[:8]}"


def wait_until(condition, seconds=20, what="the condition"):
    """Polls until condition() is truthy and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.02)


def process_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def make_directory(prefix):
    """A temporary directory that an unprivileged account can pass through (root's cluster)."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o711)
    return path


class Reply:
    """status, headers (lower case), content, text, json()."""

    def __init__(self, response, content):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.cookies = [value for name, value in response.getheaders()
                        if name.lower() == "set-cookie"]
        self.content = content

    @property
    def text(self):
        return self.content.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)

    def expect(self, *statuses):
        assert self.status in statuses, f"{self.status} instead of {statuses}: {self.text[:2000]}"
        return self

    def problem(self, status, pointer=None):
        """A problem+json of that status; with a pointer, at that place."""
        self.expect(status)
        assert self.headers["content-type"].startswith("application/problem+json"), self.headers
        body = self.json()
        assert body["status"] == status and body["title"] and body["request_id"], body
        if pointer is not None:
            assert body.get("pointer") == pointer, body
        return body

    def __repr__(self):
        return f"<Reply {self.status} {self.text[:200]}>"


class Client:
    """One connection, not shared between threads; api paths are relative to /api/v1."""

    def __init__(self, server, key=None, timeout=60):
        self.server, self.key, self.timeout = server, key, timeout
        self.cookie = None
        self.connection = None
        self.account = None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def raw(self, method, path, body=None, headers=None):
        """Any path, any body (bytes or an iterable of bytes); follows nothing."""
        headers = dict(headers or {})
        lower = {name.lower() for name in headers}
        if self.key and "authorization" not in lower:
            headers["Authorization"] = f"Bearer {self.key}"
        if self.cookie and "cookie" not in lower:
            headers["Cookie"] = self.cookie
            if method not in ("GET", "HEAD") and "origin" not in lower:
                headers["Origin"] = self.server.url
        for attempt in (1, 2):
            fresh = self.connection is None
            if fresh:
                self.connection = http.client.HTTPConnection(self.server.host, self.server.port,
                                                             timeout=self.timeout)
            try:
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()  # a kept connection may have been closed while it was idle
                if fresh or attempt == 2 or not isinstance(body, (bytes, type(None))):
                    raise
        reply = Reply(response, response.read())
        if response.will_close:
            self.close()
        for cookie in reply.cookies:
            if cookie.startswith("aileron_session="):
                value = cookie.split(";", 1)[0]
                self.cookie = value if value != "aileron_session=" else None
        return reply

    def request(self, method, path, body=None, headers=None):
        """`body` is sent as JSON unless it is bytes."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
            headers.setdefault("Content-Type", "application/json")
        return self.raw(method, "/api/v1" + path, body, headers)

    def get(self, path, **query):
        if query:
            path += ("&" if "?" in path else "?") + urllib.parse.urlencode(query)
        return self.request("GET", path)

    def post(self, path, body=None, **options):
        return self.request("POST", path, {} if body is None else body, **options)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def patch(self, path, body):
        return self.request("PATCH", path, body)

    def delete(self, path):
        return self.request("DELETE", path)

    def sign_in(self, login, password=PASSWORD):
        self.account = self.post("/session", {"login": login, "password": password}) \
            .expect(200).json()["account"]
        return self

    def open_link(self, link):
        token = link.split("#link=", 1)[1]
        self.account = self.post("/session/link", {"token": token}).expect(200).json()["account"]
        return self


class Postgres:
    """A throwaway cluster: no fsync, unix socket only; `database()` makes a new database."""

    def __init__(self):
        self.directory = make_directory("aileron-pg-")
        self.binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"),
                               key=lambda path: int(path.split("/")[-2]))[-1]
        self.account = "postgres" if os.geteuid() == 0 else None
        if self.account:
            entry = pwd.getpwnam(self.account)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        data = str(self.directory / "data")
        self._run("initdb", "-D", data, "-U", "aileron", "-E", "UTF8", "--locale=C.UTF-8",
                  "--auth=trust", "--no-sync", "--no-instructions")
        self.process = subprocess.Popen(
            [*self._as_user(), f"{self.binaries}/postgres", "-D", data, "-k", str(self.directory),
             "-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off",
             "-c", "full_page_writes=off", "-c", "max_connections=200", "-c", "jit=off"],
            stdout=subprocess.DEVNULL, stderr=open(self.directory / "log", "ab"),
            start_new_session=True)
        wait_until(lambda: self._ready(), 30, "PostgreSQL")

    def _as_user(self):
        if not self.account:
            return []
        return ["setpriv", f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]

    def _run(self, program, *arguments):
        subprocess.run([*self._as_user(), f"{self.binaries}/{program}", *arguments], check=True,
                       capture_output=True, cwd="/")

    def _ready(self):
        try:
            return "ready" in (self.directory / "data" / "postmaster.pid").read_text()
        except OSError:
            return False

    def database(self):
        """The URL of a new, empty database."""
        name = unique("t").replace("-", "_")
        psql(self.url("postgres"), f"create database {name}")
        return self.url(name)

    def url(self, name):
        return f"host={self.directory} user=aileron dbname={name}"

    def close(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(STOP_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


def psql(url, sql):
    """Rows as lists of strings (null is '')."""
    done = subprocess.run(["psql", "-X", "-q", "-At", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", url],
                          input=sql, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\x1f") for line in done.stdout.splitlines()]


class Server:
    """`aileron serve` on a free port. `database` names a PostgreSQL; without it, it embeds one."""

    def __init__(self, *args, data=None, database=None, env=None, start=True):
        self.data = pathlib.Path(data) if data else make_directory("aileron-server-")
        self.remove = data is None
        self.database = database
        self.args = list(args)
        self.env = {"AILERON_RATE_LIMIT": "0", **(env or {})}
        self.log_path = self.data / "server.log"
        self.process, self.url, self.host, self.port = None, None, "127.0.0.1", 0
        self.start_seconds = None
        self._admin = None
        if start:
            self.start()

    # ---- its life ----

    def start(self):
        assert self.process is None or self.process.poll() is not None
        command = [str(BINARY), "serve", "--listen", f"{self.host}:{self.port}", *self._where(),
                   *self.args]
        begin = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True,
                                            env={**os.environ, **self.env}, cwd=ROOT)
        lines = []
        reader = threading.Thread(target=self._read_until_ready, args=(lines,), daemon=True)
        reader.start()
        deadline = time.monotonic() + START_SECONDS
        while not any("listening on " in line for line in lines):
            ended = self.process.poll() is not None and not reader.is_alive()
            if ended or time.monotonic() > deadline:
                self.kill9()
                raise AssertionError(f"the server did not start: {''.join(lines)}"
                                     f"{self.log()[-3000:]}")
            time.sleep(0.005)
        self.start_seconds = time.monotonic() - begin
        line = next(line for line in lines if "listening on " in line)
        self.url = line.split("listening on ", 1)[1].strip()
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def _read_until_ready(self, lines):
        for line in self.process.stdout:
            lines.append(line)

    def _where(self):
        where = ["--data", str(self.data)]
        return where + ["--database", self.database] if self.database else where

    def stop(self):
        """SIGTERM, and waits; returns the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill9(self):
        """The server only; its PostgreSQL goes on, as after a crash."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(STOP_SECONDS)

    def restart(self):
        """Stops and starts it on the same data and port."""
        if self.process.poll() is None:
            self.stop()
        return self.start()

    def postgres_pid(self):
        """The embedded postmaster; None when there is none."""
        try:
            text = (self.data / "postgres" / "postmaster.pid").read_text()
            return int(text.split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def kill9_postgres(self):
        os.kill(self.postgres_pid(), signal.SIGKILL)

    def close(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.terminate()
                try:
                    self.process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            self.process.stdout.close()
        pid = self.postgres_pid()
        if pid and process_alive(pid):  # left by kill9
            os.kill(pid, signal.SIGQUIT)
            wait_until(lambda: not process_alive(pid), STOP_SECONDS, "PostgreSQL's end")
        if self.remove:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- beside it ----

    def cli(self, *args, input=None, check=True):
        """`aileron ARGS…` on the same data; the CompletedProcess, with text (bytes for bytes)."""
        done = subprocess.run([str(BINARY), *map(str, args), *self._where()], input=input,
                              capture_output=True, text=not isinstance(input, bytes), check=False,
                              env={**os.environ, **self.env, "AILERON_PUBLIC_URL": self.url or ""},
                              cwd=ROOT)
        if check:
            assert done.returncode == 0, f"aileron {args}: {done.returncode}\n{done.stderr}"
        return done

    def database_url(self):
        return self.database or json.loads(self.cli("doctor", "--json", check=False)
                                           .stdout)["database"]

    def sql(self, text):
        """Straight into its database: rows as lists of strings."""
        return psql(self.database_url(), text)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_events(self):
        """The log's JSON lines."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def metrics(self):
        """{'aileron_judgments_total': 3.0, …}"""
        reply = Client(self).raw("GET", "/metrics").expect(200)
        pairs = (line.rsplit(" ", 1) for line in reply.text.splitlines() if line[:1] not in "#")
        return {name: float(value) for name, value in pairs}

    def connect(self):
        """A plain socket, for requests no client library would send."""
        return socket.create_connection((self.host, self.port), timeout=20)

    # ---- people ----

    def client(self, key=None, **options):
        return Client(self, key, **options)

    def sign_in_link(self, login=None, admin=True):
        """The one-time link of a new account (an administrator's unless told otherwise)."""
        flags = ["--admin"] if admin else []
        return self.cli("user", "add", login or unique("user"), *flags).stdout.strip()

    def add_user(self, login=None, admin=False, password=PASSWORD):
        login = login or unique("user")
        flags = ["--admin"] if admin else []
        self.cli("user", "add", login, "--password-stdin", *flags, input=password + "\n")
        return login

    def user(self, login=None, admin=False):
        """A signed-in client of a new account."""
        login = self.add_user(login, admin)
        client = Client(self).sign_in(login)
        client.login = login
        return client

    def admin(self):
        """A signed-in administrator; the account is made once, the connection is new."""
        if not self._admin:
            self._admin = self.add_user(unique("admin"), admin=True)
        client = Client(self).sign_in(self._admin)
        client.login = self._admin
        return client

    def project(self, settings=None, rows=None, **more):
        return Project(self, settings, rows, **more)


class Project:
    """A fresh project. `owner` is a signed-in client that owns it."""

    def __init__(self, server, settings=None, rows=None, owner=None, slug=None):
        self.server = server
        self.slug = slug or unique("p")
        self.owner = owner or server.admin()
        self.owner.post("/projects", {"slug": self.slug, "title": f"Project {self.slug}",
                                      "settings": settings or {}}).expect(201)
        if rows is not None:
            result = self.import_rows(rows)
            assert result["refused"] == [], result

    @property
    def path(self):
        return f"/projects/{self.slug}"

    def key(self, role="researcher", name="test"):
        """A new API key's text."""
        return self.owner.post(f"{self.path}/keys", {"role": role, "name": name}) \
            .expect(201).json()["key"]

    def client(self, role="researcher"):
        """A client with a new key of that role."""
        return Client(self.server, self.key(role))

    def import_text(self, text, client=None, **query):
        body = text if isinstance(text, bytes) else text.encode()
        path = f"{self.path}/import"
        if query:
            path += "?" + urllib.parse.urlencode(query)
        return (client or self.owner).request("POST", path, body,
                                              {"Content-Type": "application/x-ndjson"})

    def import_rows(self, rows, **query):
        """Imports a list of objects; the reply's body."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return self.import_text(text, **query).expect(200).json()

    def export_text(self, client=None, **query):
        return (client or self.owner).get(f"{self.path}/export", **query).expect(200).text

    def export_rows(self, client=None, **query):
        return [json.loads(line) for line in self.export_text(client, **query).splitlines()]

    def invite(self, role="annotator", uses=1):
        """The invitation's token."""
        link = self.owner.post(f"{self.path}/invites", {"role": role, "uses": uses}) \
            .expect(201).json()["link"]
        return link.split("#", 1)[1]

    def annotator(self, role="annotator"):
        """A newcomer who accepted an invitation: a signed-in client."""
        client = Client(self.server)
        login = unique("w")
        reply = client.post("/invites/accept", {"token": self.invite(role), "login": login,
                                                "name": login, "password": PASSWORD}).expect(201)
        client.account, client.login = reply.json()["account"], login
        return client

    def annotators(self, count):
        """Clients with annotator keys: many people, without many passwords."""
        return [self.client("annotator") for _ in range(count)]

    def leases(self, client, count=1):
        return client.post(f"{self.path}/leases", {"count": count}).expect(200).json()["leases"]

    def judge(self, client, lease, choice="A", **more):
        body = {"choice": choice, **more} if choice is not None else more
        return client.put(f"/leases/{lease['id']}/judgment", body)

    def progress(self):
        return self.owner.get(f"{self.path}/progress").expect(200).json()


def pair_rows(count, start=0, **more):
    """Rows of the native format: two answers each, of two models."""
    return [{"prompt": f"Question {n}: how does a wing lift?",
             "completions": [{"model": "model-one", "content": f"Answer one to {n}."},
                             {"model": "model-two", "content": f"Answer two to {n}."}], **more}
            for n in range(start, start + count)]
