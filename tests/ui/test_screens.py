"""Every screen: no accessibility violation in either theme, no sideways scroll, a picture kept."""
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import pair_rows, task

RICH = [
    {"prompt": [{"role": "system", "content": "You are a careful teacher."},
                {"role": "user", "content": "How do I reverse a list in Python?"},
                {"role": "assistant", "content": "Do you need a new list, or the same one turned?"},
                {"role": "user", "content": "A new one, please."}], "completions": [
        {"model": "a", "content": "Use a slice:\n\n```python\ndef turned(items):\n    # a copy\n"
         "    return items[::-1]\n```\n\nIt makes a **new list** and leaves the old one alone."},
        {"model": "b", "content": "### Two ways\n\n| way | copies | cost |\n|---|:-:|---:|\n"
         "| `items[::-1]` | yes | $O(n)$ |\n| `reversed(items)` | no | $O(1)$ |\n\n"
         "1. The slice is *short*.\n2. `reversed` is lazy."}]},
    {"prompt": "이차방정식의 근의 공식을 설명해 주세요.", "completions": [
        {"model": "a", "content": "근의 공식은 다음과 같습니다.\n\n"
         "$$x = \\frac{-b \\pm \\sqrt{b^2-4ac}}{2a}$$\n\n여기서 $a \\neq 0$ 입니다."},
        {"model": "b", "content": "판별식 $D=b^2-4ac$의 부호에 따라 근의 개수가 달라집니다.\n\n"
         "- $D>0$: 서로 다른 두 실근\n- $D=0$: 중근\n- $D<0$: 실근 없음"}]},
]


def rich_rows(count):
    """The rich tasks over and over, each time a little different."""
    return [{**RICH[n % 2], "key": f"rich-{n}", "completions": [
        {**one, "content": f"{one['content']}\n\n({n + 1})"} for one in RICH[n % 2]["completions"]]}
        for n in range(count)]


SCREENS = ["home", "overview", "annotate", "history", "import", "export", "settings", "members",
           "audit", "account", "accounts"]
THEMES = ["light", "dark"]
AXE_OPTIONS = {"runOnly": {"type": "tag", "values": [
    "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


@pytest.fixture(scope="module")
def rich(server, browser, admin_state):
    """One project with something on every screen."""
    from conftest import Stage
    stage = Stage(server, browser, admin_state)
    slug = stage.project(rich_rows(90), instructions="# How to judge\n\nRead **both**.",
                         flags=["unsafe", "made-up facts"], overlap=2)
    page = stage.page(f"/p/{slug}/annotate")
    page.get_by_role("button", name="Start judging").click()
    for key in ["1", "4", "6"]:
        task(page)
        page.keyboard.press(key)
    stage.wait_judgments(page, slug, 3)
    stage.invite(slug, uses=5)
    stage.api.call("POST", f"/projects/{slug}/keys", {"name": "training"})
    stage.api.call("POST", f"/projects/{slug}/snapshots", {"name": "first"})
    yield slug
    for context in stage.contexts:
        context.close()


def path_of(screen, slug):
    plain = {"home": "/", "overview": f"/p/{slug}", "account": "/account",
             "accounts": "/accounts"}
    return plain.get(screen, f"/p/{slug}/{screen}")


def settle(page, screen):
    expect(page.locator("h1")).to_have_count(1)
    if screen == "annotate":
        dialog = page.locator("dialog[open] .primary")
        page.wait_for_timeout(250)
        if dialog.count():
            dialog.click()
        task(page)
        page.wait_for_timeout(350)
    if screen == "overview":
        page.wait_for_timeout(400)


def check(page, name):
    # At its end the page has nothing half hidden under the bar of choices.
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    results = Axe().run(page, options=AXE_OPTIONS)
    violations = [f"{one['id']}: {one['nodes'][0]['html'][:160]} "
                  f"{one['nodes'][0].get('failureSummary', '')[:300]}"
                  for one in results.response["violations"]]
    assert violations == [], f"{name}: {violations}"
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{name}: {wide} px too wide"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_screens(stage, rich, language, width, theme):
    context = stage.context(viewport={"width": width, "height": 900 if width > 600 else 844},
                            locale={"en": "en-US", "ko": "ko-KR"}[language], color_scheme=theme,
                            has_touch=width < 600, is_mobile=width < 600)
    page = context.new_page()
    for screen in SCREENS:
        page.goto(stage.server.url + path_of(screen, rich))
        settle(page, screen)
        name = f"{screen}-{language}-{theme}-{width}"
        stage.shot(page, name)
        # The words do not change the structure: one language is enough for the rules.
        if language == "en" and (width > 600 or theme == "light"):
            check(page, name)


@pytest.mark.parametrize("theme", THEMES)
def test_open_pages_and_dialogs(stage, rich, theme):
    page = stage.page("/signin", state=None, color_scheme=theme)
    expect(page.locator("h1")).to_have_text("Sign in")
    check(page, "signin")
    stage.shot(page, f"signin-en-{theme}-1280")
    page.goto(stage.invite(rich))
    expect(page.get_by_role("button", name="Join the project")).to_be_visible()
    check(page, "join")
    stage.shot(page, f"join-en-{theme}-1280")
    page = stage.page(f"/p/{rich}/annotate", color_scheme=theme)
    expect(page.get_by_role("dialog")).to_be_visible()
    check(page, "instructions")
    page.keyboard.press("Enter")
    settle(page, "annotate")
    for key, name in [("?", "help"), ("s", "skip"), ("e", "edit")]:
        page.keyboard.press(key)
        expect(page.get_by_role("dialog")).to_be_visible()
        check(page, name)
        stage.shot(page, f"{name}-en-{theme}-1280")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_phone_one_thumb(stage):
    """On a phone the answers stack, and every choice is a finger wide and on the screen."""
    slug = stage.project(RICH + pair_rows(3))
    page = stage.annotator(slug, viewport={"width": 360, "height": 740}, has_touch=True,
                           is_mobile=True)
    task(page)
    first, second = page.locator(".answer").nth(0), page.locator(".answer").nth(1)
    assert first.bounding_box()["y"] + 10 < second.bounding_box()["y"]
    for choice in page.locator(".bar .choice").all():
        box = choice.bounding_box()
        assert box["height"] >= 44 and box["width"] >= 40
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 740
    page.locator(".bar .choice").first.tap()
    expect(page.locator(".counts")).to_contain_text("1 this session")
    stage.wait_judgments(page, slug, 1)
