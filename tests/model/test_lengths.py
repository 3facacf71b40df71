"""The lengths that C and Python draw for the benchmarks of a GPU are the same, and are those of the
data sets they are named after."""
import pathlib
import shutil
import statistics
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "bench"))
import gpu_lengths  # noqa: E402

COUNT = 10000
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "lengths.h"

int main(int argc, char **argv)
{
    const LengthsKind *kind = lengths_find(argv[1]);
    uint64_t state = kind->seed;
    for (int i = 0; i < atoi(argv[argc - 1]); i++) {
        PairLengths pair = lengths_next(kind, &state);
        printf("%d %d %d\\n", pair.prompt, pair.chosen, pair.rejected);
    }
    return lengths_find("none") != NULL;
}
"""
MEASURED = {"hh": (186, 2.15), "ultrafeedback": (409, 0.42), "tldr": (416, 11.1)}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("lengths")
    (folder / "draw.c").write_text(PROGRAM)
    subprocess.run([compiler, "-std=c17", "-Wall", "-Wextra", "-Werror", f"-I{TESTS / 'gpu'}", "-o",
                    folder / "draw", folder / "draw.c"], check=True)
    return folder / "draw"


@pytest.mark.parametrize("name", gpu_lengths.KINDS)
def test_c_and_python_draw_the_same(program, name):
    drawn = subprocess.run([program, name, str(COUNT)], check=True, capture_output=True, text=True)
    ours = gpu_lengths.pairs(name, COUNT)
    assert drawn.stdout.split("\n")[:-1] == [" ".join(map(str, pair)) for pair in ours]


@pytest.mark.parametrize("name", gpu_lengths.KINDS)
def test_lengths_are_like_the_data_set(name):
    pairs = gpu_lengths.pairs(name, COUNT)
    sequences = [pair.prompt + answer for pair in pairs for answer in pair[1:]]
    ratio = 2 * sum(pair.prompt for pair in pairs) / sum(sum(pair[1:]) for pair in pairs)
    median, wanted = MEASURED[name]
    assert abs(statistics.median(sequences) / median - 1) < 0.01
    assert abs(ratio / wanted - 1) < 0.02
    assert max(sequences) <= gpu_lengths.LENGTH_MOST
    assert min(min(pair) for pair in pairs) >= 2
