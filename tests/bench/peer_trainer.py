"""The trainer's peers on the same pairs, batch and steps; prints one line of JSON.

    peer_trainer.py trl|bf16|fp32 MODEL DATA STEPS

trl: TRL's RewardTrainer with its defaults but the batch, the steps and what would add work (saving,
reports). bf16: what a careful PyTorch user writes: weights in bf16 with fp32 masters, pairs sorted
by length, padded on the right without a mask, no checkpointing, fused AdamW, sdpa. fp32: the same
in fp32, for its losses. Every step takes all pairs of DATA, so that their order does not matter.
"""
import json
import resource
import sys
import tempfile
import time

import torch
import transformers

MICRO_PAIRS = 4  # of the loops; TRL takes its batch at once
ADAMW = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0}
RATE = 1e-5
CLIP = 1.0


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Clock(transformers.TrainerCallback):
    def __init__(self):
        self.seconds, self.losses = [], []

    def on_step_begin(self, *_args, **_more):
        self.begun = time.monotonic()

    def on_step_end(self, *_args, **_more):
        self.seconds.append(time.monotonic() - self.begun)

    def on_log(self, _args, _state, _control, logs=None, **_more):
        if "loss" in logs:
            self.losses.append(float(logs["loss"]))


def run_trl(folder, rows, steps):
    import datasets
    import trl
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        given = trl.RewardConfig(
            output_dir=out, use_cpu=True, per_device_train_batch_size=len(rows), max_steps=steps,
            save_strategy="no", report_to="none", logging_steps=1, disable_tqdm=True)
        trainer = trl.RewardTrainer(folder, args=given, train_dataset=datasets.Dataset.from_list(rows),
                                    callbacks=[clock])
        trainer.train()
    return clock.seconds, clock.losses


def encode(tokenizer, row):
    return [tokenizer(row["prompt"] + row[side], add_special_tokens=False)["input_ids"] +
            [tokenizer.eos_token_id] for side in ("chosen", "rejected")]


def micro_batches(pairs, pad):
    """Padded ids [2 · pairs, longest], chosen first."""
    pairs = sorted(pairs, key=lambda pair: max(map(len, pair)))
    for at in range(0, len(pairs), MICRO_PAIRS):
        part = pairs[at:at + MICRO_PAIRS]
        rows = [pair[0] for pair in part] + [pair[1] for pair in part]
        longest = max(map(len, rows))
        yield torch.tensor([row + [pad] * (longest - len(row)) for row in rows])


def run_loop(folder, rows, steps, dtype):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa")
    model.config.use_cache = False
    weights = [p for p in model.parameters() if p.requires_grad]
    half = dtype != torch.float32
    masters = [p.detach().float().requires_grad_() for p in weights] if half else weights
    optimizer = torch.optim.AdamW(masters, lr=RATE, fused=True, **ADAMW)
    batches = list(micro_batches([encode(tokenizer, row) for row in rows], tokenizer.pad_token_id))
    seconds, losses = [], []
    for _ in range(steps):
        begun, loss = time.monotonic(), 0.0
        for ids in batches:
            # causal attention and a score at the last token: padding on the right needs no mask
            scores = model(input_ids=ids).logits[:, 0].float()
            better, other = scores.chunk(2)
            part = -torch.nn.functional.logsigmoid(better - other).sum() / len(rows)
            part.backward()
            loss += part.item()
        if half:
            for master, weight in zip(masters, weights):
                master.grad, weight.grad = weight.grad.float(), None
        torch.nn.utils.clip_grad_norm_(masters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        if half:
            with torch.no_grad():
                for master, weight in zip(masters, weights):
                    weight.copy_(master)
        seconds.append(time.monotonic() - begun)
        losses.append(loss)
    return seconds, losses


def main():
    kind, folder, data, steps = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    rows = read(data)
    if kind == "trl":
        seconds, losses = run_trl(folder, rows, int(steps))
    else:
        seconds, losses = run_loop(folder, rows, int(steps),
                                   torch.bfloat16 if kind == "bf16" else torch.float32)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "losses": losses, "peak_kib": peak}))


if __name__ == "__main__":
    main()
