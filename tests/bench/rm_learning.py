"""Does the trainer learn what people prefer? SmolLM2-135M's features and an ensemble of score heads on
HH's harmless pairs and on PandaLM, measured on prompts it has not seen.

A fifth of the prompts is held out, by a hash of their text. Mode and numbers below were chosen by
cross-validation within the other four fifths of HH. What a run leaves (learning curve, report,
evaluation) goes to build/bench/learning-NAME/.
"""
import json
import shutil
import tempfile
import pathlib

import rm_data  # which also says where rm is
import rm

HELD_OUT = 20  # of 100
LENGTH = 512
CHOSEN = ["--mode", "head", "--heads", 8, "--epochs", 15, "--lr", "1e-3", "--batch", 64,
          "--max-length", LENGTH]
KEPT = ("train.jsonl", "report.json", "learning_curve.svg")


def hh_rows():
    """(prompt, line) of HH's harmless test."""
    with rm_data.opened(rm_data.HH) as file:
        for line in map(json.loads, file):
            yield line["chosen"].rsplit(rm_data.TURN, 1)[0], line


def pandalm_rows():
    """(prompt, line) of PandaLM's test, with its three annotators; six rows have no text."""
    choices = {0: "tie", 1: 0, 2: 1}
    with rm_data.opened(rm_data.PANDALM) as file:
        rows = json.load(file)
    for row in rows:
        answers = [row["response1"], row["response2"]]
        if not all(isinstance(answer, str) for answer in answers):
            continue
        prompt = row["instruction"] + ("\n\n" + row["input"] if row["input"] else "")
        models = row["cmp_key"].split("_")
        yield prompt, {
            "prompt": prompt,
            "completions": [{"model": m, "content": a} for m, a in zip(models, answers)],
            "judgments": [{"annotator": f"annotator{n}", "choice": choices[row[f"annotator{n}"]]}
                          for n in (1, 2, 3)]}


def learn(name, rows, folder):
    """The evaluation on the held-out prompts."""
    rows = list(rows)
    held = [line for prompt, line in rows if rm_data.place(prompt) < HELD_OUT]
    seen = [line for prompt, line in rows if rm_data.place(prompt) >= HELD_OUT]
    train, test = rm_data.write(folder / "train.jsonl", seen), rm_data.write(folder / "test.jsonl", held)
    out = folder / "out"
    run = rm_data.train("--base", rm_data.base(), "--data", train, "--out", out, "--split", "all",
                        "--eval-share", "0", *CHOSEN)
    done = rm.run("eval", "--model", out, "--data", test, "--json", "--quiet")
    kept = rm_data.ROOT / "build" / "bench" / f"learning-{name}"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "eval.json").write_text(done.stdout, "utf-8")
    for file in KEPT:
        if (out / file).exists():
            shutil.copy(out / file, kept)
    figures = json.loads(done.stdout)
    print(f"  {name}: {len(seen)} rows, trained in {run['wall_s']:.0f} s; held out "
          f"{figures['pairs']} pairs: accuracy {figures['accuracy']:.4f}, "
          f"95 % {figures['lower']:.4f} to {figures['upper']:.4f}", flush=True)
    return figures


def measure(bench):
    for name, rows in (("hh", hh_rows()), ("pandalm", pandalm_rows())):
        with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
            figures = learn(name, rows, pathlib.Path(folder))
        for rule, key in (("length only", "length_baseline"), ("majority", "majority_baseline")):
            bench.result("learning", f"{name}: least accuracy (95 %)", figures["lower"], "", rule,
                         figures[key], 1)
