"""Conversations as text equal what Jinja makes of the published templates and of our own sources."""
import json
import pathlib
import random

import pytest

import probe

jinja2 = pytest.importorskip("jinja2", reason="jinja2 is not installed")
from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: E402

pytestmark = pytest.mark.skipif(not probe.PROBE.exists(), reason="make c-tests builds the probe")

SMOLLM2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
           "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
           "Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message["
           "'content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
           "{{ '<|im_start|>assistant\n' }}{% endif %}")
ALL = ["raw", "human", "chatml", "smollm2", "qwen2", "qwen2.5", "qwen3", "llama3"]
TOOLS = ["raw", "qwen2.5", "qwen3"]
CONTENTS = ["", "x", "Hello there.", " padded \n", "\n\nlines\n", "한국어 <b>", "<think>\nhm\n</think>\n\nyes",
            "<think></think>no", "a</think>b</think>\n\nc", "<think>one<think>two\n\n</think> z",
            "</think>", "<tool_response>1</tool_response>", "<|im_end|>", "\x1c\u3000both\u2028",
            "{{ braces }}", "'quotes' \\n"]


def environment():
    """As transformers makes it."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    made.filters["tojson"] = lambda value, **_: json.dumps(value)
    return made


def conversations(roles, count=400):
    draw = random.Random(7)
    return [[{"role": draw.choice(roles), "content": draw.choice(CONTENTS)}
             for _ in range(draw.randint(1, 6))] for _ in range(count)]


def compare(name, source, count=400):
    template = environment().from_string(source)
    roles = ["system", "user", "assistant"] + (["tool"] if name in TOOLS else [])
    talks = conversations(roles, count)
    talks += [[{"role": "user", "content": a}, {"role": "assistant", "content": b}]
              for a in CONTENTS for b in CONTENTS]
    for talk, ours in zip(talks, probe.render(name, talks), strict=True):
        theirs = template.render(messages=talk, add_generation_prompt=False,
                                 bos_token="<|begin_of_text|>")
        assert ours == theirs, talk


def published():
    """(name, Jinja source) of the templates that are at hand."""
    found = [("smollm2", SMOLLM2), ("smollm2", SMOLLM2.replace("\n", "\\n")),
             ("qwen2", SMOLLM2.replace("You are a helpful AI assistant named SmolLM, trained by "
                                       "Hugging Face", "You are a helpful assistant."))]
    config = probe.SHARED / "qwen3/tokenizer_config.json"
    if config.exists():
        found.append(("qwen3", json.loads(config.read_text(encoding="utf-8"))["chat_template"]))
    try:
        import trl
    except ImportError:
        return found
    folder = pathlib.Path(trl.__file__).parent / "chat_templates"
    for name, file in (("qwen2.5", "qwen2_5"), ("qwen3", "qwen3"), ("llama3", "llama3"),
                       ("chatml", "qwen3_instruct_2507")):
        path = folder / f"{file}.jinja"
        if path.exists():
            found.append((name, path.read_text(encoding="utf-8")))
        if path.exists() and name == "qwen2.5":  # its base models' differs in this
            found.append(("qwen2", found[-1][1].replace("You are Qwen, created by Alibaba Cloud. ",
                                                        "")))
    return found


@pytest.mark.parametrize("name", ALL)
def test_own_sources(name):
    source = json.loads(probe.ask("source", name)[0])
    assert probe.ask("recognise", inputs=[source, source + "\n", source + " "]) == [name, name, "?"]
    compare(name, source)


def test_published_sources():
    sources = published()
    assert probe.ask("recognise", inputs=[one for _, one in sources]) == [n for n, _ in sources]
    for name, source in sources:
        compare(name, source, 150)


def test_what_is_not_known_is_not_guessed():
    changed = [source.replace("assistant", "bot") for _, source in published()]
    changed += [source + "{{ eos_token }}" for _, source in published()]
    changed += ["", "{{ messages }}"]
    assert set(probe.ask("recognise", inputs=changed)) == {"?"}


def test_reference_renderings():
    path = probe.SHARED / "qwen3/ref_qwen3_chat.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rendered = probe.render("qwen3", [row["messages"] for row in rows])
    for row, ours in zip(rows, rendered, strict=True):
        prompt = "<|im_start|>assistant\n" if row["add_generation_prompt"] else ""
        assert ours + prompt == row["rendered"]


def test_tool_calls_are_refused_where_the_source_writes_them():
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    calls = [talk[0], {**talk[1], "tool_calls": [call]}]
    for name, source in published():
        template = environment().from_string(source)
        plain, written = (template.render(messages=one, add_generation_prompt=False,
                                          bos_token="<|begin_of_text|>") for one in (talk, calls))
        assert probe.render(name, [calls]) == [plain if plain == written and name in (
            "smollm2", "llama3") else None], name


def test_roles_without_a_place_are_refused():
    talk = [{"role": "tool", "content": "x"}]
    assert probe.render("llama3", [talk, [], [{"role": "user", "content": "x"}]])[:2] == [None, None]
    assert probe.render("qwen3", [talk])[0] is not None
