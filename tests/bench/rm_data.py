"""What the trainer's benchmarks share: pairs from ../shared/data, the base model, runs of train."""
import functools
import gzip
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "model"))

import rm  # noqa: E402
from rm import write  # noqa: E402, F401

HH = ROOT.parent / "shared" / "data" / "hh-harmless-test" / "test.jsonl.gz"
PANDALM = ROOT.parent / "shared" / "data" / "pandalm" / "testset-v1.json.gz"
SPEAKER = "Assistant:"
TURN = "\n\n" + SPEAKER
CHARACTERS_MAX = 1700  # of a prompt with an answer: about 450 tokens, so that nobody cuts or drops


@functools.cache
def peer_python():
    """Python with torch, transformers and TRL."""
    given = os.environ.get("INTEROP_PYTHON")
    if given:
        return given
    return subprocess.run([ROOT / "tests" / "interop" / "venv.sh"], check=True, text=True,
                          capture_output=True).stdout.split()[-1]


def made(*arguments):
    done = subprocess.run([peer_python(), ROOT / "tests" / "bench" / "smollm2.py", *arguments],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"SmolLM2-135M cannot be had: {done.stderr[-800:]}")
    return pathlib.Path(done.stdout.split()[-1])


@functools.cache
def base():
    """SmolLM2-135M-Instruct."""
    return made()


def scored_base(folder):
    """The same with a score head."""
    return made(str(folder))


def opened(path):
    if not path.exists():
        raise RuntimeError(f"needs {path.relative_to(ROOT.parent)}, which is not there")
    return gzip.open(path, "rt", encoding="utf-8")


def hh():
    """(prompt, chosen, rejected) of HH's harmless test: the prompt ends where Assistant speaks."""
    rows = []
    with opened(HH) as file:
        for row in map(json.loads, file):
            prompt, chosen = row["chosen"].rsplit(TURN, 1)
            other, rejected = row["rejected"].rsplit(TURN, 1)
            if prompt == other and chosen.strip() and rejected.strip():
                rows.append((prompt + TURN, chosen, rejected))
    return rows


def hh_plain(count, seed, join=""):
    """Some pairs of HH as plain texts, in the columns that TRL reads. The template raw joins prompt
    and answer by an empty line; peers, who join by nothing, get it with the prompt."""
    fit = [row for row in hh() if len(row[0]) + max(map(len, row[1:])) <= CHARACTERS_MAX]
    return [{"prompt": prompt.removesuffix(TURN) + join, "chosen": SPEAKER + chosen,
             "rejected": SPEAKER + rejected}
            for prompt, chosen, rejected in random.Random(seed).sample(fit, count)]


def place(text, shares=100):
    """Where a prompt falls, 0 to shares - 1: rows of one prompt fall together."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % shares


def ran(*arguments):
    """What `aileron-rm` says. Rows may be refused, which its report counts."""
    done = subprocess.run([str(rm.BINARY), *map(str, arguments), "--quiet"],
                          capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):  # 3: rows were refused
        raise RuntimeError(f"{arguments[0]}: {done.stderr[-1500:]}")
    return done.stdout


def train(*arguments):
    """One run of `aileron-rm train`: its steps, report, wall seconds and peak memory."""
    begun = time.monotonic()
    ran("train", *arguments)
    wall = time.monotonic() - begun
    out = pathlib.Path(arguments[arguments.index("--out") + 1])
    report = rm.report(out)
    return {"steps": rm.read(out / "train.jsonl"), "report": report, "wall_s": wall,
            "peak_kib": report["memory"]["resident_bytes_peak"] / 1024}
