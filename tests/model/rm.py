"""aileron-rm for tests: runs it on small planted data. Only the standard library is used."""
import json
import os
import pathlib
import random
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("AILERON_RM_BINARY", ROOT / "build" / "aileron-rm")).absolute()
WORDS = "red blue green small large warm cold quick slow bright dark soft hard round flat".split()
SECONDS = 600
SCORING = ["--dtype", "fp32", "--threads", "1"]
# short texts and large steps: a run takes a second or two
TINY = ["--init", "tiny", "--dtype", "fp32", "--threads", "1", "--quiet", "--template", "raw",
        "--lr", "0.003"]


def run(*arguments, status=0, **options):
    """The finished process; its exit status must be `status`."""
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True,
                          timeout=SECONDS, check=False, **options)
    assert done.returncode == status, f"{done.returncode}, not {status}: {done.stderr[-2000:]}"
    return done


def start(*arguments):
    """The running process, to be interrupted."""
    return subprocess.Popen([str(BINARY), *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def answer(source, good):
    """A few words; what people prefer is the word "yes"."""
    words = [source.choice(WORDS) for _ in range(source.randint(1, 3))]
    words.insert(source.randrange(len(words) + 1), "yes" if good else "no")
    return " ".join(words)


def rows(count, seed=1, **more):
    """Comparisons of two answers each, of which the one with "yes" was preferred."""
    source = random.Random(seed)
    made = []
    for number in range(count):
        good = source.random() < 0.5
        made.append({"prompt": f"{seed}.{number} {source.choice(WORDS)}",
                     "completions": [{"model": "m1", "content": answer(source, good)},
                                     {"model": "m2", "content": answer(source, not good)}],
                     "judgments": [{"annotator": f"w{number % 3}", "choice": 0 if good else 1,
                                    "strength": 1 + number % 3}], **more})
    return made


def write(path, lines):
    """NDJSON from objects (or texts, as they are)."""
    path = pathlib.Path(path)
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n"
                            for line in lines), encoding="utf-8")
    return path


def read(path):
    """The objects of an NDJSON file."""
    return [json.loads(line) for line in pathlib.Path(path).read_text("utf-8").splitlines()]


def report(out):
    return json.loads((pathlib.Path(out) / "report.json").read_text("utf-8"))


def score(model, lines, *arguments, status=0):
    """What `aileron-rm score` answers to lines."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    done = run("score", "--model", model, *SCORING, "--quiet", *arguments, input=text,
               status=status)
    return [json.loads(line) for line in done.stdout.splitlines()]
