"""Model output is hostile: whatever it holds, nothing runs, loads or leaves the page."""
from playwright.sync_api import expect

from conftest import task

HOSTILE = """# Title
<script>window.__pwned = 1</script>
<img src=x onerror="window.__pwned = 1">
<svg onload="window.__pwned = 1"></svg>
<iframe src="https://evil.example/"></iframe>
<form action="https://evil.example/"><input name=q><button>go</button></form>
<a href="javascript:window.__pwned = 1">raw</a>
<style>body { display: none }</style>
<base href="https://evil.example/">
<math><mtext><table><mglyph><style><img src=x onerror=window.__pwned=1></style></table></math>

[script link](javascript:window.__pwned=1) [data](data:text/html,<script>1</script>)
[good](https://example.org/page) ![picture](https://evil.example/pixel.png)
<https://example.org/auto>

$\\href{javascript:window.__pwned=1}{x}$ $\\includegraphics{https://evil.example/x.png}$
$\\htmlStyle{position:fixed}{y}$ $e^{i\\pi}+1=0$

```html
<script>window.__pwned = 1</script><img src=x onerror=window.__pwned=1>
```

```js"><img src=x onerror=window.__pwned=1>
const x = "</code></pre><script>window.__pwned=1</script>";
```
"""

# What a server that forgot to clean its HTML might send.
RAW = """<p onclick="window.__pwned=1" style="position:fixed;inset:0" id="main">text</p>
<script>window.__pwned=1</script><img src="https://evil.example/a.png" onerror="window.__pwned=1"
alt="pic"><svg><script>window.__pwned=1</script><a href="javascript:1"><text>x</text></a></svg>
<a href="javascript:window.__pwned=1" target="_self">a</a><a href="//evil.example">relative</a>
<a href="https://example.org/">ok</a><iframe srcdoc="<script>parent.__pwned=1</script>"></iframe>
<form action="https://evil.example"><input type="text" autofocus onfocus="window.__pwned=1"></form>
<template><img src=x onerror="window.__pwned=1"></template><object data="x"></object>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=1&gt;">
<details open ontoggle="window.__pwned=1"><summary>s</summary></details><video src="x"
onerror="window.__pwned=1"></video><p class="bar dialog visually-hidden">classy</p>"""


def watch(page, server):
    foreign = []
    page.on("request", lambda request: foreign.append(request.url)
            if not request.url.startswith((server.url, "data:", "blob:")) else None)
    page.on("dialog", lambda dialog: (foreign.append("dialog"), dialog.dismiss()))
    return foreign


def check_inert(page, foreign):
    answer = page.locator(".stage .task")
    assert page.evaluate("window.__pwned") is None
    assert foreign == []
    for selector in ["script", "iframe", "form", "img", "svg:not(.icon):not(.katex svg)", "style",
                     "object", "video", "base", "[onclick]", "[onerror]", "[srcdoc]"]:
        assert answer.locator(f".prose {selector}").count() == 0, selector
    for anchor in answer.locator(".prose a").all():
        assert anchor.get_attribute("href").startswith(("https://", "http://", "mailto:"))
        assert anchor.get_attribute("target") == "_blank"
        assert anchor.get_attribute("rel") == "noopener noreferrer nofollow"


def test_hostile_markdown(stage):
    slug = stage.project([{"prompt": HOSTILE, "completions": [
        {"content": HOSTILE}, {"content": "Plain, with $x^2$ and:\n\n```python\nx = 1\n```"}]}])
    page = stage.annotator(slug, path="/")
    foreign = watch(page, stage.server)
    page.goto(f"{stage.server.url}/p/{slug}/annotate")
    task(page)
    expect(page.locator(".answer .katex").first).to_be_visible()
    expect(page.locator(".answer .hljs-number").first).to_be_visible()
    page.wait_for_timeout(300)
    check_inert(page, foreign)
    assert page.locator(".answer a[href='https://example.org/page']").count() == 1
    # The edit box holds the text itself, not its look.
    page.keyboard.press("e")
    page.keyboard.press("a")
    assert page.locator("[data-slot=A] textarea").count() == 1
    stage.shot(page, "hostile-en-light-1280")
    stage.problems[:] = [text for text in stage.problems if "style" not in text]


def test_hostile_html_from_the_server(stage):
    """Even unclean HTML in a lease stays inert: through setHTML and through the fallback."""
    slug = stage.project([{"prompt": "x", "completions": [{"content": "a"}, {"content": "b"}]}])

    def unclean(route):
        reply = route.fetch()
        body = reply.json()
        for lease in body["leases"]:
            for candidate in lease["task"]["candidates"]:
                candidate["html"] = RAW
        route.fulfill(response=reply, json=body)

    for has_sanitizer in (True, False):
        page = stage.annotator(slug, path="/account")
        if not has_sanitizer:
            page.add_init_script("delete Element.prototype.setHTML")
        foreign = watch(page, stage.server)
        page.route("**/api/v1/projects/*/leases", unclean)
        page.goto(f"{stage.server.url}/p/{slug}/annotate")
        task(page)
        page.wait_for_timeout(300)
        check_inert(page, foreign)
        assert page.locator(".answer [style]").count() == 0
        assert page.locator(".answer .prose [class*=bar]").count() == 0
        assert page.locator("#main").count() == 1
        page.keyboard.press("s")
        page.keyboard.press("1")
        saved_text = page.locator(".save-status .status-text")
        expect(saved_text).to_have_text("All saved")
        # The browser reports what its policy kept from running; that is the policy at work.
        stage.problems[:] = [one for one in stage.problems if "Content Security Policy" not in one]
