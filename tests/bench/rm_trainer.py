"""aileron-rm train beside TRL and PyTorch, and beside bare oneDNN: SmolLM2-135M on pairs of HH.

The peers run in an environment of their own (tests/interop/venv.sh), in turn with the trainer, on
the same cores, from the same weights and score head.
"""
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile

import rm_data

ROOT = rm_data.ROOT
PEER = ROOT / "tests" / "bench" / "peer_trainer.py"
OPS = ROOT / "build" / "release" / "tests" / "model" / "bench_ops"
PAIRS = int(os.environ.get("BENCH_PAIRS", "16"))  # in a step
STEPS = 4  # of which the first is not timed
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
LOSS_PAIRS, LOSS_STEPS = 4, 4
HEAD_LABELS = 5500
THREADS = 2
# SmolLM2-135M: outputs · inputs of a layer's products; of the last layer all rows need K and V only
LAYERS, LAYER_PRODUCTS, LAST_PRODUCTS = 30, 960 * 576 + 576 * 576 + 3072 * 576 + 576 * 1536, 384 * 576
SAME_RUN = ["--schedule", "constant", "--warmup", "0", "--centering", "0", "--lr", "1e-5",
            "--template", "raw", "--split", "all", "--eval-share", "0", "--threads", str(THREADS)]


def train(base, data, pairs, steps, out, *more):
    """Seconds and losses by step, and the report; peak memory in KiB."""
    log = rm_data.train("--base", base, "--data", data, "--out", out, "--batch", pairs,
                        "--steps", steps, *SAME_RUN, *more)
    return {**log, "seconds": [line["seconds"] for line in log["steps"]],
            "losses": [line["loss"] for line in log["steps"]]}


def peer(kind, base, data, steps):
    env = dict(os.environ, OMP_NUM_THREADS=str(THREADS), GOMP_SPINCOUNT="1000",
               TRANSFORMERS_VERBOSITY="error")  # they wait for each other as ours do
    done = subprocess.run([rm_data.peer_python(), PEER, kind, base, data, str(steps)],
                          capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{kind}: {done.stderr[-1500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def pairs_files(folder, count, seed):
    """The same pairs for us and for the peers."""
    return (rm_data.write(folder / f"pairs{seed}.jsonl", rm_data.hh_plain(count, seed)),
            rm_data.write(folder / f"peers{seed}.jsonl", rm_data.hh_plain(count, seed, "\n\n")))


def pairs_per_second(run):
    return PAIRS / statistics.median(run["seconds"][1:])


def bare_rate():
    """GFLOP/s of bare oneDNN on the products of a layer's step, in bf16."""
    done = subprocess.run([OPS, "--json", "--dtype", "bf16", "--threads", str(THREADS)],
                          capture_output=True, text=True, check=True)
    for line in map(json.loads, done.stdout.splitlines()):
        if line["name"] == "ops/products of a layer's step":
            return line["against_value"]
    raise RuntimeError("oneDNN is not installed: nothing to compare with")


def product_rate(run):
    """GFLOP/s of products over the whole step: 2 forward, 4 backward for a weight and a token."""
    computed = run["report"]["speed"]["tokens_computed"] / len(run["seconds"])
    weights = (LAYERS - 1) * LAYER_PRODUCTS + LAST_PRODUCTS
    return 6e-9 * computed * weights / statistics.median(run["seconds"][1:])


def measure(bench):
    """Pairs per second beside both peers, and peak memory."""
    with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
        folder = pathlib.Path(folder)
        base = rm_data.scored_base(folder / "base")
        data, same = pairs_files(folder, PAIRS, 1)
        ours, tuned, trl, peaks = [], [], [], []
        for turn in range(ROUNDS):
            run = train(base, data, PAIRS, STEPS, folder / f"out{turn}", "--dtype", "bf16")
            ours.append(pairs_per_second(run))
            peaks.append(run["peak_kib"] / 2**20)
            tuned.append(pairs_per_second(peer("bf16", base, same, STEPS)))
            trl.append(pairs_per_second(peer("trl", base, same, STEPS)))
            print(f"  round {turn + 1}: {ours[-1]:.3g}, PyTorch {tuned[-1]:.3g}, TRL {trl[-1]:.3g} "
                  f"pairs/s, load {os.getloadavg()[0]:.1f}", flush=True)
        rates = [statistics.median(each) for each in (ours, tuned, trl)]
        bench.result("trainer", "trained pairs, full, bf16", rates[0], "/s", "TRL, its defaults",
                     rates[2], 2)
        bench.result("trainer", "trained pairs, full, bf16", rates[0], "/s", "tuned PyTorch, bf16",
                     rates[1], 1.3)
        bench.result("trainer", "peak memory of that training", max(peaks), "GiB", "limit", 4, 1,
                     higher=False)
        few, same = pairs_files(folder, LOSS_PAIRS, 2)
        mine = train(base, few, LOSS_PAIRS, LOSS_STEPS, folder / "fp32", "--dtype", "fp32")["losses"]
        theirs = peer("fp32", base, same, LOSS_STEPS)["losses"]
        print("  losses, fp32:", *(f"{a:.6f} {b:.6f}" for a, b in zip(mine, theirs)))
        worst = max(abs(a - b) / b for a, b in zip(mine, theirs))
        bench.result("trainer", "losses differ from PyTorch's, fp32", worst, "", "limit", 1e-3, 1,
                     higher=False)


def measure_products(bench):
    """The products of whole training steps beside bare oneDNN, in turn."""
    with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
        folder = pathlib.Path(folder)
        data, _ = pairs_files(folder, PAIRS, 1)
        bare, rates = [], []
        for turn in range(ROUNDS):
            bare.append(bare_rate())
            run = train(rm_data.base(), data, PAIRS, STEPS, folder / f"out{turn}", "--dtype", "bf16")
            rates.append(product_rate(run))
            print(f"  round {turn + 1}: {rates[-1]:.4g} of {bare[-1]:.4g} GFLOP/s, "
                  f"load {os.getloadavg()[0]:.1f}", flush=True)
        bench.result("products", "products over whole steps, bf16", statistics.median(rates),
                     "GFLOP/s", "bare oneDNN", statistics.median(bare), 0.6)


def measure_head(bench):
    """--mode head on 5,500 labels whose features are cached."""
    source = random.Random(3)
    words = "why does the wind blow over warm water when a cold front moves in from sea".split()

    def text(count):
        return " ".join(source.choices(words, k=count))

    rows = [{"prompt": f"{n} {text(6)}", "chosen": text(6), "rejected": text(6)}
            for n in range(HEAD_LABELS)]
    with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
        folder = pathlib.Path(folder)
        data = rm_data.write(folder / "labels.jsonl", rows)
        common = ("--base", rm_data.base(), "--data", data, "--out", folder / "out", "--mode", "head",
                  "--split", "all", "--eval-share", "0", "--threads", THREADS, "--epochs", 1)
        first = rm_data.train(*common)
        again = rm_data.train(*common, "--overwrite")
        assert again["report"]["speed"]["features_cached"], "the features were computed again"
        print(f"  the first time, computing features: {first['wall_s']:.1f} s", flush=True)
        bench.result("head", f"{HEAD_LABELS} labels, features cached", again["wall_s"], "s", "limit", 60, 1,
                     higher=False)
