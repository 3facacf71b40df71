"""The annotate page in Chromium: bytes of the first load, and the time from a key to the next task."""
import json
import os
import statistics
import subprocess
import urllib.request

from playwright.sync_api import sync_playwright

BROWSER_ARGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync"]
TASKS = 60
PAINT_TIMES = """() => {
  const at = (name) => performance.getEntriesByName(name).map((mark) => mark.startTime);
  const keys = at("aileron:key"), painted = at("aileron:painted");
  return keys.map((key, index) => painted[index] - key).filter((time) => time > 0);
}"""


def command(server, binary, *arguments):
    done = subprocess.run([binary, *arguments, "--data", server.data], capture_output=True, text=True,
                          check=True)
    return done.stdout.strip()


def prepare(server, binary):
    """A project with tasks of about 1.5 KiB, and the token of a one-time sign-in link."""
    command(server, binary, "project", "add", "page")
    key = command(server, binary, "key", "add", "--project", "page", "--role", "researcher")
    rows = "".join(json.dumps({"prompt": f"Question {n}: why does a wing lift?", "completions": [
        {"content": f"**First** answer {n}. " + "It turns the air downwards, and so. " * 20},
        {"content": f"Second answer {n}:\n\n1. pressure\n2. speed\n\n" + "Both together. " * 30}]})
        + "\n" for n in range(TASKS))
    request = urllib.request.Request(
        server.url + "/api/v1/projects/page/import", rows.encode(), method="POST",
        headers={"Authorization": "Bearer " + key, "Content-Type": "application/x-ndjson"})
    urllib.request.urlopen(request).read()
    link = command(server, binary, "user", "add", "page-person", "--admin")
    return link.split("#link=")[1]


def load_bytes(context, url):
    """Every byte that came over the wire, headers too, until the first task stands."""
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    total = []
    session.on("Network.loadingFinished", lambda event: total.append(event["encodedDataLength"]))
    page.goto(url)
    page.get_by_text("Question", exact=False).first.wait_for()
    page.wait_for_load_state("networkidle")
    return page, sum(total)


def measure(server):
    binary = os.environ.get("AILERON_BINARY", "build/aileron")
    token = prepare(server, binary)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=BROWSER_ARGS)
        context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
        reply = context.request.post(server.url + "/api/v1/session/link", data={"token": token},
                                     headers={"Origin": server.url})
        assert reply.ok, reply.text()
        page, size = load_bytes(context, server.url + "/p/page/annotate")
        if page.get_by_role("dialog").count():
            page.keyboard.press("Enter")
        for turn in range(TASKS - 15):
            page.keyboard.press("1" if turn % 2 else "5")
            page.wait_for_timeout(60)
        times = sorted(page.evaluate(PAINT_TIMES))
        browser.close()
    print(f"  {len(times)} keys: median {statistics.median(times):.1f} ms, slowest {times[-1]:.1f} ms")
    return {"kib": size / 1024, "paint_ms": times[int(len(times) * 0.95)]}
