"""What people get wrong, and what they are told: files of other kinds, prompts under other names,
options that would do nothing, two runs in one place, runs that diverge, nothing to evaluate."""
import fcntl
import gzip
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

import rm


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rm.write(tmp_path_factory.mktemp("rows") / "data.jsonl", rm.rows(60))


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "out"
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--split", "all", "--batch", "8",
           "--steps", "8")
    return out


def test_files_that_are_not_rows_are_told_apart(data, tmp_path):
    text = data.read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    for content, says in [(gzip.compress(text.encode()), "gunzip"), (b"PAR1\x15\x04", "Parquet"),
                          (b"\x28\xb5\x2f\xfd\x04", "unzstd"), (text.encode("utf-16"), "UTF-8"),
                          (json.dumps(rows).encode(), "jq -c '.[]'"),
                          (json.dumps(rows[0], indent=2).encode(), "jq -c .")]:
        path = tmp_path / "file.jsonl"
        path.write_bytes(content)
        done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", path, status=1)
        assert says in done.stderr and "file.jsonl" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    table = tmp_path / "pairs.CSV"
    table.write_text("prompt,chosen,rejected\nwhy,yes,no\n", "utf-8")
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", table, status=1)
    assert "pairs.CSV is a table" in done.stderr and len(done.stderr.splitlines()) == 1


def test_no_prompt_is_lost_and_margins_are_numbers(tmp_path):
    pair = {"chosen": "yes", "rejected": "no"}
    rows = [{"question": "why?", **pair}, {"system": "", "input": "why?", **pair},
            {"prompt": "a", **pair, "margin": "0.5"}, {"prompt": "b", **pair, "margin": 1e300},
            {"prompt": "c", **pair, "margin": None, "question": "why?"}, {"question": "", **pair}]
    path = rm.write(tmp_path / "rows.jsonl", rows)
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", path, "--split", "all",
                  "--strength", "margin", "--steps", "1", status=3)
    for line, says in (1, "(/question)"), (2, "(/input)"), (3, "(/margin)"), (4, "(/margin)"):
        assert re.search(rf"jsonl:{line}: .*{re.escape(says)}", done.stderr), done.stderr
    assert rm.report(tmp_path / "out")["data"]["trained"] == 2


def test_options_that_would_do_nothing_are_refused(data, tmp_path):
    common = ["train", *rm.TINY, "--out", tmp_path / "out", "--data", data]
    for more, says in [(["--lora-rank", "4"], "--mode lora"), (["--source", "explicit"], "--project"),
                       (["--margin-unit", "2"], "--strength margin"),
                       (["--skip-train-rows"], "--eval"), (["--template", "x"], "--template"),
                       (["--eval", data, "--eval-share", "0.5"], "--eval-share"),
                       (["--device", "x"], "--device")]:
        assert says in rm.run(*common, *more, status=2).stderr
    done = rm.run(*common, "--eval-share", "0", "--early-stop", "2", status=1)
    assert "--early-stop" in done.stderr
    usual = {"PATH": os.environ["PATH"]}
    done = rm.run(*common, env={**usual, "AILERON_RM_BATCH": "all"}, status=2)
    assert "AILERON_RM_BATCH" in done.stderr and "1048576" in done.stderr
    database = ["train", *rm.TINY, "--out", tmp_path / "out", "--database", "x", "--project", "p"]
    assert "--source" in rm.run(*database, "--source", "x", status=2).stderr
    done = rm.run(*database, "--source", "all", "--snapshot", "s", status=2)
    assert "--snapshot" in done.stderr


def test_two_runs_do_not_share_a_directory(data, tmp_path):
    out = tmp_path / "out"
    first = rm.start("train", *rm.TINY, "--out", out, "--data", data, "--steps", "100000")
    try:
        while not (out / "train.jsonl").exists():
            assert first.poll() is None
        for how in "--resume", "--overwrite":
            done = rm.run("train", *rm.TINY, "--out", out, "--data", data, how, status=1)
            assert "another aileron-rm" in done.stderr and str(out) in done.stderr
    finally:
        first.kill()
        first.communicate()
    rm.run("train", *rm.TINY, "--out", out, "--data", data, "--steps", "1", "--overwrite")
    # a kill while the checkpoints of a finished run were removed
    (out / "checkpoints" / "step-1").mkdir(parents=True)
    (out / "checkpoints" / "step-1" / "state.json").write_text("{", "utf-8")
    done = rm.run("train", *rm.TINY, "--out", out, "--data", data, "--resume")
    assert "finished" in done.stderr and not (out / "checkpoints").exists()
    (tmp_path / "file").write_text("", "utf-8")
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "file", "--data", data, status=1)
    assert "Not a directory" in done.stderr


def test_a_run_that_diverges_ends_and_says_so(data, tmp_path):
    done = rm.run("train", *rm.TINY, "--out", tmp_path / "out", "--data", data, "--batch", "8",
                  "--steps", "200", "--lr", "10", "--weight-decay", "1", "--schedule", "constant",
                  "--checkpoint-every", "2", status=1)
    assert re.search(r"step \d+ diverged: .* is not a finite number", done.stderr)
    assert "--lr" in done.stderr and re.search(r"step-\d+ is kept: --resume", done.stderr)
    assert all(line["loss"] is not None for line in rm.read(tmp_path / "out" / "train.jsonl"))


def test_what_there_is_none_of_is_null(model, tmp_path):
    """No pair: no accuracy and no log-loss that could be taken for good ones."""
    labels = [{"prompt": f"{n}", "completion": "yes" if n % 2 else "no", "label": bool(n % 2)}
              for n in range(40)]
    path = rm.write(tmp_path / "labels.jsonl", labels)
    done = rm.run("eval", "--model", model, "--data", path, "--json", *rm.SCORING)
    got = json.loads(done.stdout)
    for name in ("accuracy", "lower", "upper", "log_loss", "brier", "ece", "length_baseline",
                 "majority_baseline", "mean_gap", "mean_gap_of_ties"):
        assert got[name] is None, name
    assert got["length_matched"]["accuracy"] is None and got["labels"]["label"]["auc"] is not None
    assert "AUC" in rm.run("eval", "--model", model, "--data", path, *rm.SCORING).stdout
    for rows, more in ([], ()), (labels[:1], ("--split", "test")):
        none = rm.write(tmp_path / "none.jsonl", rows)
        done = rm.run("eval", "--model", model, "--data", none, *rm.SCORING, *more, status=1)
        assert "nothing to evaluate" in done.stderr and done.stdout == ""
    out = tmp_path / "out"
    rm.run("train", *rm.TINY, "--out", out, "--data", path, "--batch", "8", "--steps", "5")
    assert rm.report(out)["heldout"]["accuracy"] is None
    assert all(line["accuracy"] is None for line in rm.read(out / "train.jsonl"))
    assert "log-loss" not in (out / "learning_curve.svg").read_text("utf-8")


def test_progress_fits_an_80_column_terminal(data, tmp_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    loud = [word for word in rm.TINY if word != "--quiet"]
    process = subprocess.Popen([str(rm.BINARY), "train", *loud, "--out", str(tmp_path / "out"),
                                "--data", str(data), "--steps", "40", "--batch", "8"],
                               stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 65536):
            text += piece
    except OSError:  # the other side is closed
        pass
    assert process.wait() == 0
    os.close(ours)
    lines = [line for line in re.split(r"\r|\n|\x1b\[K", text.decode()) if "tokens/s" in line]
    assert lines and max(map(len, lines)) < 80, lines
    assert any(line.startswith("[") for line in lines) and "held out: log-loss" in text.decode()
