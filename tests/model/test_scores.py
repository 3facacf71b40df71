"""eval and score of the real aileron-rm: their numbers against an independent computation from the
scores, ensembles, and what comes back for lines that cannot be scored."""
import json
import math
import os
import shutil
import subprocess

import pytest

import rm

HEADS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An ensemble, trained little enough to be wrong now and then."""
    folder = tmp_path_factory.mktemp("model")
    data = rm.write(folder / "data.jsonl", rm.rows(60))
    rm.run("train", *rm.TINY, "--out", folder / "out", "--data", data, "--batch", "8",
           "--steps", "3", "--heads", HEADS, "--split", "all")
    return folder / "out"


@pytest.fixture(scope="module")
def held():
    """Rows of all kinds that the model has not seen."""
    rows = rm.rows(60, seed=7)
    for number, row in enumerate(rows):
        row["group"] = f"user {number % 25}"
        row["tags"] = ["even" if number % 2 == 0 else "odd"]
    rows += [{"prompt": f"rank {n}", "group": f"user {n}",
              "completions": [{"content": f"yes {n}", "model": "m1"}, {"content": f"no {n} é"},
                              {"content": f"well {n}", "model": "m3"}],
              "judgments": [{"annotator": "v", "ranking": [[2], [0, 1]]}]} for n in range(6)]
    rows += [{"prompt": f"tie {n}", "completions": [{"content": f"yes {n}"}, {"content": f"no {n}"}],
              "judgments": [{"annotator": "w1", "choice": "tie"}]} for n in range(5)]
    rows += [{"prompt": f"liked {n}", "completion": "yes" if n % 3 else "no", "label": n % 2 == 0,
              "source": "implicit:retry"} for n in range(9)]
    return rows


def pairs_of(row):
    """(better, other, annotator, strength) of every strictly ordered pair."""
    for judgment in row.get("judgments", []):
        ranks = {}
        if "ranking" in judgment:
            ranks = {c: rank for rank, tied in enumerate(judgment["ranking"]) for c in tied}
        elif isinstance(judgment["choice"], int):
            ranks = {c: c != judgment["choice"] for c in range(len(row["completions"]))}
        for a in ranks:
            for b in ranks:
                if ranks[a] < ranks[b]:
                    yield a, b, judgment["annotator"], judgment.get("strength")


def combine(heads, how):
    mean = sum(heads) / len(heads)
    if how == "min":
        return min(heads)
    if how == "uwo":
        return mean - 2 * sum((x - mean) ** 2 for x in heads) / len(heads)
    return mean


@pytest.mark.parametrize("how", ["mean", "min", "uwo"])
def test_numbers_are_those_of_the_scores(model, held, tmp_path, how):
    data = rm.write(tmp_path / "held.jsonl", held)
    options = ["--combine", how, "--lambda", "2", *rm.SCORING]
    got = json.loads(rm.run("eval", "--model", model, "--data", data, "--json", *options).stdout)
    scored = rm.score(model, held, "--combine", how, "--lambda", "2")
    found = []  # difference, lengths, group, place, annotator, strength
    for row in scored:
        for a, b, annotator, strength in pairs_of(row):
            lengths = [len(row["completions"][c]["content"]) for c in (a, b)]
            found.append((row["scores"][a] - row["scores"][b], *lengths,
                          row.get("group", row["prompt"]), a < b, annotator, strength))
    count = len(found)
    assert got["pairs"] == count == 60 + 12 and got["ties"] == 5 + 6
    right = [1.0 if d > 0 else 0.0 for d, *_ in found]
    accuracy = sum(right) / count
    assert got["accuracy"] == pytest.approx(accuracy)
    assert got["log_loss"] == pytest.approx(sum(math.log1p(math.exp(-d)) for d, *_ in found) / count,
                                            rel=1e-6)
    assert got["brier"] == pytest.approx(
        sum((1 - 1 / (1 + math.exp(-d))) ** 2 for d, *_ in found) / count, rel=1e-6)
    longer = sum(1.0 if x > y else 0.5 if x == y else 0 for _, x, y, *_ in found)
    assert got["length_baseline"] == pytest.approx(max(longer, count - longer) / count)
    first = sum(place for *_, place, _, _ in found)
    assert got["majority_baseline"] == pytest.approx(max(first, count - first) / count)
    matched = [r for r, (_, x, y, *_) in zip(right, found) if abs(x - y) <= 0.1 * max(x, y)]
    assert got["length_matched"]["pairs"] == len(matched)
    assert got["length_matched"]["accuracy"] == pytest.approx(sum(matched) / max(1, len(matched)))
    check_interval(got, found, right, accuracy)
    check_calibration(got, found, right)
    check_slices(got, found, scored)
    check_correlation(got, scored)


def check_interval(got, found, right, accuracy):
    """Wilson's, with the effective number of pairs by the cluster-robust variance."""
    groups = {}
    for r, (*_, group, _, _, _) in zip(right, found):
        groups.setdefault(group, []).append(r - accuracy)
    n, g = len(right), len(groups)
    assert got["groups"] == g < n
    robust = sum(sum(x) ** 2 for x in groups.values()) / n ** 2 * g / (g - 1)
    cases = n / max(1, robust / (accuracy * (1 - accuracy) / n))
    assert got["effective_pairs"] == pytest.approx(cases)
    z = 1.959963984540054
    middle = (accuracy + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z / (1 + z * z / cases) * math.sqrt(accuracy * (1 - accuracy) / cases
                                               + z * z / (4 * cases ** 2))
    assert (got["lower"], got["upper"]) == pytest.approx((middle - half, middle + half))


def check_calibration(got, found, right):
    bins = [[] for _ in range(15)]
    for r, (d, *_) in zip(right, found):
        confidence = 1 / (1 + math.exp(-abs(d)))
        bins[min(14, int((confidence - 0.5) * 30))].append((confidence, r))
    error = sum(abs(sum(c for c, _ in b) - sum(r for _, r in b)) for b in bins) / len(right)
    assert got["ece"] == pytest.approx(error, rel=1e-6)
    assert [b["pairs"] for b in got["reliability"]] == [len(b) for b in bins]


def check_slices(got, found, scored):
    slices = got["slices"]
    assert set(slices) == {"annotator", "model", "source", "strength", "tag"}
    for name, value in slices["annotator"].items():
        mine = [d for d, *_, annotator, _ in found if annotator == name]
        assert value["pairs"] == len(mine)
        assert value["accuracy"] == pytest.approx(sum(d > 0 for d in mine) / len(mine))
    everything = slices["source"]["import"]  # so its interval is that of all pairs
    assert [everything[k] for k in ("groups", "lower", "upper")] == pytest.approx(
        [got[k] for k in ("groups", "lower", "upper")])
    assert {k: v["pairs"] for k, v in slices["strength"].items()} == {"1": 20, "2": 20, "3": 20}
    assert {k: v["pairs"] for k, v in slices["tag"].items()} == {"even": 30, "odd": 30}
    assert slices["source"]["import"]["pairs"] == len(found)
    assert slices["model"]["m3"]["pairs"] == 12 and slices["model"]["m2"]["pairs"] == 60
    labels = [(row["scores"][0], row["label"]) for row in scored if "label" in row]
    wins = [1.0 if a > b else 0.5 if a == b else 0 for a, x in labels for b, y in labels if x and not y]
    assert got["labels"]["retry"]["labels"] == 9
    assert got["labels"]["retry"]["auc"] == pytest.approx(sum(wins) / len(wins))


def check_correlation(got, scored):
    values = [(s, len(c)) for row in scored
              for s, c in zip(row["scores"], [c["content"] for c in row["completions"]]
                              if "completions" in row else [row["completion"]])]
    mean = [sum(v) / len(values) for v in zip(*values)]
    spread = [math.sqrt(sum((x - m) ** 2 for x in v)) for v, m in zip(zip(*values), mean)]
    product = sum((s - mean[0]) * (c - mean[1]) for s, c in values)
    assert got["length_correlation"] == pytest.approx(product / spread[0] / spread[1], rel=1e-6)


def test_scores_come_back_in_order_with_their_lines(model):
    lines = [{"prompt": "a", "completions": ["yes", "no", "maybe"], "mine": {"kept": [1, None]}},
             {"prompt": [{"role": "user", "content": "a"}],
              "completions": [{"content": "yes"}, {"content": "no", "model": "m"}]},
             {"prompt": "a", "chosen": "yes", "rejected": "no"},
             {"prompt": "a", "completion": "yes", "label": True},
             {"prompt": [{"role": "user", "content": "a\nb"}], "completions": ["yes", "no"]},
             {"prompt": [{"role": "user", "content": [{"type": "text", "text": "a"},
                                                      {"type": "text", "text": "b"}]}],
              "completions": ["yes", "no"]}]
    scored = rm.score(model, lines)
    assert [len(row["scores"]) for row in scored] == [3, 2, 2, 1, 2, 2]
    assert scored[5]["scores"] == scored[4]["scores"] != scored[0]["scores"][:2]
    for line, row in zip(lines, scored):
        assert {key: value for key, value in row.items() if key != "scores"} == line
    yes, no = scored[0]["scores"][:2]
    assert scored[1]["scores"] == pytest.approx([yes, no], abs=1e-5)
    assert scored[2]["scores"] == pytest.approx([yes, no], abs=1e-5)
    assert scored[3]["scores"] == pytest.approx([yes], abs=1e-5)
    again = rm.score(model, scored)
    assert [row["scores"] for row in again] == [row["scores"] for row in scored]


@pytest.mark.parametrize("level", ["SSE41", "AVX2", "AVX512_CORE"])
def test_products_for_older_processors_give_the_same_scores(model, held, level):
    """--dtype auto goes by what oneDNN may use, not by what the processor has."""
    lines = "".join(json.dumps(row) + "\n" for row in held[:5])
    done = rm.run("score", "--model", model, "--quiet", input=lines,
                  env={**os.environ, "ONEDNN_MAX_CPU_ISA": level})
    got = [json.loads(line)["scores"] for line in done.stdout.splitlines()]
    for row, scores in zip(rm.score(model, held[:5]), got, strict=True):
        assert scores == pytest.approx(row["scores"], rel=1e-5)


@pytest.mark.skipif("asan" in str(rm.BINARY), reason="a sanitizer needs its own address space")
def test_processors_without_avx512_score_and_train(model, held, tmp_path):
    """The same binary under an emulator of processors: one has AVX2, the other not even AVX."""
    emulator = shutil.which("qemu-x86_64")
    if not emulator:
        pytest.skip("qemu-x86_64 (Debian's qemu-user) is not installed")

    def emulated(processor, *arguments, **options):
        return subprocess.run(  # the setting keeps the program from starting itself anew, outside
            [emulator, "-cpu", processor, str(rm.BINARY), *map(str, arguments)], check=True,
            capture_output=True, text=True, env={**os.environ, "GOMP_SPINCOUNT": "1000"}, **options)

    expected = rm.score(model, held[:1])[0]["scores"]
    for processor in ("Haswell", "Nehalem"):
        done = emulated(processor, "score", "--model", model, "--quiet", *rm.SCORING,
                        input=json.dumps(held[0]) + "\n")
        assert json.loads(done.stdout)["scores"] == pytest.approx(expected, rel=1e-4)
    data = rm.write(tmp_path / "data.jsonl", rm.rows(2))
    steps = ["--data", data, "--batch", "2", "--steps", "2", "--split", "all"]
    emulated("Nehalem", "train", *rm.TINY, "--out", tmp_path / "emulated", *steps)
    rm.run("train", *rm.TINY, "--out", tmp_path / "here", *steps)
    ours, other = ([json.loads(line)["loss"] for line in (tmp_path / name / "train.jsonl").open()]
                   for name in ("here", "emulated"))
    assert other == pytest.approx(ours, rel=1e-4)


def test_batches_and_shared_prompts_change_nothing(model, held):
    whole = rm.score(model, held)
    for options in (["--micro-rows", "1"], ["--share=no"]):
        other = rm.score(model, held, *options)
        for a, b in zip(whole, other):
            assert a["scores"] == pytest.approx(b["scores"], abs=2e-5)


def test_ensembles_combine_their_heads(model, held):
    """The minimum and mean - lambda · variance lie below the mean, answer by answer."""
    mean, least, worst = (rm.score(model, held[:5], "--combine", how, "--lambda", "2")
                          for how in ("mean", "min", "uwo"))
    for a, b, c in zip(mean, least, worst):
        assert all(x > y for x, y in zip(a["scores"], b["scores"]))
        assert all(x > y for x, y in zip(a["scores"], c["scores"]))


def test_lines_that_cannot_be_scored_say_why(model):
    lines = ['{"prompt":"a","completions":["yes"]}', "{", "[1]", '{"prompt":1,"completions":["a"]}',
             '{"prompt":"a","completions":[1]}', '{"prompt":"a","completions":[]}', '{"a":1}', "",
             '{"prompt":"a","completions":["no"]}']
    got = rm.score(model, lines, status=3)
    assert len(got) == 8
    assert "scores" in got[0] and "scores" in got[7]
    for row, line in zip(got[1:7], range(2, 8)):
        assert row["error"] and row["line"] == line and "scores" not in row
    assert got[3]["pointer"] == "/prompt" and got[4]["pointer"] == "/completions/0"
    done = rm.run("score", "--model", model, *rm.SCORING, input="\n".join(lines), status=3)
    assert "6 lines" in done.stderr and "line 2:" in done.stderr
    long = {"prompt": "a", "completions": ["yes " * 700]}
    assert "1024" in rm.score(model, [long], status=3)[0]["error"]


def test_rows_that_were_trained_on_are_not_evaluated(model, tmp_path):
    fresh, old = rm.rows(4, seed=8), rm.rows(60)
    data = rm.write(tmp_path / "data.jsonl", [*fresh, old[0]])
    done = rm.run("eval", "--model", model, "--data", data, status=1)
    assert "data.jsonl:5:" in done.stderr and "--allow-train-rows" in done.stderr
    for option, marked, pairs, left in (("--allow-train-rows", True, 5, 0),
                                        ("--skip-train-rows", False, 4, 1)):
        got = json.loads(rm.run("eval", "--model", model, "--data", data, "--json", option).stdout)
        assert got["trained_rows_evaluated"] is marked and got["pairs"] == pairs
        assert got["data"]["left_out_because_trained"] == left
        assert got["training_data_known"] is True
    assert "TRAINED ON" in rm.run("eval", "--model", model, "--data", data,
                                  "--allow-train-rows").stdout


def test_eval_refuses_what_it_cannot_read(model, tmp_path):
    data = rm.write(tmp_path / "data.jsonl", [*rm.rows(3, seed=8), "{"])
    assert ":4:" in rm.run("eval", "--model", model, "--data", data, status=3).stderr
    assert "--model" in rm.run("eval", "--data", data, status=2).stderr
    assert "--data" in rm.run("eval", "--model", model, status=2).stderr
    rm.run("eval", "--model", tmp_path / "absent", "--data", data, status=1)
    (tmp_path / "damaged").mkdir()
    for file in model.iterdir():
        if file.is_file():
            (tmp_path / "damaged" / file.name).write_bytes(file.read_bytes())
    groups = tmp_path / "damaged" / "aileron_train_groups.bin"
    groups.write_bytes(groups.read_bytes()[:-3])
    done = rm.run("eval", "--model", tmp_path / "damaged", "--data", data, status=1)
    assert "damaged" in done.stderr
