"""The script for other people's pages: on another origin, with a reporter's key, every signal
arrives, also from tabs that are closed or crash; without consent nothing is sent or kept."""
import gzip
import json
import os
import pathlib
import signal
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from conftest import BROWSER_ARGS, talking

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "static" / "embed" / "aileron-embed.js"
ANSWERS = 10


class Site:
    """An application's own site, on another origin: one page, made by the test."""

    def __init__(self):
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                body = (site.page if self.path.startswith("/app") else "<p>elsewhere").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.page = ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


class Application:
    """Answers that came through the gateway, and the page that shows them."""

    def __init__(self, stage, models, site, server, consent="true"):
        if not hasattr(server, "sql"):
            pytest.skip("needs a server whose ledger can be looked into")
        self.server, self.site, self.stage = server, site, stage
        self.slug = talking(stage, models, ["count"])
        make_key = lambda role: stage.api.call("POST", f"/projects/{self.slug}/keys",
                                               {"role": role})["key"]
        client = make_key("annotator")
        self.ids = [self.ask(client, n) for n in range(ANSWERS)]
        cards = "".join(f"""<div data-aileron-completion="{one}"><p>Answer {n}</p>
            <button data-aileron-thumb="up">+</button><button data-aileron-thumb="down">-</button>
            </div>""" for n, one in enumerate(self.ids))
        site.page = f"""<!doctype html><title>app</title><main>{cards}</main>
            <script src="{server.url}/static/embed/aileron-embed.js"></script>
            <script>Aileron.init({{ endpoint: "{server.url}", key: "{make_key("reporter")}",
                consent: {consent} }});</script>"""

    def ask(self, key, n):
        request = urllib.request.Request(
            f"{self.server.url}/openai/v1/chat/completions", method="POST",
            data=json.dumps({"model": "count", "user": f"u{n}", "messages": [
                {"role": "user", "content": f"Question {n}"}]}).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            return reply.headers["X-Aileron-Completion-Id"]

    def open(self, context=None):
        page = (context or self.stage.context(None)).new_page()
        page.goto(f"{self.site.url}/app")
        return page

    def ledger(self):
        """What arrived, as [kind, answer, value]."""
        return self.server.sql(
            "select f.kind, f.detail ->> 'answer', f.detail ->> 'value' from feedback f "
            f"join project p on p.id = f.project_id where p.slug = '{self.slug}' "
            "and f.source = 'events' order by f.id")

    def wait(self, ready, seconds=10):
        deadline = time.monotonic() + seconds
        while True:
            rows = self.ledger()
            if ready(rows) or time.monotonic() > deadline:
                return rows
            time.sleep(0.1)


@pytest.fixture
def application(stage, models, site, server):
    return Application(stage, models, site, server)


def act(page, n):
    """Everything a person can do with an answer, as the browser sees it."""
    page.evaluate("""(n) => {
      const answer = document.querySelectorAll("[data-aileron-completion]")[n];
      getSelection().selectAllChildren(answer.querySelector("p"));
      document.execCommand("copy");
      answer.querySelector(`[data-aileron-thumb=${n % 2 ? "up" : "down"}]`).click();
    }""", n)


def expected(ids, pages=1):
    rows = [("view", one) for one in ids] + [("copy", one) for one in ids]
    rows += [("thumb_up" if n % 2 else "thumb_down", one) for n, one in enumerate(ids)]
    return sorted((rows + [("leave", ids[-1])]) * pages)


def test_it_is_small():
    packed = len(gzip.compress(SCRIPT.read_bytes(), 9))
    assert packed < 4096, packed


@pytest.mark.parametrize("way", ["close", "navigate"])
def test_every_signal_of_a_page_that_is_left(application, way):
    """The last things a person does before the tab is gone are there like all the others."""
    pages = 8
    for _ in range(pages):
        page = application.open()
        for n in range(ANSWERS):
            act(page, n)
        if way == "close":
            page.close(run_before_unload=False)
        else:
            page.goto(f"{application.site.url}/elsewhere")
            page.context.close()
    want = expected(application.ids, pages)
    rows = application.wait(lambda rows: len([one for one in rows if one[0] != "dwell"])
                            >= len(want))
    got = sorted((kind, answer) for kind, answer, _ in rows if kind != "dwell")
    missing = list(want)
    for one in got:
        missing.remove(one)  # nothing that was not done, and nothing twice
    assert len(missing) <= 0.01 * len(want), f"{len(missing)} of {len(want)}: {missing}"


def renderers(browser):
    """The processes of the browser's tabs."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return [one["id"] for one in found if one["type"] == "renderer"]


def test_a_tab_that_crashes(application):
    """What a dying tab could not send waits for the next visit; nothing is recorded twice."""
    path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    own = application.stage.browser.browser_type.launch(executable_path=path, args=BROWSER_ARGS)
    context = own.new_context()
    for _ in range(4):
        page = application.open(context)
        for n in range(ANSWERS):
            act(page, n)
        page.wait_for_timeout(50)  # the renderer dies while the batch waits to be sent
        with page.expect_event("crash"):
            for process in renderers(own):
                os.kill(process, signal.SIGKILL)
        page.close()
    last = application.open(context)
    last.wait_for_timeout(200)
    last.close(run_before_unload=False)
    own.close()
    # Five visits were seen and four were acted in; only the one that was closed could say it left.
    want = sorted([("view", one) for one in application.ids] * 5 +
                  [row for row in expected(application.ids) if row[0] not in ("view", "leave")] * 4
                  + [("leave", application.ids[-1])])
    rows = application.wait(lambda rows: len([1 for one in rows if one[0] != "dwell"]) >= len(want))
    got = sorted((kind, answer) for kind, answer, _ in rows if kind != "dwell")
    for one in set(got):
        assert got.count(one) <= want.count(one), f"{one} twice"
    assert len(got) >= 0.99 * len(want), f"{len(got)} of {len(want)}"


def test_a_network_that_comes_back(application):
    page = application.open()
    application.wait(lambda rows: len(rows) >= ANSWERS)
    page.context.set_offline(True)
    for n in range(ANSWERS):
        act(page, n)
    page.evaluate(f"Aileron.track('{application.ids[0]}', 'star', 4)")
    page.wait_for_timeout(1000)
    assert {row[0] for row in application.ledger()} == {"view"}
    page.context.set_offline(False)
    want = [row for row in expected(application.ids) if row[0] != "leave"]
    want = sorted(want + [("star", application.ids[0])])
    rows = application.wait(lambda rows: len(rows) >= len(want))
    assert sorted((kind, answer) for kind, answer, _ in rows if kind != "dwell") == want
    assert ["star", application.ids[0], "4"] in rows
    # Answered for, so no longer waiting anywhere.
    page.wait_for_function("Object.keys(localStorage).length === 0")


def test_reading_time_and_answers_that_come_later(application):
    page = application.open()
    page.evaluate("""(id) => {
      for (const one of document.querySelectorAll("[data-aileron-completion]")) one.remove();
      const late = document.createElement("div");
      late.textContent = "A late answer";
      document.querySelector("main").append(late);
      late.dataset.aileronCompletion = id;
    }""", application.ids[3])
    page.wait_for_timeout(1600)
    page.close(run_before_unload=False)
    rows = application.wait(lambda rows: any(row[0] == "leave" for row in rows))
    [seconds] = [float(value) for kind, answer, value in rows
                 if kind == "dwell" and answer == application.ids[3]]
    assert 1.3 < seconds < 10
    assert ["leave", application.ids[3], ""] in rows


def test_nothing_before_consent_and_nothing_after_it_is_taken_back(stage, models, site, server):
    application = Application(stage, models, site, server, consent="false")
    page = stage.context(None).new_page()
    sent = []
    page.on("request", lambda request: sent.append(request.url)
            if "/api/v1/events" in request.url else None)
    page.goto(f"{site.url}/app")
    for n in range(3):
        act(page, n)
    page.wait_for_timeout(800)
    assert sent == [] and page.evaluate("Object.keys(localStorage).length") == 0
    page.evaluate("Aileron.consent(true)")
    act(page, 5)
    application.wait(lambda rows: any(row[0] == "copy" for row in rows))
    page.evaluate("Aileron.consent(false)")
    rows, requests = application.ledger(), len(sent)
    for n in range(3):
        act(page, n)
    page.goto(f"{site.url}/elsewhere")
    page.wait_for_timeout(800)
    assert application.ledger() == rows and len(sent) == requests
    assert sorted((kind, answer) for kind, answer, _ in rows) == sorted(
        [("view", one) for one in application.ids] +
        [("copy", application.ids[5]), ("thumb_up", application.ids[5])])
    assert page.evaluate("Object.keys(localStorage).length") == 0
    assert page.context.cookies() == []
    page.goto(f"{site.url}/app")
    page.evaluate("Aileron.consent(true)")
    page.context.set_offline(True)
    act(page, 1)
    expect(page.locator("main")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).length") == 1
    page.evaluate("Aileron.consent(false)")
    assert page.evaluate("Object.keys(localStorage).length") == 0
