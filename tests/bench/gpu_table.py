"""The last tables of make gpu-check: of our steps and of a request, how much is the host's; our pairs
per second beside PyTorch's, of the same lengths.

    python3 tests/bench/gpu_table.py DIR      reads DIR/steps.txt and DIR/baselines.jsonl
"""
import json
import pathlib
import re
import sys

REACH = {"hf": 4.0, "packed": 1.5}  # on one H100; hf: as TRL does by default


CASE = r"^(\S+)\s+(hh|ultrafeedback|tldr|request)\s"


def said(folder):
    """What `check steps` printed, a line a case."""
    path = folder / "steps.txt"
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []


def ours(folder):
    """(shape, lengths) -> pairs a second."""
    line = re.compile(CASE + r"+([0-9.]+) pairs/s")
    return {(found[1], found[2]): float(found[3])
            for found in map(line.match, said(folder)) if found}


def host_table(folder):
    """The host's milliseconds (all but waiting for the device) beside all; in a run of kernels
    captured as a CUDA graph most of them would go, so that is what it could save at most, and only
    where the device waits for the host: where the part is near 1."""
    line = re.compile(CASE + r".*host ([0-9.]+) of ([0-9.]+) ms")
    cases = [found for found in map(line.match, said(folder)) if found]
    if cases:
        print(f"{'shape':14} {'step of':14} {'host ms':>10} {'all ms':>10} {'part':>6}")
    for found in cases:
        host, whole = float(found[3]), float(found[4])
        print(f"{found[1]:14} {found[2]:14} {host:10.3f} {whole:10.3f} {host / max(whole, 1e-9):6.2f}")


def baselines(folder):
    path = folder / "baselines.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:  # a warning of torch's
            continue
        if isinstance(row, dict) and "baseline" in row:
            yield row


def main():
    folder = pathlib.Path(sys.argv[1])
    mine = ours(folder)
    host_table(folder)
    print(f"{'shape':14} {'lengths':14} {'ours':>10} {'beside':8} {'theirs':>10} {'ratio':>7} {'reach':>6}")
    for row in baselines(folder):
        name, case = row["baseline"], (row.get("shape", "all"), row.get("lengths", "all"))
        rate, reach = row.get("pairs_per_second"), REACH.get(name)
        if not rate or case not in mine:
            print(f"{case[0]:14} {case[1]:14} {mine.get(case, 0):10.1f} {name:8} "
                  f"{row.get('skipped') or row.get('failed') or 'no figure'}")
            continue
        ratio = mine[case] / rate
        met = "" if not reach else "met" if ratio >= reach else "missed"
        print(f"{case[0]:14} {case[1]:14} {mine[case]:10.1f} {name:8} {rate:10.1f} {ratio:7.2f} "
              f"{reach or '':>6} {met}")


if __name__ == "__main__":
    main()
