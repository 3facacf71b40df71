"""aileron-rm serve on a model of SmolLM2-135M's shape with random weights: candidates of one prompt
against each by itself, and many clients at once. Prompts and answers have the lengths of HH."""
import concurrent.futures
import json
import pathlib
import random
import statistics
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "model"))

import rm  # noqa: E402
from service import Service  # noqa: E402

SHAPE = {"model_type": "llama", "hidden_act": "silu", "vocab_size": 49152, "hidden_size": 576,
         "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 8192,
         "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "initializer_range": 0.041666666666666664,
         "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
         "architectures": ["LlamaForSequenceClassification"], "torch_dtype": "bfloat16",
         "id2label": {"0": "LABEL_0"}, "problem_type": "regression"}
# median tokens of a prompt with one answer, and how much longer the prompt is than the answer; with 8
# candidates the tokens alone allow (ratio + 8) / (8 ratio + 8) of the time: 0.40 and 0.20
LENGTHS = {"TL;DR-like": (416, 11.1), "HH-like": (186, 2.15)}
SPREAD = 0.5  # standard deviation of the logarithm of the length
CANDIDATES = 8
PROMPTS = 3
ROUNDS = 3
CLIENTS = 16
LOAD_REQUESTS = 48


def tensors():
    """(name, shape) of all weights."""
    width, hidden = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    keys = SHAPE["num_key_value_heads"] * SHAPE["head_dim"]
    yield "model.embed_tokens.weight", (SHAPE["vocab_size"], width)
    for layer in range(SHAPE["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (width,)
        yield at + "post_attention_layernorm.weight", (width,)
        yield at + "self_attn.q_proj.weight", (width, width)
        yield at + "self_attn.k_proj.weight", (keys, width)
        yield at + "self_attn.v_proj.weight", (keys, width)
        yield at + "self_attn.o_proj.weight", (width, width)
        yield at + "mlp.gate_proj.weight", (hidden, width)
        yield at + "mlp.up_proj.weight", (hidden, width)
        yield at + "mlp.down_proj.weight", (width, hidden)
    yield "model.norm.weight", (width,)
    yield "score.weight", (1, width)


def bfloat16(values):
    return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def make_model(folder):
    """A directory with random weights; the tokenizer is that of bytes: a letter is a token."""
    folder = pathlib.Path(folder)
    tiny = folder / "tiny"
    data = rm.write(folder / "rows.jsonl", rm.rows(8))
    rm.run("train", *rm.TINY, "--out", tiny, "--data", data, "--steps", "1", "--split", "all")
    out = folder / "random-135m"
    out.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (out / name).write_bytes((tiny / name).read_bytes())
    special = {one["content"]: one["id"] for one in
               json.loads((out / "tokenizer.json").read_text("utf-8"))["added_tokens"]}
    config = {**SHAPE, "eos_token_id": special["<|im_end|>"], "pad_token_id": special["<|endoftext|>"]}
    (out / "config.json").write_text(json.dumps(config), "utf-8")
    header, at = {}, 0
    for name, shape in tensors():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    source = np.random.default_rng(1)
    with open(out / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in tensors():
            ones = len(shape) == 1
            file.write(bfloat16(np.ones(shape) if ones else source.normal(
                0, SHAPE["initializer_range"], shape)))
    return out


def text_of(source, length):
    return "".join(source.choices("abcdefghijklmnopqrstuvwxyz    ", k=length))


def conversations(count, candidates, lengths, seed=1):
    """Bodies of /score; lengths are lognormal around the median."""
    source = random.Random(seed)
    median, ratio = LENGTHS[lengths]
    made = []
    for _ in range(count):
        total = min(900, median * source.lognormvariate(0, SPREAD))
        answer = total / (1 + ratio)
        made.append({"prompt": text_of(source, round(total - answer)),
                     "completions": [text_of(source, max(4, round(answer * source.uniform(0.7, 1.3))))
                                     for _ in range(candidates)]})
    return made


def timed(running, bodies):
    started = time.monotonic()
    scores = [running.ask("/score", body)["scores"] for body in bodies]
    return time.monotonic() - started, [x for one in scores for x in one]


def compare_shared(running, lengths):
    """Seconds for all candidates of a prompt at once, and for each by itself, one after the other;
    in turn, the least of ROUNDS each, summed over the prompts. And how far the scores differ, in
    standard deviations of them."""
    shared = separate = difference = 0
    every = []
    for body in conversations(PROMPTS, CANDIDATES, lengths):
        apart = [{"prompt": body["prompt"], "completions": [answer]}
                 for answer in body["completions"]]
        rounds = [timed(running, [body]) + timed(running, apart) for _ in range(ROUNDS)]
        shared += min(one[0] for one in rounds)
        separate += min(one[2] for one in rounds)
        difference = max([difference] + [abs(x - y) for _, ours, _, alone in rounds
                                         for x, y in zip(ours, alone)])
        every += rounds[0][1]
    return shared, separate, difference / statistics.stdev(every)


def load(running):
    """Requests per second and the 99th percentile of their seconds with CLIENTS at once, and the
    seconds of one alone; in turn, the best of ROUNDS each."""
    bodies = conversations(LOAD_REQUESTS, 2, "HH-like", seed=2)
    rates, tails, singles = [], [], []

    def ask(body):
        started = time.monotonic()
        running.ask("/score", body)
        return time.monotonic() - started

    for _ in range(ROUNDS):
        singles.append(timed(running, bodies)[0] / len(bodies))
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            took = list(pool.map(ask, bodies))
        rates.append(len(bodies) / (time.monotonic() - started))
        tails.append(statistics.quantiles(took, n=100)[98])
    return max(rates), min(tails), min(singles)


def measure(dtype="auto"):
    figures = {}
    with tempfile.TemporaryDirectory(prefix="aileron-bench.") as folder:
        with Service(make_model(folder), "--dtype", dtype, "--template", "raw") as running:
            figures["dtype"] = running.ask("/v1/models")["data"][0]["dtype"]
            figures["shared"] = {lengths: compare_shared(running, lengths) for lengths in LENGTHS}
            figures["per_second"], figures["p99_s"], figures["alone_s"] = load(running)
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
