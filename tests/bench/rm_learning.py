"""Does the trainer learn what people prefer? SmolLM2-135M's features and an ensemble of score heads on
HH's harmless pairs and on PandaLM, measured on prompts it has not seen.

The prompts are in fifths by a hash of their text; each fifth is held out from a run of its own, and
the five evaluations are pooled, so that every pair counts once, judged by heads that have not seen its
prompt. One fifth of HH is 465 pairs, whose interval is 0.087 wide: the build decides on which side of
a baseline it ends. Mode and numbers below were chosen by cross-validation within the last four fifths
of HH. What the runs leave (learning curve, report, evaluation) goes to build/bench/learning-NAME/.
"""
import json
import math
import shutil
import tempfile
import pathlib

import rm_data

FOLDS = 5  # of 100 places of rm_data.place, 20 each
Z = 1.959963984540054
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


def learn(name, rows, fold, folder):
    """The evaluation on the fold's prompts of heads trained on the others. Folds have one --out, so
    the features of a pair are computed once."""
    held, seen = [], []
    for prompt, line in rows:
        (held if rm_data.place(prompt) * FOLDS // 100 == fold else seen).append(line)
    train, test = rm_data.write(folder / "train.jsonl", seen), rm_data.write(folder / "test.jsonl", held)
    out = folder / "out"
    run = rm_data.train("--base", rm_data.base(), "--data", train, "--out", out, "--split", "all",
                        "--eval-share", "0", "--overwrite", *CHOSEN)
    told_by_eval = rm_data.ran("eval", "--model", out, "--data", test, "--json")
    kept = rm_data.ROOT / "build" / "bench" / f"learning-{name}" / f"fold-{fold}"
    kept.mkdir(parents=True, exist_ok=True)
    (kept / "eval.json").write_text(told_by_eval, "utf-8")
    for file in KEPT:
        shutil.copy(out / file, kept)
    figures = json.loads(told_by_eval)
    told(f"{name}, fold {fold}: {len(seen)} rows, trained in {run['wall_s']:.0f} s; held out", figures)
    return figures


def told(what, figures):
    print(f"  {what} {figures['pairs']} pairs: accuracy {figures['accuracy']:.4f}, 95 % "
          f"{figures['lower']:.4f} to {figures['upper']:.4f}, length only {figures['length_baseline']:.4f}, "
          f"majority {figures['majority_baseline']:.4f}", flush=True)


def pooled(folds):
    """All pairs as one evaluation: means by pairs, and Wilson's interval with the effective number of
    pairs, folds having no prompt in common. Each fold's baseline is its own better rule."""
    count = sum(fold["pairs"] for fold in folds)
    mean = {key: sum(fold["pairs"] * fold[key] for fold in folds) / count
            for key in ("accuracy", "length_baseline", "majority_baseline")}
    share = mean["accuracy"]
    variance = sum((fold["pairs"] / count) ** 2 * fold["accuracy"] * (1 - fold["accuracy"])
                   / fold["effective_pairs"] for fold in folds)
    cases = share * (1 - share) / variance
    middle = (share + Z * Z / (2 * cases)) / (1 + Z * Z / cases)
    half = Z / (1 + Z * Z / cases) * math.sqrt(share * (1 - share) / cases + Z * Z / (4 * cases ** 2))
    return {**mean, "pairs": count, "lower": middle - half, "upper": middle + half}


def measure(bench):
    for name, rows in (("hh", list(hh_rows())), ("pandalm", list(pandalm_rows()))):
        with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
            folds = [learn(name, rows, fold, pathlib.Path(folder)) for fold in range(FOLDS)]
        figures = pooled(folds)
        told(f"{name}, {FOLDS} folds:", figures)
        for rule, key in (("length only", "length_baseline"), ("majority", "majority_baseline")):
            bench.result("learning", f"{name}: least accuracy (95 %)", figures["lower"], "", rule,
                         figures[key], 1)
