"""Runs tests/model/probe_tokenizer.c and reads its answers."""
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBE = ROOT / "build/release/tests/model/probe_tokenizer"
SHARED = ROOT.parent / "shared/data/tokenizers"


def ask(*arguments, inputs=()):
    """One answer line for each input (text or bytes)."""
    parts = [text if isinstance(text, bytes) else text.encode() for text in inputs]
    data = b"".join(b"%d\n%s" % (len(part), part) for part in parts)
    done = subprocess.run([PROBE, *map(str, arguments)], input=data, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\n")[:-1]


def encode(path, texts):
    return [[int(one) for one in line.split()] for line in ask("encode", path, inputs=texts)]


def render(template, conversations):
    lines = ask("render", template, inputs=[json.dumps(one) for one in conversations])
    return [json.loads(line) for line in lines]
