"""What people did with answers, in figures beside their definitions; the labels; model servers."""
import json
import pathlib

import pytest
from playwright.sync_api import expect

from conftest import Api, talking
from test_chat import answers, finished, say
from test_screens import THEMES, check

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"


@pytest.fixture(scope="module")
def talked(server, browser, admin_state, models):
    """A project in which something of everything was done with answers, once."""
    from conftest import Stage
    stage = Stage(server, browser, admin_state)
    slug = talking(stage, models, ["count", "slow"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    for name, text in [("count", "One"), ("count", "Two"), ("slow", "Three"), ("slow", "Four")]:
        page.get_by_label("Model", exact=True).select_option(name)
        say(page, text)
        finished(page)
    answers(page).last.get_by_role("button", name="Another answer").click()
    expect(answers(page).last.locator(".siblings")).to_contain_text("2/2")
    finished(page)
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(answers(page)).to_have_count(0)
    page.get_by_label("Model", exact=True).select_option("slow")
    say(page, "word " * 100)
    expect(answers(page).last.locator(".tail")).to_contain_text("word word")
    page.keyboard.press("Escape")
    expect(answers(page).last.get_by_role("button", name="Write a better")).to_be_enabled()
    api = Api(server.url, stage.admin.request)
    for _ in range(100):
        stats = api.call("GET", f"/projects/{slug}/stats/conversations")
        rates = {name: rate["count"] for name, rate in stats["all"]["rates"].items()}
        if rates == {"retry": 1, "continue": 3, "edit": 0, "stop": 1, "thumb_up": 1}:
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError(rates)
    yield slug
    for context in stage.contexts:
        context.close()


def test_figures_with_definitions(stage, talked):
    slug = talked
    page = stage.page(f"/p/{slug}")
    page.get_by_role("link", name="Conversations").click()
    stats = stage.api.call("GET", f"/projects/{slug}/stats/conversations")
    figures = page.locator(".figures .figure")
    expect(figures.nth(0)).to_contain_text(str(stats["all"]["answers"]))
    expect(figures.nth(0)).to_contain_text("in 2 conversations")
    expect(figures.nth(1)).to_contain_text("17%")
    models = page.get_by_role("region", name="By model")
    expect(models.locator("tbody tr")).to_have_count(2)
    slow = models.locator("tbody tr", has_text="slow")
    expect(slow).to_contain_text("25%")
    expect(slow).to_contain_text("1 of 4")
    for name in ["retry", "continue", "edit", "stop", "thumb_up", "interval", "length", "funnel"]:
        expect(page.locator(".definitions").filter(has_text=stats["definitions"][name])
               ).to_have_count(1)
    for chart in page.locator("canvas").all():
        expect(chart).to_be_visible()
    expect(page.get_by_role("img", name="How far conversations go")).to_have_attribute(
        "aria-label", "How far conversations go: 1 message or more 2, 2 messages or more 1, "
        "4 messages or more 1")
    page.get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Day by day")).to_contain_text(
        str(stats["days"][0]["answers"]))


def test_labels_and_their_exports(stage, talked):
    slug = talked
    page = stage.page(f"/p/{slug}/conversations")
    rules = {one["name"]: one
             for one in stage.api.call("GET", f"/projects/{slug}/labels")["items"]}
    for rule in rules.values():
        row = page.locator("tbody tr").filter(has=page.get_by_text(rule["name"], exact=True))
        expect(row).to_contain_text(rule["definition"])
        expect(row.locator(".number").nth(1)).to_have_text(str(rule["positive"]))
    assert rules["thumb"]["positive"] == 1 and rules["no-retry"]["negative"] == 1
    with page.expect_download() as download:
        page.get_by_role("link", name="Export labels of thumb").click()
    [row] = [json.loads(line) for line in open(download.value.path(), encoding="utf-8")]
    assert row["label"] is True


def test_translated_definitions_are_those_of_the_server(stage, talked):
    """A rule or figure that is defined anew needs another sentence in the other language, too."""
    english = json.loads((STATIC / "locales" / "en.desk.json").read_text(encoding="utf-8"))
    stats = stage.api.call("GET", f"/projects/{talked}/stats/conversations")
    labels = stage.api.call("GET", f"/projects/{talked}/labels")["items"]
    for name, text in stats["definitions"].items():
        assert english[f"stats.define_{name}"] == text
    for rule in labels:
        assert english[f"rule.{rule['name']}_v{rule['version']}"] == rule["definition"]


def test_nothing_yet(stage):
    slug = stage.project()
    page = stage.page(f"/p/{slug}/conversations")
    expect(page.get_by_text("No conversations yet")).to_be_visible()
    expect(page.get_by_text("continue-no-retry")).to_be_visible()
    page = stage.annotator(slug, path=f"/p/{slug}/conversations")
    expect(page.get_by_role("heading", name="Not open to you")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_model_servers_and_traffic(stage, models, language):
    words = {"en": {"add": "Add or change a model server", "name": "Name", "url": "Address",
                    "key": "Key", "models": "Models", "save": "Save the server", "seconds":
                    "Seconds until a conversation is over", "share": "Share of requests",
                    "stored": "stored", "remove": "Remove box", "drop": "Remove",
                    "settings": "Save", "saved": "Settings saved", "change": "Change box",
                    "make": "Make a key for it", "reporter": "Make a reporter key"},
             "ko": {"add": "모델 서버 추가 또는 변경", "name": "이름", "url": "주소", "key": "키",
                    "models": "모델", "save": "서버 저장", "seconds": "대화가 끝난 것으로 보는 시간(초)",
                    "share": "두 번째 답변을 받을 요청의 비율", "stored": "저장됨",
                    "remove": "box 삭제", "drop": "삭제", "settings": "저장",
                    "saved": "설정을 저장했습니다", "change": "box 바꾸기",
                    "make": "연결용 키 만들기", "reporter": "보고 전용 키 만들기"}}[language]
    slug = stage.project()
    page = stage.page(f"/p/{slug}/settings", locale={"en": "en-US", "ko": "ko-KR"}[language])
    servers = page.locator("#servers")
    servers.get_by_text(words["add"]).click()
    servers.get_by_label(words["name"], exact=True).fill("box")
    servers.get_by_label(words["url"], exact=True).fill("ftp://nowhere")
    servers.get_by_role("button", name=words["save"]).click()
    expect(servers.locator(".field-error:visible")).to_have_count(1)
    servers.get_by_label(words["url"], exact=True).fill(models.url)
    servers.get_by_label(words["key"], exact=True).fill("sk-very-secret")
    servers.get_by_label(words["models"], exact=True).fill("echo, slow")
    servers.get_by_role("button", name=words["save"]).click()
    row = servers.locator("tbody tr")
    expect(row).to_contain_text("echo, slow")
    expect(row).to_contain_text(words["stored"])
    expect(servers.get_by_label(words["key"], exact=True)).to_have_value("")
    assert "sk-very-secret" not in page.content()
    servers.get_by_role("button", name=words["change"]).click()
    expect(servers.get_by_label(words["models"], exact=True)).to_have_value("echo, slow")
    servers.get_by_label(words["models"], exact=True).fill("echo")
    servers.get_by_role("button", name=words["save"]).click()
    expect(row).not_to_contain_text("slow")

    # A line that works as it stands: the key is made here, and shown once.
    page.get_by_role("button", name=words["make"]).click()
    line = page.locator(".code-block code", has_text="curl")
    expect(line).to_contain_text("Bearer ak_")
    expect(line).to_contain_text("/openai/v1/chat/completions")
    page.get_by_role("button", name=words["reporter"]).click()
    expect(page.locator(".code-block code", has_text="aileron-embed.js")).to_contain_text("ak_")

    page.get_by_label(words["seconds"]).fill("600")
    page.get_by_label(words["share"]).fill("0.25")
    page.get_by_role("button", name=words["settings"], exact=True).click()
    expect(page.locator(".note", has_text=words["saved"])).to_be_visible()
    settings = stage.api.call("GET", f"/projects/{slug}")["settings"]
    assert (settings["session_seconds"], settings["pair_share"]) == (600, 0.25)

    servers.get_by_role("button", name=words["remove"]).click()
    page.get_by_role("dialog").get_by_role("button", name=words["drop"]).click()
    expect(servers.locator("tbody")).to_have_count(0)
    assert stage.api.call("GET", f"/projects/{slug}/upstreams")["items"] == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_screens(stage, talked, language, width, theme):
    page = stage.page(f"/p/{talked}/conversations", color_scheme=theme,
                      viewport={"width": width, "height": 900 if width > 600 else 844},
                      locale={"en": "en-US", "ko": "ko-KR"}[language],
                      has_touch=width < 600, is_mobile=width < 600)
    looked = language == "en" and (width > 600 or theme == "light")
    expect(page.locator("canvas")).to_have_count(3)
    page.wait_for_timeout(500)
    name = f"conversations-{language}-{theme}-{width}"
    page.screenshot(path=f"build/screenshots/{name}.png", full_page=True)
    if looked:
        check(page, name)
    page.goto(f"{stage.server.url}/p/{talked}/settings#servers")
    page.locator("#servers summary").click()
    page.wait_for_timeout(200)
    page.locator("#servers").evaluate("(node) => node.scrollIntoView()")
    stage.shot(page, f"servers-{language}-{theme}-{width}")
    if looked:
        check(page, "servers")
