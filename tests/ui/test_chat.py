"""The chat: streamed answers, siblings, branches, better answers, stopping, hostile words."""
import re

import pytest
from playwright.sync_api import expect

from conftest import Api, keep_only, talking
from test_hostile import HOSTILE, watch
from test_screens import THEMES, check

WORDS = {
    "en": {"write": "Write a message", "again": "Another answer", "question": "Edit the question",
           "ask": "Ask again", "better": "Write a better answer", "save": "Save", "copy": "Copy",
           "up": "Good answer", "down": "Bad answer", "star": "4 stars",
           "previous": "Previous version", "next": "Next version", "edited": "Edited by you", "reason": "Not correct",
           "own": "In your own words", "send": "Send", "new": "New conversation"},
    "ko": {"write": "메시지를 입력하세요", "again": "다른 답변 받기", "question": "질문 고치기",
           "ask": "다시 묻기", "better": "더 좋은 답변으로 고쳐 쓰기", "save": "저장", "copy": "복사",
           "up": "좋은 답변", "down": "나쁜 답변", "star": "별 4개", "previous": "이전 것 보기",
           "next": "다음 것 보기", "edited": "내가 고친 답변", "reason": "틀린 내용",
           "own": "직접 쓰기", "send": "보내기", "new": "새 대화"},
}


def box(page, words=WORDS["en"]):
    return page.get_by_label(words["write"])


def answers(page):
    return page.locator(".thread .from-assistant")


def say(page, text, words=WORDS["en"], key="Enter"):
    box(page, words).fill(text)
    page.keyboard.press(key)


def finished(page):
    """Waits until the last answer is whole."""
    expect(answers(page).last.locator(".copier")).to_be_visible()
    return answers(page).last


def kept(page, stage, slug):
    """What the server has of the conversation on the page."""
    conversation = re.search(r"c=([0-9a-f-]{36})", page.url).group(1)
    return Api(stage.server.url, page.context.request).call(
        "GET", f"/projects/{slug}/chat/conversations/{conversation}")


def told(page, stage, slug, want, seconds=8):
    """Waits until what the person said of an answer has reached the server."""
    for _ in range(seconds * 10):
        found = [(one["thumb"], one["star"]) for turn in kept(page, stage, slug)["turns"]
                 for one in turn["answers"]]
        if want in found:
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{want} is not in {found}")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_conversation(stage, models, language):
    """Ask, ask for another, go back, write it better, reword; all of it is there later."""
    words = WORDS[language]
    slug = talking(stage, models, ["count"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat",
                           locale={"en": "en-US", "ko": "ko-KR"}[language],
                           permissions=["clipboard-read", "clipboard-write"])
    expect(box(page, words)).to_be_focused()
    say(page, "How does a wing lift?", words)
    first = finished(page).locator(".prose").inner_text()
    assert first.startswith("Answer number")
    expect(page.locator(".conversation-list a[aria-current]")).to_contain_text("How does a wing")

    # Another answer stands beside the first, and both can be looked at.
    answers(page).last.get_by_role("button", name=words["again"]).click()
    expect(answers(page).last.locator(".siblings")).to_contain_text("2/2")
    second = finished(page).locator(".prose").inner_text()
    assert second != first
    answers(page).last.get_by_role("button", name=words["previous"]).click()
    expect(answers(page).last.locator(".prose")).to_have_text(first)
    answers(page).last.get_by_role("button", name=words["next"]).click()
    expect(answers(page).last.locator(".prose")).to_have_text(second)

    # What is thought of it.
    last = answers(page).last
    last.get_by_role("button", name=words["copy"], exact=True).click()
    assert page.evaluate("navigator.clipboard.readText()") == second
    last.get_by_role("button", name=words["star"]).click()
    last.get_by_role("button", name=words["down"]).click()
    last.get_by_label(words["reason"]).check()
    last.get_by_label(words["own"]).fill("Wings are not numbers.")
    last.locator(".reasons").get_by_role("button", name=words["send"]).click()
    told(page, stage, slug, ("down", 4))

    # A better answer, and on from there.
    last.get_by_role("button", name=words["better"]).click()
    page.locator(".inline-editor textarea").fill("It pushes **air** down.")
    page.get_by_role("button", name=words["save"], exact=True).click()
    expect(answers(page).last).to_contain_text(words["edited"])
    expect(answers(page).last.locator("strong")).to_have_text("air")
    say(page, "Go on", words)
    expect(answers(page)).to_have_count(2)
    finished(page)
    assert [one["content"] for one in models.requests[-1]["body"]["messages"]] == [
        "How does a wing lift?", "It pushes **air** down.", "Go on"]

    # The question in other words begins another branch; the first one stays.
    page.get_by_role("button", name=words["question"]).first.click()
    page.locator(".inline-editor textarea").fill("Why do planes fly?")
    page.get_by_role("button", name=words["ask"]).click()
    expect(answers(page)).to_have_count(1)
    finished(page)
    expect(page.locator(".from-user .siblings")).to_contain_text("2/2")
    page.locator(".from-user").get_by_role("button", name=words["previous"]).click()
    expect(answers(page)).to_have_count(2)

    turns = kept(page, stage, slug)["turns"]
    assert [turn["content"] for turn in turns] == ["How does a wing lift?", "Go on",
                                                   "Why do planes fly?"]
    assert [len(turn["answers"]) for turn in turns] == [3, 1, 1]
    assert turns[1]["parent_id"] == turns[0]["answers"][2]["id"]
    page.reload()
    expect(page.locator(".question-text")).to_have_text("Why do planes fly?")
    page.locator(".from-user").get_by_role("button", name=words["previous"]).click()
    expect(page.locator(".question-text")).to_have_count(2)
    page.locator(".chat-side").get_by_role("link", name=words["new"]).click()
    expect(page.locator(".question-text")).to_have_count(0)
    page.locator(".conversation-list a").first.click()
    expect(page.locator(".question-text")).to_have_text("Why do planes fly?")


def test_keyboard_only(stage, models):
    slug = talking(stage, models, ["count", "slow"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    expect(box(page)).to_be_focused()
    page.keyboard.type("One line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("another line")
    page.keyboard.press("Enter")
    finished(page)
    assert models.requests[-1]["body"]["messages"][-1]["content"] == "One line\nanother line"
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(answers(page).last.locator(".siblings")).to_contain_text("2/2")
    finished(page)
    page.keyboard.press("ArrowLeft")
    expect(answers(page).last.locator(".siblings")).to_contain_text("1/2")
    page.keyboard.press("5")
    page.keyboard.press("u")
    expect(page.locator(".reasons")).to_be_visible()
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(page.locator(".reasons")).to_have_count(0)
    told(page, stage, slug, ("up", 5))
    page.keyboard.press("e")
    page.keyboard.press("Control+A")
    page.keyboard.type("Better words")
    page.keyboard.press("Control+Enter")
    expect(answers(page).last).to_contain_text("Edited by you")
    expect(box(page)).to_be_focused()
    page.keyboard.type("Next")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(2)
    finished(page)
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.keyboard.press("q")
    page.keyboard.press("Control+A")
    page.keyboard.type("Other words")
    page.keyboard.press("Enter")
    expect(page.locator(".question-text")).to_have_text("Other words")
    finished(page)
    page.keyboard.press("w")
    expect(box(page)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Ask for another answer")
    page.keyboard.press("Escape")
    page.keyboard.press("l")
    expect(page.locator(".conversation-list a").first).to_be_focused()
    page.keyboard.press("n")
    expect(page.locator(".question-text")).to_have_count(0)


def test_hangul_is_composed_before_it_is_sent(stage, models):
    slug = talking(stage, models, ["echo"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    box(page).fill("한글")
    box(page).evaluate("""(area) => area.dispatchEvent(new KeyboardEvent("keydown",
      {key: "Enter", isComposing: true, bubbles: true, cancelable: true}))""")
    page.wait_for_timeout(200)
    expect(answers(page)).to_have_count(0)
    page.keyboard.press("Enter")
    expect(finished(page).locator(".prose")).to_have_text("You said: 한글")


def test_streaming_is_read_aloud_by_pieces(stage, models):
    slug = talking(stage, models, ["slow"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    say(page, "First piece here\n\nSecond piece " + "word " * 40)
    spoken = answers(page).last.locator("[aria-live=polite]")
    expect(spoken).to_contain_text("First piece here")
    assert "word word" not in spoken.inner_text()
    expect(answers(page).last.locator(".tail")).to_contain_text("word word")
    expect(page.locator(".tail [aria-live], [aria-live] .tail")).to_have_count(0)
    finished(page)
    expect(answers(page).last.locator("[aria-live]")).to_have_count(0)
    assert answers(page).last.locator(".prose").inner_text().endswith("word")


def test_stop_and_go_on(stage, models):
    slug = talking(stage, models, ["slow"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    say(page, "word " * 200)
    expect(answers(page).last.locator(".tail")).to_contain_text("word word")
    page.keyboard.type("meanwhile")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    page.keyboard.press("Escape")
    expect(answers(page).last).to_contain_text("You stopped this answer.")
    expect(box(page)).to_have_value("meanwhile")
    # What the server kept of it is what can be made better, a moment later.
    expect(answers(page).last.get_by_role("button", name="Write a better")).to_be_enabled()
    [turn] = kept(page, stage, slug)["turns"]
    assert turn["answers"][0]["finish"] == "stopped"
    assert turn["answers"][0]["content"].startswith("You said: word word")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(2)
    expect(answers(page).last).to_contain_text("meanwhile")
    finished(page)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_trouble_loses_no_word(stage, models):
    """A model that fails, a network that is gone, a reload: the words go out in the end."""
    slug = talking(stage, models, ["error:500", "die", "slow"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat")
    page.get_by_label("Model", exact=True).select_option("error:500")
    say(page, "My precious words")
    expect(page.locator(".answer-problem")).to_contain_text("scripted 500")
    expect(box(page)).to_have_value("")
    page.reload()
    expect(box(page)).to_have_value("My precious words")
    page.get_by_label("Model", exact=True).select_option("slow")
    page.context.set_offline(True)
    box(page).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".answer-problem")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(finished(page).locator(".prose")).to_have_text("You said: My precious words")
    assert len(kept(page, stage, slug)["turns"]) == 1
    page.reload()
    expect(answers(page)).to_have_count(1)
    expect(box(page)).to_have_value("")

    # A model server that breaks off says so, and the answer can be had again.
    page.get_by_label("Model", exact=True).select_option("die")
    say(page, "one two three four")
    expect(page.locator(".answer-problem")).to_contain_text("broke off")
    page.get_by_label("Model", exact=True).select_option("slow")
    page.get_by_role("button", name="Try again").click()
    expect(finished(page).locator(".prose")).to_have_text("You said: one two three four")
    expect(page.locator(".answer-problem")).to_have_count(0)
    # Half a message, half a better answer: a reload keeps both.
    box(page).fill("half a mess")
    answers(page).last.get_by_role("button", name="Write a better answer").click()
    page.locator(".inline-editor textarea").fill("half an ans")
    page.reload()
    expect(box(page)).to_have_value("half a mess")
    answers(page).last.get_by_role("button", name="Write a better answer").click()
    expect(page.locator(".inline-editor textarea")).to_have_value("half an ans")


def test_a_stream_that_is_cut_off_says_so(stage, models):
    slug = talking(stage, models, ["slow", "echo"])
    page = stage.annotator(slug, path="/account")
    # What a proxy between does when it gives up: the reply ends before the answer does.
    page.add_init_script("""const real = window.fetch;
      window.fetch = async (...given) => {
        const reply = await real(...given);
        if (!String(given[0]).endsWith("/chat/messages") || window.mended) return reply;
        const reader = reply.body.getReader();
        let left = 6;
        return new Response(new ReadableStream({ async pull(out) {
          const { value, done } = await reader.read();
          left -= 1;
          if (done || left < 0) { reader.cancel(); out.error(new TypeError("network")); }
          else out.enqueue(value);
        } }), { status: reply.status, headers: reply.headers });
      };""")
    page.goto(f"{stage.server.url}/p/{slug}/chat")
    page.get_by_label("Model", exact=True).select_option("slow")
    say(page, "word " * 60)
    expect(page.locator(".answer-problem")).to_contain_text("cut off")
    expect(answers(page).last).to_contain_text("word word")
    page.evaluate("window.mended = true")
    page.get_by_label("Model", exact=True).select_option("echo")
    page.get_by_role("button", name="Try again").click()
    expect(finished(page).locator(".prose")).to_contain_text("word")
    expect(page.locator(".answer-problem")).to_have_count(0)


def test_hostile_words_stay_words(stage, models):
    """Asked, streamed, answered, edited, in the list: nothing runs or loads."""
    slug = talking(stage, models, ["slow"])
    page = stage.annotator(slug, path="/account")
    foreign = watch(page, stage.server)
    page.goto(f"{stage.server.url}/p/{slug}/chat")
    say(page, HOSTILE)
    finished(page)
    answers(page).last.get_by_role("button", name="Write a better answer").click()
    expect(page.locator(".inline-editor textarea")).to_be_focused()
    page.keyboard.type(" !")
    page.keyboard.press("Control+Enter")
    expect(answers(page).last).to_contain_text("Edited by you")
    for _ in range(2):
        expect(answers(page).last.locator(".katex").first).to_be_visible()
        page.wait_for_timeout(200)
        assert page.evaluate("window.__pwned") is None
        assert foreign == []
        thread = page.locator(".page.chat")
        for selector in ["script", "iframe", "img", "svg:not(.icon):not(.katex svg)", "style",
                         "object", "video", "base", "[onclick]", "[onerror]", "[srcdoc]"]:
            assert thread.locator(selector).count() == 0, selector
        for anchor in thread.locator(".prose a").all():
            assert anchor.get_attribute("href").startswith(("https://", "http://", "mailto:"))
            assert anchor.get_attribute("rel") == "noopener noreferrer nofollow"
        page.reload()
    expect(page.locator(".conversation-list")).to_contain_text("<script>")
    keep_only(stage.problems)


def test_nothing_to_talk_to(stage):
    slug = stage.project()
    page = stage.page(f"/p/{slug}/chat")
    expect(page.get_by_text("No model answers here yet")).to_be_visible()
    page.get_by_role("link", name="Model servers").click()
    page.get_by_text("Add or change a model server").click()
    servers = page.locator("#servers")
    servers.get_by_label("Name").fill("canned")
    servers.get_by_label("Address").fill("demo:")
    servers.get_by_role("button", name="Save the server").click()
    expect(servers.locator("tbody")).to_contain_text("demo:")
    page.get_by_role("link", name="Chat", exact=True).click()
    expect(box(page)).to_be_visible()
    say(page, "Hello?")
    expect(finished(page)).to_contain_text("Canned demo answer")


RICH = """Two ways to turn a list:

```python
def turned(items):
    return items[::-1]
```

| way | copies | cost |
|---|:-:|---:|
| `items[::-1]` | yes | $O(n)$ |
| `reversed(items)` | no | $O(1)$ |

1. The slice is *short*.
2. `reversed` is **lazy**."""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_screens(stage, models, language, width, theme):
    words = WORDS[language]
    slug = talking(stage, models, ["slow", "echo"])
    page = stage.annotator(slug, path=f"/p/{slug}/chat", color_scheme=theme,
                           viewport={"width": width, "height": 900 if width > 600 else 844},
                           locale={"en": "en-US", "ko": "ko-KR"}[language],
                           has_touch=width < 600, is_mobile=width < 600)
    looked = language == "en" and (width > 600 or theme == "light")

    def look(name):
        page.wait_for_timeout(250)
        stage.shot(page, f"chat-{name}-{language}-{theme}-{width}")
        if looked:
            check(page, name)

    expect(box(page, words)).to_be_visible()
    look("empty")
    say(page, RICH if language == "en" else RICH + "\n\n뒤집은 목록을 새로 만듭니다.", words)
    expect(answers(page).last.locator(".tail")).not_to_be_empty()
    look("streaming")
    finished(page)
    answers(page).last.get_by_role("button", name=words["again"]).click()
    expect(answers(page).last.locator(".siblings")).to_contain_text("2/2")
    finished(page)
    answers(page).last.get_by_role("button", name=words["star"]).click()
    answers(page).last.get_by_role("button", name=words["down"]).click()
    look("answer")
    page.keyboard.press("Escape")
    page.evaluate("window.scrollTo(0, 0)")
    look("top")
    page.get_by_role("button", name=words["question"]).first.click()
    look("reword")
    if width < 600:
        page.evaluate("window.scrollTo(0, 0)")
        page.locator(".chat-head .only-narrow").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        look("list")
