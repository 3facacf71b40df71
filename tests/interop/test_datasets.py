"""Exports are loaded by the library people load them with, and have the columns TRL expects."""
import os

import pytest

from aileron import make_directory, pair_rows, unique

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched: every file is ours
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
datasets = pytest.importorskip("datasets", reason="the library datasets is not installed")

CHOICES = (0, 1, "tie", "both_bad", "cannot_judge")
TURN = {"role": "user", "content": "안녕? <b>\u2028"}


@pytest.fixture(scope="module")
def folder():
    return make_directory("aileron-interop-")


@pytest.fixture(scope="module")
def filled(server):
    rows = pair_rows(60)
    for n, row in enumerate(rows):
        if n % 3 == 0:
            row["prompt"] = [{"role": "system", "content": "Be kind."}, TURN]
            row["prompt"][1] = {**TURN, "content": f"{TURN['content']} {n}"}
        if n % 4 == 0:
            row["completions"].append({"model": "model-three", "content": f"Answer three to {n}."})
        row["tags"], row["group"] = ["en", "x"][:n % 3], f"g{n % 7}"
        row["judgments"] = [
            {"annotator": f"w{k}", "choice": CHOICES[(n + k) % 5], "strength": k % 3 + 1,
             "at": f"2026-01-{k + 1:02}T00:00:00Z"} for k in range(n % 4)]
        if n % 4 == 0:
            row["judgments"].append({"annotator": "r", "ranking": [[2], [0, 1]]})
    return server.project(rows=rows)


def load(project, folder, **query):
    text = project.export_text(**query)
    path = folder / f"{unique('export')}.jsonl"
    path.write_text(text, encoding="utf-8")
    loaded = datasets.load_dataset("json", data_files=str(path), split="train",
                                   cache_dir=str(folder / "cache"))
    assert len(loaded) == text.count("\n") > 0
    return loaded


@pytest.mark.parametrize("name, columns", [
    ("trl-preference", {"prompt", "chosen", "rejected"}),
    ("trl-implicit", {"chosen", "rejected"}),
    ("trl-unpaired", {"prompt", "completion", "label"}),
])
@pytest.mark.parametrize("text", ["plain", "messages"])
def test_trl_columns(filled, folder, name, columns, text):
    loaded = load(filled, folder, format=name, text=text)
    assert set(loaded.column_names) == columns
    for row in loaded:
        for column in columns - {"label"}:
            if text == "plain":
                assert isinstance(row[column], str)
            else:
                assert row[column] and all(set(m) >= {"role", "content"} for m in row[column])
        if name == "trl-unpaired":
            assert isinstance(row["label"], bool)
        else:
            assert row["chosen"] != row["rejected"]
        if text == "messages" and name == "trl-preference":
            assert row["prompt"][-1]["role"] == "user"
            assert [m["role"] for m in row["chosen"]] == ["assistant"]


def test_extra_columns_have_one_type(filled, folder):
    loaded = load(filled, folder, format="trl-preference", margin="true", ties="keep")
    assert loaded.features["margin"].dtype == "float64" and loaded.features["tie"].dtype == "bool"
    assert all(row["margin"] == 0 for row in loaded if row["tie"])


def test_hh_columns(filled, folder):
    loaded = load(filled, folder, format="hh")
    assert loaded.column_names == ["chosen", "rejected"]
    assert all("\n\nHuman: " in row["chosen"] and "\n\nAssistant: " in row["rejected"]
               for row in loaded)


def test_the_native_shape_loads_whatever_is_in_it(filled, folder):
    loaded = load(filled, folder)  # prompts of both kinds, choices that are numbers and words
    assert len(loaded) == 60 and {"prompt", "completions", "judgments"} <= set(loaded.column_names)


def test_the_native_shape_of_plain_pairs(server, folder):
    rows = pair_rows(20, judgments=[{"annotator": "w", "choice": 0, "strength": 2,
                                     "at": "2026-01-01T00:00:00Z"}])
    loaded = load(server.project(rows=rows), folder)
    assert loaded[3]["prompt"] == rows[3]["prompt"]
    assert loaded[3]["judgments"][0]["strength"] == 2


def test_implicit_and_explicit_say_the_same(filled, folder):
    explicit = load(filled, folder, format="trl-preference", text="plain")
    implicit = load(filled, folder, format="trl-implicit", text="plain")
    assert [row["prompt"] + row["chosen"] for row in explicit] == list(implicit["chosen"])
    assert [row["prompt"] + row["rejected"] for row in explicit] == list(implicit["rejected"])


def test_trl_takes_them(filled, folder):
    data_utils = pytest.importorskip("trl.data_utils", reason="trl is not installed")
    messages = load(filled, folder, format="trl-preference")
    assert data_utils.is_conversational(messages[0])
    implicit = load(filled, folder, format="trl-implicit")
    for row, explicit in zip(implicit, messages):
        found = data_utils.maybe_extract_prompt(row)
        assert found["prompt"] == explicit["prompt"] and found["chosen"] == explicit["chosen"]
