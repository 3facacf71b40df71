"""The arena: two unnamed models side by side, votes at any time, going on, the end."""
import pytest
from playwright.sync_api import expect

from conftest import talking
from test_chat import box, kept, say
from test_chat import WORDS as CHAT_WORDS
from test_hostile import HOSTILE, watch
from test_screens import THEMES, check

WORDS = {
    "en": {**CHAT_WORDS["en"], "a": "A is better", "b": "B is better", "tie": "About equal",
           "bad": "Both bad", "again": "Both try again", "end": "End and show names",
           "change": "Change", "chose_a": "You chose A.", "over": "This conversation has ended."},
    "ko": {**CHAT_WORDS["ko"], "a": "A가 더 좋음", "b": "B가 더 좋음", "tie": "비슷함",
           "bad": "둘 다 나쁨", "again": "둘 다 다시", "end": "끝내고 이름 보기", "change": "바꾸기",
           "chose_a": "A를 골랐습니다.", "over": "끝난 대화입니다."},
}
LOCALES = {"en": "en-US", "ko": "ko-KR"}


def rounds(page):
    return page.locator(".thread .round")


def whole(page):
    """Waits until both answers of the last round are there."""
    for slot in "AB":
        expect(rounds(page).last.locator(f"[data-slot={slot}] .answer-head .icon-button")
               ).to_be_visible()
    return rounds(page).last


def pressed(page, choice):
    expect(page.locator(f".arena-vote [data-choice={choice}]")).to_have_attribute(
        "aria-pressed", "true")


def votes(page, stage, slug, want):
    """Waits until the server knows these choices, turn by turn."""
    for _ in range(80):
        found = [turn["choice"] for turn in kept(page, stage, slug)["turns"]]
        if found == want:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{found} instead of {want}")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_duel(stage, models, language):
    """Vote while they write, go on from the winner, both again, change a vote, end."""
    words = WORDS[language]
    slug = talking(stage, models, ["slow", "count"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat", locale=LOCALES[language])
    page.get_by_role("link", name={"en": "Arena", "ko": "아레나"}[language]).click()
    expect(box(page, words)).to_be_focused()
    say(page, "word " * 80, words)
    expect(rounds(page).locator(".answer")).to_have_count(2)
    expect(rounds(page).locator(".answer-text.coming").first).to_be_visible()
    page.get_by_role("button", name=words["a"]).click()
    pressed(page, "A")
    expect(rounds(page).locator("[data-slot=A].preferred")).to_be_visible()
    expect(page.get_by_role("button", name=words["end"])).to_be_disabled()
    round_one = whole(page)
    votes(page, stage, slug, ["A"])
    # Nobody learns who is who.
    assert "count" not in page.locator(".thread").inner_text()
    winner = round_one.locator("[data-slot=A] .prose").inner_text()

    say(page, "And then?", words)
    expect(rounds(page)).to_have_count(2)
    whole(page)
    asked = [request["body"]["messages"] for request in models.requests[-2:]]
    assert [one[1]["content"] for one in asked] == [winner, winner]
    expect(rounds(page).first).to_contain_text(words["chose_a"])

    page.get_by_role("button", name=words["again"]).click()
    expect(rounds(page).last.locator(".siblings")).to_contain_text("2/2")
    whole(page)
    page.get_by_role("button", name=words["bad"]).click()
    page.get_by_role("button", name=words["tie"]).click()
    pressed(page, "tie")
    votes(page, stage, slug, ["A", "tie"])
    rounds(page).first.get_by_role("button", name=words["change"]).click()
    rounds(page).first.get_by_role("button", name=words["b"]).click()
    votes(page, stage, slug, ["B", "tie"])
    page.reload()
    whole(page)
    pressed(page, "tie")
    expect(rounds(page).first.locator("[data-slot=B].preferred")).to_be_visible()

    page.get_by_role("button", name=words["end"]).click()
    page.get_by_role("dialog").get_by_role("button", name=words["end"]).click()
    names = rounds(page).first.locator(".model-name")
    expect(names).to_have_count(2)
    expect(names.first).not_to_be_empty()
    assert sorted(names.all_inner_texts()) == ["count", "slow"]
    expect(page.get_by_text(words["over"])).to_be_visible()
    expect(box(page, words)).to_be_hidden()
    page.reload()
    expect(page.get_by_text(words["over"])).to_be_visible()
    assert sorted(rounds(page).first.locator(".model-name").all_inner_texts()) == ["count", "slow"]


def test_keyboard_only(stage, models):
    slug = talking(stage, models, ["slow", "count"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena")
    expect(box(page)).to_be_focused()
    page.keyboard.insert_text("word " * 150)
    page.keyboard.press("Enter")
    expect(rounds(page).locator(".answer-text.coming").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    pressed(page, "B")
    expect(box(page)).to_be_focused()
    # One answer is there, the other one comes.
    expect(rounds(page).locator(".tail", has_text="word word")).to_have_count(1)
    expect(rounds(page).locator(".answer-head .icon-button:visible")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(rounds(page).locator(".finish").first).to_contain_text("You stopped this answer.")
    page.keyboard.press("Escape")
    for key, choice in [("1", "A"), ("2", "tie"), ("3", "B"), ("b", "both_bad"), ("t", "tie")]:
        page.keyboard.press(key)
        pressed(page, choice)
        page.keyboard.press("Escape")
    votes(page, stage, slug, ["tie"])
    # After a tie the person says from where they go on.
    page.keyboard.press("w")
    page.keyboard.type("On we go")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box(page)).to_have_value("On we go")
    box(page).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("b")
    expect(rounds(page)).to_have_count(2)
    expect(box(page)).to_have_value("")
    whole(page)
    turns = kept(page, stage, slug)["turns"]
    chosen = next(one for one in turns[0]["answers"] if one["slot"] == "B")
    assert turns[1]["parent_id"] == chosen["id"]
    page.keyboard.press("r")
    expect(rounds(page).last.locator(".siblings")).to_contain_text("2/2")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Both try again")
    page.keyboard.press("Escape")
    whole(page)


def test_a_vote_survives_a_lost_network(stage, models):
    slug = talking(stage, models, ["echo", "count"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena")
    say(page, "Which?")
    whole(page)
    page.context.set_offline(True)
    page.get_by_role("button", name="A is better").click()
    expect(page.locator(".arena-vote .still")).to_contain_text("not saved yet")
    page.get_by_role("button", name="B is better").click()
    page.context.set_offline(False)
    expect(page.locator(".arena-vote .still")).to_be_empty(timeout=15000)
    votes(page, stage, slug, ["B"])


def test_a_vote_survives_a_closed_tab(stage, models):
    """Given without a network, then the page is gone: the next page sends it."""
    slug = talking(stage, models, ["echo", "count"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena")
    say(page, "Which?")
    whole(page)
    context, address = page.context, page.url
    context.set_offline(True)
    page.get_by_role("button", name="A is better").click()
    expect(page.locator(".arena-vote .still")).to_contain_text("not saved yet")
    page.close()
    context.set_offline(False)
    page = context.new_page()
    page.goto(address)
    expect(page.locator(".arena-vote [data-choice=A]")).to_have_attribute("aria-pressed", "true")
    votes(page, stage, slug, ["A"])


def test_trouble_and_hostile_words(stage, models):
    slug = talking(stage, models, ["echo", "slow"])
    page = stage.annotator(slug, path="/account")
    foreign = watch(page, stage.server)
    page.goto(f"{stage.server.url}/p/{slug}/arena")
    expect(box(page)).to_be_visible()
    page.context.set_offline(True)
    say(page, HOSTILE)
    expect(page.locator(".answer-problem")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again", exact=True).click()
    whole(page)
    expect(rounds(page)).to_have_count(1)
    page.wait_for_timeout(300)
    assert page.evaluate("window.__pwned") is None and foreign == []
    for selector in ["script", "iframe", "img", "style", "object", "video", "[onerror]"]:
        assert page.locator(f".thread {selector}").count() == 0, selector
    page.reload()
    expect(box(page)).to_have_value("")


def test_one_model_is_no_arena(stage, models):
    slug = talking(stage, models, ["echo"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena")
    expect(page.get_by_text("The arena needs two models")).to_be_visible()


ANSWER = """It is a matter of pressure and of turning air:

- the wing **deflects** air downwards;
- the pressure above is *lower* than below.

```python
lift = density * speed ** 2 / 2 * area * coefficient
```"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_screens(stage, models, language, width, theme):
    words = WORDS[language]
    slug = talking(stage, models, ["slow", "echo"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena", color_scheme=theme,
                           viewport={"width": width, "height": 900 if width > 600 else 844},
                           locale=LOCALES[language], has_touch=width < 600, is_mobile=width < 600)
    looked = language == "en" and (width > 600 or theme == "light")

    def look(name):
        page.wait_for_timeout(250)
        stage.shot(page, f"arena-{name}-{language}-{theme}-{width}")
        if looked:
            check(page, name)

    expect(box(page, words)).to_be_visible()
    look("empty")
    say(page, ANSWER, words)
    expect(rounds(page).locator(".answer-text.coming").first).to_be_visible()
    page.get_by_role("button", name=words["b"]).click()
    page.wait_for_timeout(600)
    look("early-vote")
    whole(page)
    say(page, "Go on", words)
    expect(rounds(page)).to_have_count(2)
    whole(page)
    look("second-turn")
    page.evaluate("window.scrollTo(0, 0)")
    look("top")
    page.get_by_role("button", name=words["end"]).click()
    page.get_by_role("dialog").get_by_role("button", name=words["end"]).click()
    expect(page.get_by_text(words["over"])).to_be_visible()
    look("ended")


def test_the_newest_stays_in_sight(stage, models):
    """The page follows what is being written, until the person scrolls up."""
    slug = talking(stage, models, ["slow", "echo"])
    page = stage.annotator(slug, path=f"/p/{slug}/arena", viewport={"width": 390, "height": 700})

    def rest(low, high):
        for _ in range(80):
            found = page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY")
            if low <= found <= high:
                return
            page.wait_for_timeout(100)
        raise AssertionError(f"{found} px below, not {low} to {high}")

    say(page, ANSWER)
    whole(page)
    page.get_by_role("button", name="B is better").click()
    say(page, "Go on")
    expect(rounds(page)).to_have_count(2)
    whole(page)
    rest(-1, 5)
    page.get_by_role("button", name="A is better").click()
    say(page, "word " * 100)
    expect(rounds(page).last.locator(".tail", has_text="word word").first).to_be_visible()
    page.mouse.wheel(0, -400)
    rest(200, 2000)
    page.wait_for_timeout(500)
    rest(200, 2000)
    page.get_by_role("button", name="To the newest message").click()
    rest(-1, 5)
    whole(page)
