"""Runs of the real aileron-rm from scratch (--init tiny): that they learn, repeat bit for bit,
survive kill -9 and SIGTERM, stop early, and refuse what they should."""
import json
import random
import re
import resource
import shutil
import signal
import struct
import time

import pytest

import rm


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rm.write(tmp_path_factory.mktemp("rows") / "data.jsonl", rm.rows(120))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """One finished run that the tests look at."""
    out = tmp_path_factory.mktemp("runs") / "model"
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "2")
    return out


def weights(out):
    return (out / "model.safetensors").read_bytes()


def test_a_planted_preference_is_learned(trained):
    report = rm.report(trained)
    assert report["heldout"]["accuracy"] >= 0.85 and report["heldout"]["pairs"] >= 8, report["heldout"]
    assert report["heldout"]["log_loss"] < 0.5
    assert report["data"]["trained"] + report["data"]["held_out"] \
        + report["data"]["other_splits"] == 120
    steps = rm.read(trained / "train.jsonl")
    assert [line["step"] for line in steps] == list(range(1, report["steps"] + 1))
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert any("heldout" in line for line in steps)
    assert (trained / "learning_curve.svg").read_text("utf-8").startswith("<svg")
    assert not (trained / "checkpoints").exists()


def test_the_hash_of_the_data_is_that_of_b2sum(trained, data):
    import hashlib
    expected = hashlib.blake2b(data.read_bytes(), digest_size=32).hexdigest()
    assert rm.report(trained)["data"]["origin"]["hash"] == expected


def test_the_same_seed_gives_the_same_bytes(data, trained, tmp_path):
    again = tmp_path / "again"
    rm.run("train", *rm.TINY, "--out", again, "--data", data, "--batch", "8", "--epochs", "2")
    assert weights(again) == weights(trained)
    assert (again / "config.json").read_bytes() == (trained / "config.json").read_bytes()
    other = tmp_path / "other"
    rm.run("train", *rm.TINY, "--out", other, "--data", data, "--batch", "8", "--epochs", "2",
           "--seed", "2")
    assert weights(other) != weights(trained)


def interrupted(data, out, number, *arguments):
    """Ends a run by a signal once it has a checkpoint of its own."""
    process = rm.start("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8",
                       "--epochs", "2", "--checkpoint-every", "3", *arguments)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "current").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("kind", ["full", "lora", "head"])
def test_resuming_after_kill_gives_the_same_bytes(data, trained, tmp_path, kind):
    more = ["--mode", kind, "--ties", "davidson", "--noise", "estimate", "--heads", "2"] \
        if kind != "full" else []
    more += ["--epochs", "200"] if kind == "head" else []
    whole = trained
    if kind != "full":
        whole = tmp_path / "whole"
        rm.run("train", *rm.TINY, "--out", whole, "--data", data, "--batch", "8", "--epochs", "2",
               *more)
    out = tmp_path / "killed"
    status, _ = interrupted(data, out, signal.SIGKILL, *more)
    if status == 0:
        pytest.fail("the run had ended before it could be killed")
    assert status == -signal.SIGKILL
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "2",
           "--checkpoint-every", "3", *more, "--resume")
    assert weights(out) == weights(whole)
    assert rm.report(out)["resumed"] is True
    first, second = rm.read(out / "train.jsonl"), rm.read(whole / "train.jsonl")
    assert [(line["step"], line["loss"]) for line in first] == \
        [(line["step"], line["loss"]) for line in second]


def test_sigterm_keeps_a_checkpoint(data, trained, tmp_path):
    out = tmp_path / "stopped"
    status, errors = interrupted(data, out, signal.SIGTERM)
    assert status == 1 and "--resume goes on" in errors, (status, errors)
    refused = rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8",
                     "--epochs", "2", status=1)
    assert "--resume" in refused.stderr and "--overwrite" in refused.stderr
    changed = rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "4",
                     "--epochs", "2", "--resume", status=1)
    assert "--batch" in changed.stderr
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "2",
           "--resume")
    assert weights(out) == weights(trained)
    done = rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "2",
                  "--resume")
    assert "finished" in done.stderr


def test_other_data_are_not_resumed(data, tmp_path):
    mine = rm.write(tmp_path / "mine.jsonl", rm.read(data))
    out = tmp_path / "run"
    interrupted(mine, out, signal.SIGKILL)
    rm.write(mine, rm.read(data)[1:])
    done = rm.run("train", *rm.TINY, "--out", out, "--data", mine, "--batch", "8", "--epochs", "2",
                  "--resume", status=1)
    assert "the data changed" in done.stderr


def test_early_stop_keeps_the_best(tmp_path):
    """Labels by chance: held-out loss can only get worse, and the first weights are the best."""
    import random
    source = random.Random(3)
    rows = rm.rows(120)
    for row in rows:
        row["judgments"][0]["choice"] = source.randrange(2)
    data = rm.write(tmp_path / "noise.jsonl", rows)
    out = tmp_path / "out"
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "40",
           "--eval-every", "4", "--early-stop", "2")
    report = rm.report(out)
    assert report["stopped_early"] is True and report["steps"] < report["steps_planned"]
    evaluations = [line for line in rm.read(out / "train.jsonl") if "heldout" in line]
    best = min(evaluations, key=lambda line: line["heldout"]["log_loss"])
    assert report["best_step"] == best["step"] == evaluations[-3]["step"]
    assert report["heldout"]["log_loss"] == pytest.approx(best["heldout"]["log_loss"], rel=1e-6)


def test_leaks_between_data_and_eval_are_refused(data, tmp_path):
    fresh = rm.rows(10, seed=9)
    leak = {**fresh[0], "prompt": rm.read(data)[0]["prompt"]}
    held = rm.write(tmp_path / "held.jsonl", [*fresh[1:6], leak, *fresh[6:]])
    common = ["train", *rm.TINY, "--data", data, "--eval", held, "--batch", "16", "--steps", "2",
              "--split", "all"]
    done = rm.run(*common, "--out", tmp_path / "a", status=1)
    assert "row 6" in done.stderr and "--skip-train-rows" in done.stderr
    rm.run(*common, "--out", tmp_path / "b", "--skip-train-rows")
    report = rm.report(tmp_path / "b")
    assert report["eval_data"]["left_out_because_trained"] == 1
    assert report["eval_data"]["held_out"] == 9 and report["data"]["trained"] == 120
    rm.run(*common, "--out", tmp_path / "c", "--allow-train-rows")
    assert rm.report(tmp_path / "c")["eval_data"]["trained_rows_allowed"] is True


def test_groups_are_never_in_two_splits(tmp_path):
    rows = rm.rows(200)
    for number, row in enumerate(rows):
        row["group"] = f"user {number % 20}"
    data = rm.write(tmp_path / "data.jsonl", rows)
    out = tmp_path / "out"
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "32", "--steps", "1")
    counts = rm.report(out)["data"]
    assert counts["trained"] % 10 == counts["held_out"] % 10 == counts["other_splits"] % 10 == 0
    assert counts["trained"] + counts["held_out"] + counts["other_splits"] == 200
    rm.run("eval", "--model", out, "--data", data, "--split", "heldout", *rm.SCORING)
    rm.run("eval", "--model", out, "--data", data, "--split", "train", *rm.SCORING, status=1)


def test_overlong_rows_are_cut_or_refused_and_counted(tmp_path):
    rows = rm.rows(40)
    for number in (0, 1, 2):
        rows[number]["prompt"] = f"{number} " + "long " * 300
    rows[3]["completions"][0]["content"] = "yes " * 400
    data = rm.write(tmp_path / "data.jsonl", rows)
    common = ["train", *rm.TINY, "--data", data, "--batch", "16", "--steps", "1", "--split", "all",
              "--max-length", "256"]
    cut = rm.run(*common, "--out", tmp_path / "cut", status=3)
    counts = rm.report(tmp_path / "cut")["data"]
    assert (counts["cut"], counts["refused"], counts["overlong_refused"]) == (3, 1, 1)
    assert counts["cut_tokens"] > 3 * 1000 and "data.jsonl:4:" in cut.stderr
    # evaluations cut where training did, unless they are told otherwise
    for more, expected in ((), (3, 1)), (("--max-length", "2048"), (0, 0)):
        done = rm.run("eval", "--model", tmp_path / "cut", "--data", data, "--allow-train-rows",
                      "--json", *rm.SCORING, *more, status=3 if expected[1] else 0)
        counts = json.loads(done.stdout)["data"]
        assert (counts["cut"], counts["refused"]) == expected
    rm.run(*common, "--out", tmp_path / "refused", "--overlong", "refuse", status=3)
    counts = rm.report(tmp_path / "refused")["data"]
    assert (counts["cut"], counts["overlong_refused"], counts["trained"]) == (0, 4, 36)


def test_hostile_rows_are_named_and_counted(tmp_path):
    bad = ["{", "[]", '"text"', '{"prompt":"p"}', '{"chosen":1,"rejected":2}', "\ufffd\x01",
           '{"prompt":"p","completions":[]}',
           '{"prompt":"p","completions":[{"content":"a"},{"content":"b"}],"judgments":[{"annotator"'
           ':"w","choice":7}]}',
           '{"prompt":[{"role":"robot","content":"x"}],"chosen":[],"rejected":[]}',
           '{"prompt":"p","completion":"c","label":"yes"}', "[" * 100]
    good = rm.rows(30)
    data = rm.write(tmp_path / "data.jsonl", [*good[:15], *bad, "", *good[15:]])
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", data, "--batch", "8",
                  "--steps", "1", "--split", "all", status=3)
    counts = rm.report(tmp_path / "out")["data"]
    assert (counts["rows"], counts["refused"], counts["trained"]) == (41, 11, 30)
    for line in range(16, 25):
        assert f"data.jsonl:{line}: " in done.stderr
    nothing = rm.write(tmp_path / "nothing.jsonl", bad)
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "none", "--data", nothing, status=1)
    assert "nothing to train on" in done.stderr
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "none", "--data", tmp_path / "absent",
                  status=1)
    assert "absent" in done.stderr


def test_a_pad_token_in_the_texts_costs_no_run(trained, tmp_path):
    """<|endoftext|> in a text: another token pads; where there is none, that is said."""
    lines = rm.rows(6)
    lines[0]["completions"][0]["content"] += " <|endoftext|>"
    data = rm.write(tmp_path / "data.jsonl", lines)
    more = ["--data", data, "--split", "all", "--steps", 1, "--batch", 6]
    done = rm.run("train", *rm.TINY, *more, "--out", tmp_path / "a")
    assert "1 of 12 training texts hold what pads" in done.stderr
    assert rm.report(tmp_path / "a")["last_token"] == {"pad_id": 256, "checked": 12, "apart": 1}
    base = tmp_path / "base"
    shutil.copytree(trained, base)
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    spare = {**tokenizer["added_tokens"][0], "id": 259, "content": "<|spare|>"}
    tokenizer["added_tokens"].append(spare)
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    done = rm.run("train", "--base", base, "--quiet", *more, "--out", tmp_path / "b")
    assert rm.report(tmp_path / "b")["last_token"] == {"pad_id": 259, "checked": 12, "apart": 0}
    assert json.loads((tmp_path / "b/config.json").read_text())["pad_token_id"] == 259


def test_wrong_usage_names_the_option(data, tmp_path):
    for arguments, says in [
            ([], "--out"), (["--out", "x"], "--base"),
            (["--out", "x", "--init", "huge"], "--init"),
            (["--out", "x", "--init", "tiny"], "--data"),
            (["--out", "x", "--init", "tiny", "--data", "d", "--noise", "2"], "--noise"),
            (["--out", "x", "--init", "tiny", "--database", "u"], "--project"),
            (["--lr", "fast"], "--lr"), (["--mode", "half"], "--mode"), (["--batch", "0"], "--batch"),
            (["--batsh", "1"], "--batsh"), (["--seed"], "--seed"),
            (["--out", "x", "--init", "tiny", "--data", "d", "--resume", "--overwrite"],
             "--overwrite")]:
        done = rm.run("train", *arguments, status=2)
        assert says in done.stderr, (arguments, done.stderr)
    assert "usage" in rm.run("train", "--help").stdout
    rm.run("fly", status=2)
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "x", "--data", data,
                  env={"AILERON_RM_LR": "quick", "PATH": "/usr/bin"}, status=2)
    assert "--lr" in done.stderr


def test_every_kind_of_opinion_trains_in_one_batch(tmp_path):
    """Rankings with ties, ties, both bad, gold, implicit rules, unpaired labels, pairs of TRL and
    HH: all in one file."""
    source = rm.rows(12)
    lines = list(source)
    lines += [{"prompt": f"rank {n}", "completions": [{"content": f"yes {n}"}, {"content": f"no {n}"},
                                                       {"content": f"hm {n}"}],
               "judgments": [{"annotator": "w", "ranking": [[0], [1, 2]]},
                             {"annotator": "v", "choice": "tie"}, {"annotator": "u", "choice": 0}]}
              for n in range(8)]
    lines += [{"prompt": f"bad {n}", "completions": [{"content": f"no {n}"}, {"content": f"no no {n}"}],
               "judgments": [{"annotator": "w", "choice": "both_bad"},
                             {"annotator": "v", "choice": "cannot_judge"}],
               "gold": {"choice": 0}} for n in range(4)]
    lines += [{"prompt": f"one {n}", "completion": "yes" if n % 2 else "no", "label": bool(n % 2),
               "source": "implicit:retry"} for n in range(8)]
    lines += [{"prompt": f"pair {n}", "chosen": "yes", "rejected": "no", "margin": 0.5}
              for n in range(4)]
    lines += [{"chosen": f"\n\nHuman: hh {n}\n\nAssistant: yes",
               "rejected": f"\n\nHuman: hh {n}\n\nAssistant: no"} for n in range(4)]
    data = rm.write(tmp_path / "data.jsonl", lines)
    out = tmp_path / "out"
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--split", "all", "--batch", "16",
           "--epochs", "4", "--ties", "rao-kupper", "--rankings", "plackett-luce", "--noise",
           "estimate", "--strength", "margin")
    report = rm.report(out)
    assert report["data"]["cannot_judge"] == 4 and report["data"]["trained"] == 40
    assert set(report["losses"]["label_biases"]) == {"both_bad", "retry"}
    assert report["losses"]["label_biases"]["both_bad"] < 0
    assert report["losses"]["theta"] > 1 and 0 < report["losses"]["noise"] < 0.5
    assert report["train"]["ties"] > 0


def committed(out):
    """How many features are kept."""
    file = out / "features.f32"
    head = file.read_bytes()[:48] if file.exists() else b""
    return struct.unpack("<q", head[40:])[0] if len(head) == 48 else 0


def features(out):
    """How many features the run computed, and how many are kept."""
    return rm.report(out)["speed"]["features_computed"], committed(out)


def test_head_mode_computes_a_feature_once(data, tmp_path):
    out = tmp_path / "out"
    common = ["train", *rm.TINY, "--mode", "head", "--batch", "32", "--epochs", "20",
              "--split", "all"]
    rm.run(*common, "--out", out, "--data", data)
    first = weights(out)
    count = features(out)[0]
    assert features(out) == (count, count) and 230 < count <= 240
    assert rm.report(out)["speed"]["features_cached"] is False
    assert rm.report(out)["speed"]["tokens_per_second"] is None  # none were computed
    rm.run(*common, "--out", out, "--data", data, "--overwrite")
    assert features(out) == (0, count) and weights(out) == first
    assert rm.report(out)["speed"]["features_cached"] is True
    more = rm.write(tmp_path / "more.jsonl", rm.rows(50, seed=4))
    rm.run(*common, "--out", out, "--data", data, "--data", more, "--overwrite")
    assert features(out) == (100, count + 100)
    both = weights(out)
    rm.run(*common, "--out", tmp_path / "both", "--data", data, "--data", more)
    assert weights(tmp_path / "both") == both, "features depend on what they were computed beside"
    rm.run(*common, "--out", out, "--data", more, "--seed", "2", "--overwrite")
    assert features(out) == (100, 100), "of other weights"


def test_features_outlive_what_ends_their_computing(tmp_path):
    """By a signal that can be answered, then by one that cannot; the third run has the rest to do."""
    source = random.Random(3)
    data = rm.write(tmp_path / "long.jsonl", [
        {**row, "prompt": f"{row['prompt']} {' '.join(source.choices(rm.WORDS, k=120))}"}
        for row in rm.rows(250, seed=6)])
    out, whole = tmp_path / "out", tmp_path / "whole"
    common = ["train", *rm.TINY, "--mode", "head", "--micro-rows", "2000", "--split", "all",
              "--data", data, "--out"]
    kept = 0
    for number in signal.SIGTERM, signal.SIGKILL:
        process = rm.start(*common, out)
        deadline = time.monotonic() + 120
        while committed(out) <= kept:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert committed(out) > kept
        kept = committed(out)
        if number == signal.SIGTERM:
            assert process.returncode == 1 and "the same command goes on" in errors, errors
        else:
            assert process.returncode == -signal.SIGKILL
    rm.run(*common, out)
    assert features(out) == (500 - kept, 500)
    rm.run(*common, whole)
    assert features(whole) == (500, 500) and weights(out) == weights(whole)


@pytest.mark.parametrize("damage", ["empty", "cut", "count", "older"])
def test_a_feature_file_that_is_not_whole_begins_anew(tmp_path, damage):
    data = rm.write(tmp_path / "data.jsonl", rm.rows(30))
    out = tmp_path / "out"
    common = ["train", *rm.TINY, "--mode", "head", "--out", out, "--data", data]
    rm.run(*common)
    first, (_, count) = weights(out), features(out)
    file = out / "features.f32"
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[:-1], "older": b"AILRMF01" + whole[8:],
                      "count": whole[:40] + struct.pack("<q", 1 << 62) + whole[48:]}[damage])
    rm.run(*common, "--overwrite")
    assert features(out) == (count, count) and weights(out) == first
    assert file.read_bytes() == whole


def test_what_is_computed_again_changes_no_byte(data, trained, tmp_path):
    for level in "0", "3":
        out = tmp_path / level
        rm.run("train", *rm.TINY, "--out", out, "--data", data, "--batch", "8", "--epochs", "2",
               "--recompute", level)
        assert weights(out) == weights(trained)


@pytest.mark.skipif("asan" in str(rm.BINARY), reason="a sanitizer needs its own address space")
def test_a_run_that_does_not_fit_is_refused_with_numbers(data, tmp_path):
    """100 long prompts at once do not fit in an address space of 400 MB; what the message offers
    takes no more than it said was free (oneDNN's address space is much more than it uses)."""
    big = rm.write(tmp_path / "big.jsonl", [
        {**row, "prompt": row["prompt"] + " and" * 120} for row in rm.rows(100)])
    common = ["train", *rm.TINY, "--data", big, "--batch", "4000", "--steps", "1"]
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20,) * 2)}
    done = rm.run(*common, "--out", tmp_path / "a", "--micro-rows", "4000000", status=1, **limited)
    found = re.search(r"--micro-rows (\d+) with --recompute 3 would fit", done.stderr)
    left = re.search(r"and ([0-9.]+) GiB are free", done.stderr)
    assert found and left, done.stderr
    rm.run(*common, "--out", tmp_path / "b", "--micro-rows", found[1], "--recompute", "3")
    held = rm.report(tmp_path / "b")["memory"]["model_bytes_peak"]
    left_bytes = (float(left[1]) + 0.005) * 2**30
    assert 0.5 * left_bytes < held <= left_bytes


def test_json_result_is_the_report(data, tmp_path):
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", data, "--steps", "1",
                  "--json")
    assert json.loads(done.stdout) == rm.report(tmp_path / "out")
