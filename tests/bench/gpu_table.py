"""The last table of make gpu-check: our pairs per second beside PyTorch's, of the same lengths.

    python3 tests/bench/gpu_table.py DIR      reads DIR/steps.txt and DIR/baselines.jsonl
"""
import json
import pathlib
import re
import sys

REACH = {"hf": 4.0, "packed": 1.5}  # on one H100; hf: as TRL does by default


def ours(folder):
    """(shape, lengths) -> pairs a second, from what `check steps` printed."""
    line = re.compile(r"(\S+)\s+(hh|ultrafeedback|tldr)\s+([0-9.]+) pairs/s")
    text = (folder / "steps.txt").read_text("utf-8") if (folder / "steps.txt").exists() else ""
    return {(found[1], found[2]): float(found[3]) for found in line.finditer(text)}


def baselines(folder):
    path = folder / "baselines.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        if line.startswith("{"):
            yield json.loads(line)


def main():
    folder, mine = pathlib.Path(sys.argv[1]), ours(pathlib.Path(sys.argv[1]))
    print(f"{'shape':14} {'lengths':14} {'ours':>10} {'beside':8} {'theirs':>10} {'ratio':>7} {'reach':>6}")
    for row in baselines(folder):
        name, case = row["baseline"], (row["shape"], row["lengths"])
        rate, reach = row.get("pairs_per_second"), REACH.get(name)
        if not rate or case not in mine:
            print(f"{case[0]:14} {case[1]:14} {mine.get(case, 0):10.1f} {name:8} "
                  f"{row.get('skipped', 'no figure')}")
            continue
        ratio = mine[case] / rate
        met = "" if not reach else "met" if ratio >= reach else "missed"
        print(f"{case[0]:14} {case[1]:14} {mine[case]:10.1f} {name:8} {rate:10.1f} {ratio:7.2f} "
              f"{reach or '':>6} {met}")


if __name__ == "__main__":
    main()
