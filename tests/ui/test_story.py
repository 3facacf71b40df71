"""The whole way, as people go it: first screens to an exported file, in both languages."""
import json

import pytest
from playwright.sync_api import expect

import aileron
from conftest import PASSWORD, pair_rows, saved, task

WORDS = {
    "en": {"new": "New project", "title": "Title", "create": "Create project",
           "settings": "Settings", "people": "People", "link": "Make a link", "save": "Save",
           "import": "Import", "join": "Join the project", "login": "Choose a login",
           "password": "Password", "export": "Export", "download": "Download",
           "refused": "1 row was refused", "judge": "Judge", "done": "That was the last one",
           "saved": "All saved", "overlap": "Judgments per comparison", "start": "Start judging",
           "instructions": "Instructions", "name": "Name"},
    "ko": {"new": "새 프로젝트", "title": "제목", "create": "프로젝트 만들기",
           "settings": "설정", "people": "구성원", "link": "링크 만들기", "save": "저장",
           "import": "가져오기", "join": "프로젝트 참여", "login": "사용할 아이디",
           "password": "비밀번호", "export": "내보내기", "download": "내려받기",
           "refused": "1줄이 거부되었고", "judge": "평가하기", "done": "지금은 여기까지입니다",
           "saved": "모두 저장됨", "overlap": "비교당 평가 수", "start": "평가 시작",
           "instructions": "안내문", "name": "이름"},
}


@pytest.mark.parametrize("language", ["en", "ko"])
def test_from_sign_in_to_export(stage, language, tmp_path):
    words = WORDS[language]
    locale = {"en": "en-US", "ko": "ko-KR"}[language]
    page = stage.page("/", locale=locale)
    expect(page.locator("html")).to_have_attribute("lang", language)

    # A team lead makes a project and drops a file with one bad row in it.
    page.get_by_role("button", name=words["new"]).first.click()
    slug = f"story-{language}"
    page.get_by_role("dialog").get_by_label(words["title"]).fill(f"Story {language}")
    page.get_by_role("button", name=words["create"]).click()
    page.wait_for_url(f"**/p/{slug}/import")
    lines = [json.dumps(row) for row in pair_rows(6)]
    lines.insert(3, '{"prompt":"only one","completions":[{"content":"x"}]}')
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(lines) + "\n")
    page.set_input_files("input[type=file]", data)
    expect(page.get_by_text(words["refused"])).to_be_visible()
    refused = page.locator("tbody tr").first
    expect(refused).to_contain_text("4")
    expect(refused).to_contain_text("/completions")

    # Sets how it is judged.
    page.get_by_role("link", name=words["settings"], exact=True).click()
    page.get_by_label(words["instructions"], exact=True).fill("# Read both\n\nThen **choose**.")
    page.get_by_label(words["overlap"]).fill("0")
    page.get_by_role("button", name=words["save"], exact=True).click()
    expect(page.locator(".field-error:visible")).to_have_count(1)
    page.get_by_label(words["overlap"]).fill("1")
    page.get_by_role("button", name=words["save"], exact=True).click()
    expect(page.locator(".note")).to_be_visible()

    # Copies an invitation link; a newcomer opens it.
    page.get_by_role("link", name=words["people"], exact=True).click()
    page.get_by_role("button", name=words["link"]).click()
    link = page.locator(".copy-line.secret .copy-text").inner_text()
    guest = stage.context(None, locale=locale).new_page()
    guest.goto(link)
    guest.get_by_label(words["login"]).fill(f"story.{language}.{slug}")
    guest.get_by_label(words["password"], exact=True).fill("short")
    guest.get_by_role("button", name=words["join"]).click()
    expect(guest.locator(".field-error:visible")).to_have_count(1)
    guest.get_by_label(words["password"], exact=True).fill(PASSWORD)
    guest.get_by_role("button", name=words["join"]).click()
    guest.wait_for_url(f"**/p/{slug}/annotate")

    # Reads the instructions, judges everything, one key each.
    guest.get_by_role("button", name=words["start"]).click()
    for key in ["1", "2", "4", "6", "b", "n"]:
        task(guest)
        guest.keyboard.press(key)
    expect(guest.get_by_text(words["done"])).to_be_visible()
    saved(guest, words["saved"])
    choices = [(item["choice"], item["strength"]) for item in
               reversed(stage.wait_judgments(guest, slug, 6))]
    assert choices == [("A", 3), ("A", 2), ("tie", None), ("B", 2), ("both_bad", None),
                       ("cannot_judge", None)]
    # An annotator has neither export nor settings.
    expect(guest.get_by_role("link", name=words["export"], exact=True)).to_have_count(0)
    guest.goto(f"{stage.server.url}/p/{slug}/export")
    expect(guest.locator("h1")).to_have_text(
        {"en": "Not open to you", "ko": "권한이 없습니다"}[language])

    # The researcher looks at the first rows and downloads all.
    page.get_by_role("link", name=words["export"], exact=True).click()
    expect(page.locator(".code-block pre").first).to_contain_text("secret-model")
    with page.expect_download() as waiting:
        page.get_by_role("link", name=words["download"], exact=True).click()
    rows = [json.loads(line) for line in open(waiting.value.path(), encoding="utf-8")]
    assert len(rows) == 6
    assert sum(len(row["judgments"]) for row in rows) == 6
    strong = [j for row in rows for j in row["judgments"] if j.get("strength") == 3]
    assert len(strong) == 1


def test_password_sign_in(stage):
    page = stage.page("/p/demo", state=None)
    page.wait_for_url("**/signin?next=*")
    page.get_by_label("Login").fill("nobody")
    page.get_by_label("Password").fill("wrong wrong wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Login or password is not right.")


def test_progress_plots_update(stage):
    slug = stage.project(pair_rows(8))
    page = stage.page(f"/p/{slug}")
    expect(page.locator(".figure").first).to_contain_text("0%")
    expect(page.locator("canvas:visible")).to_have_count(2)
    worker = stage.annotator(slug)
    for _ in range(4):
        task(worker)
        worker.keyboard.press("1")
    expect(page.locator(".figure").first).to_contain_text("50%", timeout=12000)
    expect(page.locator("canvas:visible")).to_have_count(3)
    expect(page.get_by_role("cell", name="Worker").or_(
        page.get_by_role("rowheader", name="Worker"))).to_be_visible()


def preferences(page):
    """What the server has of them."""
    return page.request.get(page.url.split("/account")[0] + "/api/v1/session").json()["account"]["preferences"]


def test_language_and_theme_follow_the_account(stage):
    slug = stage.project(pair_rows(1))
    page = stage.annotator(slug, path="/account")
    page.get_by_label("Language").select_option("ko")
    expect(page.locator("h1")).to_have_text("내 계정")
    page.get_by_label("테마").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    aileron.wait_until(lambda: preferences(page).get("theme") == "dark", what="the saved theme")
    page.evaluate("localStorage.clear()")
    page.reload()
    expect(page.locator("h1")).to_have_text("내 계정")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_members_and_accounts(stage):
    slug = stage.project(pair_rows(1))
    page = stage.page(f"/p/{slug}/members")
    page.get_by_role("button", name="Make a key").click()
    expect(page.locator(".copy-line.secret .copy-text")).to_contain_text("ak_")
    key = page.locator(".copy-line.secret .copy-text").inner_text()
    reply = page.request.fetch(f"{stage.server.url}/api/v1/projects/{slug}/progress",
                               headers={"Authorization": f"Bearer {key}", "Cookie": ""})
    assert reply.ok
    page.goto(f"{stage.server.url}/accounts")
    page.get_by_label("Login").fill(f"new.{slug}")
    page.get_by_role("button", name="Create account").click()
    link = page.locator(".copy-line.secret .copy-text").inner_text()
    guest = stage.context(None).new_page()
    guest.goto(link)
    expect(guest.locator("h1")).to_have_text("Welcome")
    again = stage.context(None).new_page()
    again.goto(link)
    expect(again.locator("h1")).to_have_text("This link no longer works")
