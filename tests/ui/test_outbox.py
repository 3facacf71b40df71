"""No answer is lost: offline, closed pages, refusals, expired sessions, several tabs."""
import json

from playwright.sync_api import expect

from conftest import Api, pair_rows, saved, task


def test_offline_and_back(stage):
    slug = stage.project(pair_rows(8))
    page = stage.annotator(slug)
    task(page)
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    for key in ["1", "2", "3"]:
        task(page)
        page.keyboard.press(key)
    expect(page.locator(".status-text")).to_contain_text("Offline: 3 answers kept")
    assert stage.problems == []
    page.context.set_offline(False)
    saved(page)
    stage.wait_judgments(page, slug, 3)


def test_closed_page_sends_later(stage):
    slug = stage.project(pair_rows(8))
    page = stage.annotator(slug)
    task(page)
    page.wait_for_timeout(300)
    context = page.context
    context.set_offline(True)
    page.keyboard.press("1")
    task(page)
    page.keyboard.press("b")
    expect(page.locator(".status-text")).to_contain_text("2 answers kept")
    page.close()
    context.set_offline(False)
    # Any page of the site will do.
    again = context.new_page()
    again.goto(f"{stage.server.url}/account")
    saved(again)
    items = stage.wait_judgments(again, slug, 2)
    assert [item["choice"] for item in items] == ["both_bad", "A"]


def test_runs_out_of_tasks_offline_calmly(stage):
    slug = stage.project(pair_rows(20))
    page = stage.annotator(slug)
    task(page)
    page.wait_for_timeout(400)
    page.context.set_offline(True)
    for _ in range(8):
        page.keyboard.press("1")
        page.wait_for_timeout(60)
    expect(page.get_by_text("You have judged everything that was loaded")).to_be_visible()
    page.context.set_offline(False)
    task(page)
    saved(page)


def test_refused_answer_is_said_and_kept(stage):
    """Another tab's story: the comparison was filled by others while this page was away."""
    slug = stage.project(pair_rows(4))
    page = stage.annotator(slug)
    task(page)
    page.wait_for_timeout(300)
    problem = {"type": "urn:aileron:error:conflict", "title": "Conflict", "status": 409,
               "detail": "filled by others"}
    page.route("**/api/v1/leases/*/judgment", lambda route: route.fulfill(
        status=409, content_type="application/problem+json", body=json.dumps(problem)), times=1)
    page.keyboard.press("r")
    page.keyboard.type("My reason")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    expect(page.locator(".failed-count")).to_have_text("1 could not be recorded")
    task(page)
    page.keyboard.press("7")
    stage.wait_judgments(page, slug, 1)
    page.reload()
    page.get_by_role("button", name="1 could not be recorded").click()
    expect(page.get_by_role("dialog")).to_contain_text("Others had already completed")
    expect(page.get_by_role("dialog")).to_contain_text("My reason")
    page.get_by_role("button", name="Remove from this list").click()
    expect(page.locator(".failed-count")).to_be_hidden()


def test_server_trouble_is_retried(stage):
    slug = stage.project(pair_rows(4))
    page = stage.annotator(slug)
    task(page)
    page.route("**/api/v1/leases/*/judgment", lambda route: route.fulfill(
        status=503, headers={"Retry-After": "1"}, content_type="application/problem+json",
        body='{"status":503,"title":"busy"}'), times=2)
    page.keyboard.press("1")
    expect(page.locator(".status-text")).to_contain_text("The server is busy")
    saved(page)
    stage.wait_judgments(page, slug, 1)


def test_answers_wait_for_sign_in(stage):
    slug = stage.project(pair_rows(6))
    page = stage.annotator(slug)
    task(page)
    api = Api(stage.server.url, page.context.request)
    login = api.call("GET", "/session")["account"]["login"]
    page.wait_for_timeout(300)
    cookies = page.context.cookies()
    page.context.clear_cookies()
    page.keyboard.press("1")
    expect(page.locator(".status-text")).to_contain_text("until you sign in")
    page.locator(".save-status").get_by_role("link", name="Sign in").click()
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    saved(page)
    assert cookies
    stage.wait_judgments(page, slug, 1)


def test_two_tabs_share_one_outbox(stage):
    slug = stage.project(pair_rows(12))
    page = stage.annotator(slug)
    task(page)
    other = page.context.new_page()
    other.goto(f"{stage.server.url}/p/{slug}/annotate")
    task(other)
    puts = []
    for tab in (page, other):
        tab.on("request", lambda request: puts.append(request.url)
               if request.method == "PUT" else None)
    assert page.locator(".message").inner_text() != other.locator(".message").inner_text()
    page.wait_for_timeout(300)
    page.context.set_offline(True)
    page.keyboard.press("1")
    other.keyboard.press("2")
    expect(page.locator(".status-text")).to_contain_text("2 answers kept")
    puts.clear()
    page.context.set_offline(False)
    saved(page)
    saved(other)
    stage.wait_judgments(page, slug, 2)
    sent = [url for url in puts]
    assert len(set(sent)) == 2 and len(sent) <= 4
