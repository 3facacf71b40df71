"""Reward-model training with transformers alone, for comparing with on a GPU; JSON lines.

    baseline_hf.py            what TRL's RewardTrainer does by default, as a plain loop: right-padded
                              [chosen; rejected], fp32 weights under bf16 autocast, gradient
                              checkpointing, fused AdamW, clipping at 1, -logsigmoid
    baseline_hf.py --tuned    bf16 weights with fp32 masters and states, no checkpointing, sdpa
                              without a mask (padding lies on the right of causal rows), batches of
                              like lengths, torch.compile(dynamic=True)
"""
import gpu_baseline as base
from gpu_baseline import torch, transformers

PAIRS_DEFAULT, PAIRS_TUNED = 8, 32  # a step


def padded(pairs, config, device, generator):
    lengths = base.sequences_of(pairs)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in zip(ids, lengths):
        row[:length] = base.tokens_of(length, config.vocab_size, generator)
    return {"ids": ids.to(device), "mask": (ids != 0).long().to(device), "lengths": lengths,
            "computed": ids.numel()}


def batches_of(pairs, each, tuned, shuffler):
    if tuned:
        pairs = sorted(pairs, key=lambda pair: pair.prompt + max(pair.chosen, pair.rejected))
    batches = [pairs[i:i + each] for i in range(0, len(pairs) - each + 1, each)]
    shuffler.shuffle(batches)
    return batches


def step_default(model, optimiser, batch, device):
    with torch.autocast(device, dtype=torch.bfloat16):
        scores = model(input_ids=batch["ids"], attention_mask=batch["mask"]).logits[:, 0]
        loss = base.loss_of(scores)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), base.CLIP)
    optimiser.step()
    optimiser.zero_grad()
    return loss.detach()


def step_tuned(model, masters, batch):
    loss = base.loss_of(model(input_ids=batch["ids"]).logits[:, 0])
    loss.backward()
    masters.step()
    return loss.detach()


def run(shape, lengths, options, shuffler):
    tuned, device = options.tuned, options.device
    config = base.config_of(shape, "sdpa")
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model = model.to(device, torch.bfloat16 if tuned else torch.float32).train()
    each = options.pairs or (PAIRS_TUNED if tuned else PAIRS_DEFAULT)
    batches = batches_of(base.pairs_of(lengths, shape), each, tuned, shuffler)
    generator = torch.Generator().manual_seed(1)
    if tuned:
        masters = base.Masters(model)
        compiled = base.compiled_with(options, model, dynamic=True)

        def step(batch):
            return step_tuned(compiled, masters, batch)
    else:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        optimiser = torch.optim.AdamW(model.parameters(), lr=base.RATE, fused=True,
                                      weight_decay=0.0)

        def step(batch):
            return step_default(model, optimiser, batch, device)
    clock = base.Clock(options)
    clock.run(lambda n: padded(batches[n % len(batches)], config, device, generator), step)
    base.report("hf-tuned" if tuned else "hf", shape, lengths, clock, model, config,
                pairs_each=each, compiler=options.compiler if tuned else "none")


if __name__ == "__main__":
    PARSER = base.arguments(__doc__.split("\n")[0])
    PARSER.add_argument("--tuned", action="store_true")
    PARSER.add_argument("--pairs", type=int, default=0, help="a step")
    base.main("hf", PARSER, run)
