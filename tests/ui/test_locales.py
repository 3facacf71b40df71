"""The two languages say the same things, and every sentence the code asks for exists."""
import json
import pathlib
import re

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"


def part(name):
    return json.loads((STATIC / "locales" / f"{name}.json").read_text(encoding="utf-8"))


def locale(name):
    return {**part(name), **part(f"{name}.desk")}


def test_same_keys_and_places():
    english, korean = locale("en"), locale("ko")
    assert list(english) == list(korean) and list(part("en")) == list(part("ko"))
    assert not part("en").keys() & part("en.desk").keys()
    for key, text in english.items():
        places = set(re.findall(r"\{(\w+)\}", text))
        other = set(re.findall(r"\{(\w+)\}", korean[key]))
        assert other <= places | {"n"}, key


def test_every_sentence_in_the_code_exists():
    source = "".join(path.read_text() for path in STATIC.glob("js/**/*.js"))
    used = set(re.findall(r"\bt\(\s*\"([a-z_]+\.[\w.-]+)\"", source))
    known = {re.sub(r"\.(one|other)$", "", key) for key in locale("en")}
    assert used - known == set()


def test_pages_without_the_words_of_the_desk_use_none():
    table = (STATIC / "js" / "routes.js").read_text()
    views = re.findall(r"view: \"(\w+)\"(?!.*desk: true)", table)
    assert "annotate" in views and "settings" not in views
    seen, queue = set(), [STATIC / "js" / "app.js"] + [STATIC / f"js/views/{v}.js" for v in views]
    desk = {key.split(".")[0] for key in part("en.desk")}
    while queue:
        path = queue.pop().resolve()
        if path in seen:
            continue
        seen.add(path)
        source = path.read_text()
        queue += [path.parent / name for name in re.findall(r"from \"(\.[^\"]+)\"", source)]
        used = {name.split(".")[0] for name in re.findall(r"[\"`](\w+\.[\w$.{}-]+)[\"`]", source)}
        assert not used & desk, f"{path}: {used & desk}"
    assert len(seen) > 30


def test_house_rules():
    sizes = {path: path.read_text().splitlines() for path in STATIC.glob("js/**/*.js")}
    for path, lines in sizes.items():
        assert re.match(r"// [A-Z].*[.:]$", lines[0]), f"{path}: no purpose on the first line"
        assert all(len(line) <= 100 for line in lines), path
        if path.parent.name == "views":
            assert len(lines) <= 250, path
            imports = [line for line in lines if re.search(r"from \"\./", line)]
            assert imports == [], f"{path}: a view imports a view"
        text = "\n".join(lines)
        # One place parses HTML; one talks to the network; one makes the policy.
        assert not re.search(r"\.(inner|outer)HTML\s*=|insertAdjacentHTML|document\.write", text)
        if path.name != "api.js":
            assert not re.search(r"(?<![.\w])fetch\(|XMLHttpRequest|sendBeacon", text), path
        if path.name != "safehtml.js":
            assert "DOMParser" not in text and ".setHTML(" not in text, path
    page = (STATIC / "index.html").read_text()
    assert "style=" not in page and not re.search(r"\son\w+=", page)
    assert not re.search(r"<script(?![^>]*src=)", page)
