"""Browser tests against a running server: sign-in once, a project of its own for each test."""
import itertools
import json
import os
import pathlib
import time
import uuid

import pytest
from playwright.sync_api import expect, sync_playwright

import aileron
import upstream

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHOTS = ROOT / "build" / "screenshots"
PASSWORD = "correct horse battery"
BROWSER_ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]
expect.set_options(timeout=8000)


class EnvironmentServer:
    """A server somebody else started: AILERON_URL, and AILERON_LINK for the first sign-in."""

    def __init__(self, url, link):
        self.url = url.rstrip("/")
        self.link = link

    def sign_in_link(self):
        return self.link


@pytest.fixture(scope="session")
def server():
    """The real server with its demo project, or the one that the environment names."""
    url, link = os.environ.get("AILERON_URL"), os.environ.get("AILERON_LINK")
    if url and link:
        yield EnvironmentServer(url, link)
        return
    with aileron.Server("--demo") as running:
        yield running


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def admin_state(server, browser, tmp_path_factory):
    """The administrator's cookies, after a first run through the one-time link."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    link = server.sign_in_link()
    page.goto(link if link.startswith("http") else server.url + link)
    password = page.get_by_label("New password")
    expect(password).to_be_visible()
    password.fill(PASSWORD)
    page.get_by_role("button", name="Save and go on").click()
    page.wait_for_url(lambda url: "/signin" not in url)
    state = tmp_path_factory.mktemp("state") / "admin.json"
    context.storage_state(path=state)
    context.close()
    return str(state)


class Api:
    """The HTTP interface with a browser context's cookies."""

    def __init__(self, url, request):
        self.url, self.request = url, request

    def call(self, method, path, body=None, **options):
        headers = {"Origin": self.url, **options.pop("headers", {})}
        if body is not None:
            options["data"] = json.dumps(body)
            headers["Content-Type"] = "application/json"
        reply = self.request.fetch(f"{self.url}/api/v1{path}", method=method, headers=headers,
                                   **options)
        assert reply.ok, f"{method} {path}: {reply.status} {reply.text()}"
        return reply.json() if reply.text() else None

    def rows(self, slug, rows):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        reply = self.request.fetch(
            f"{self.url}/api/v1/projects/{slug}/import", method="POST", data=text.encode(),
            headers={"Origin": self.url, "Content-Type": "application/x-ndjson"})
        assert reply.ok, reply.text()
        return reply.json()


_numbers = itertools.count(1)


def pair_rows(count, start=0):
    return [{"prompt": f"Question {n}: how does a wing lift?", "completions": [
        {"model": "secret-model-one", "content": f"First answer {n}: it **pushes** air down."},
        {"model": "secret-model-two", "content": f"Second answer {n}: by magic."}]}
        for n in range(start, start + count)]


class Stage:
    """What a test acts on: the administrator's API, projects, pages."""

    def __init__(self, server, browser, admin_state):
        self.server, self.browser, self.admin_state = server, browser, admin_state
        self.contexts, self.problems = [], []
        self.admin = self.context()
        self.api = Api(server.url, self.admin.request)

    def context(self, state="admin", **options):
        options.setdefault("locale", "en-US")
        options.setdefault("viewport", {"width": 1280, "height": 900})
        if state == "admin":
            options["storage_state"] = self.admin_state
        context = self.browser.new_context(**options)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self.contexts.append(context)
        return context

    def _console(self, message):
        text = message.text
        # What the browser itself says about refused or failed requests is part of some stories.
        if message.type == "error" and "Failed to load resource" not in text \
                and "net::ERR" not in text:
            self.problems.append(text)

    def page(self, path="/", state="admin", **options):
        page = self.context(state, **options).new_page()
        page.goto(self.server.url + path)
        return page

    def project(self, rows=None, **settings):
        slug = f"ui-{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        self.api.call("POST", "/projects", {"slug": slug, "title": f"Project {slug}",
                                            "settings": settings})
        if rows is not None:
            reply = self.api.rows(slug, rows)
            assert reply["refused"] == [], reply
        return slug

    def invite(self, slug, role="annotator", uses=1):
        reply = self.api.call("POST", f"/projects/{slug}/invites", {"role": role, "uses": uses})
        return self.server.url + reply["link"] if reply["link"].startswith("/") else reply["link"]

    def annotator(self, slug, role="annotator", path=None, **options):
        """A newcomer's page, joined through the API (the join screen has its own test)."""
        token = self.invite(slug, role).split("#", 1)[1]
        context = self.context(None, **options)
        Api(self.server.url, context.request).call("POST", "/invites/accept", {
            "token": token, "login": f"w{uuid.uuid4().hex[:10]}", "name": "Worker",
            "password": PASSWORD})
        page = context.new_page()
        page.goto(self.server.url + (path or f"/p/{slug}/annotate"))
        return page

    def judgments(self, page, slug):
        api = Api(self.server.url, page.context.request)
        return api.call("GET", f"/projects/{slug}/judgments?mine=true&limit=200")["items"]

    def wait_judgments(self, page, slug, count, seconds=8):
        deadline = time.monotonic() + seconds
        while True:
            items = self.judgments(page, slug)
            if len(items) >= count or time.monotonic() > deadline:
                assert len(items) == count, f"{len(items)} instead of {count} judgments"
                return items
            time.sleep(0.1)

    def shot(self, page, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def stage(server, browser, admin_state):
    stage = Stage(server, browser, admin_state)
    yield stage
    for context in stage.contexts:
        context.close()
    assert stage.problems == [], f"errors on the page: {stage.problems}"


def task(page):
    """Waits for a task on the screen."""
    expect(page.locator(".stage .task .answer").first).to_be_visible()
    return page.locator(".stage .task")


def saved(page, text="All saved"):
    expect(page.locator(".save-status .status-text")).to_have_text(text)


@pytest.fixture(scope="session")
def models():
    """A scripted model server; what it does is said by the model's name (support/upstream.py)."""
    scripted = upstream.Upstream()
    yield scripted
    scripted.close()


def talking(stage, models, names=("echo", "slow", "count"), **settings):
    """A project whose chat is answered by the scripted models of these names."""
    slug = stage.project(**settings)
    stage.api.call("POST", f"/projects/{slug}/upstreams",
                   {"name": "scripted", "url": models.url, "models": list(names)})
    return slug


def keep_only(problems, *allowed):
    """Drops the console's errors that a story provokes."""
    problems[:] = [one for one in problems if not any(part in one for part in allowed)]
