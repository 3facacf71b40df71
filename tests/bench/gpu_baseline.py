"""What the PyTorch baselines of a GPU share: models from a config with random weights, batches of
drawn lengths, the clock and the line of JSON that a case prints. Nothing is downloaded.

MFU = model FLOP per second / peak, with model FLOP = 3 * (2 * N * tokens + L * 4 * H * Σ t²/2) over
sequences of t tokens (prompt and one answer): N parameters but the embeddings, L layers, H = query
heads * head dim; forward once, backward twice. Padding and recomputation do not count.
"""
import argparse
import json
import os
import random
import resource
import signal
import sys
import time

import gpu_lengths

os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import torch
    import transformers
except (ImportError, OSError) as missing:  # OSError: a library of CUDA's that torch wants
    torch = transformers = None
    MISSING = str(missing)

PEAK_FLOPS = 989.4e12  # H100 SXM, bf16, dense
FORMULA = "3*(2*N*tokens + 4*L*H*sum(t^2)/2)/seconds/peak"
PAIRS_DRAWN = 4096
WARM_STEPS = 3  # of the clock: compiling, allocating
RATE, CLIP = 1e-5, 1.0
TINY_DIVISOR = 16  # of lengths, where the shape is tiny

QWEN = {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "tie_word_embeddings": True}
LLAMA = {"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
         "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8}
PYTHIA = {"vocab_size": 50304, "hidden_size": 768, "intermediate_size": 3072,
          "num_hidden_layers": 12, "num_attention_heads": 12}
TINY = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4}
SHAPES = {
    "qwen2.5-0.5b": ("Qwen2Config", QWEN),
    "llama-3.2-1b": ("LlamaConfig", LLAMA),
    "pythia-160m": ("GPTNeoXConfig", PYTHIA),
    "tiny": ("Qwen2Config", {**TINY, "num_key_value_heads": 2}),
    "tiny-llama": ("LlamaConfig", {**TINY, "num_key_value_heads": 2}),
    "tiny-pythia": ("GPTNeoXConfig", TINY),
}


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shape", nargs="+", default=["qwen2.5-0.5b", "llama-3.2-1b",
                                                       "pythia-160m"], choices=SHAPES)
    parser.add_argument("--lengths", nargs="+", default=list(gpu_lengths.KINDS),
                        choices=gpu_lengths.KINDS)
    parser.add_argument("--steps", type=int, default=30, help="timed, after the warm ones")
    parser.add_argument("--limit-s", type=int, default=180, help="of a case, compiling included")
    parser.add_argument("--compiler", default="inductor", help="of torch.compile; none: none")
    parser.add_argument("--peak-flops", type=float, default=PEAK_FLOPS)
    return parser


def compiled_with(options, model, **how):
    if options.compiler == "none":
        return model
    return torch.compile(model, backend=options.compiler, **how)


def config_of(shape, attention):
    kind, values = SHAPES[shape]
    config = getattr(transformers, kind)(**values, pad_token_id=0, num_labels=1, use_cache=False)
    config._attn_implementation = attention
    return config


def pairs_of(lengths, shape):
    divisor = TINY_DIVISOR if shape.startswith("tiny") else 1
    return [gpu_lengths.Pair(*(max(2, n // divisor) for n in pair))
            for pair in gpu_lengths.pairs(lengths, PAIRS_DRAWN)]


def sequences_of(pairs):
    """[chosen…; rejected…], each with its prompt."""
    return [p.prompt + p.chosen for p in pairs] + [p.prompt + p.rejected for p in pairs]


def tokens_of(count, vocabulary, random_numbers):
    return torch.randint(1, vocabulary, (count,), generator=random_numbers)  # 0 is padding


def loss_of(scores):
    chosen, rejected = scores.float().chunk(2)
    return -torch.nn.functional.logsigmoid(chosen - rejected).mean()


class Masters:
    """bf16 parameters, stepped by fused AdamW on fp32 copies of them."""

    def __init__(self, model):
        self.held = [p for p in model.parameters() if p.requires_grad]
        self.masters = [p.detach().float().clone() for p in self.held]
        self.optimiser = torch.optim.AdamW(self.masters, lr=RATE, fused=True, weight_decay=0.0)

    def step(self):
        for held, master in zip(self.held, self.masters):
            master.grad = None if held.grad is None else held.grad.float()
            held.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, CLIP, foreach=True)
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(self.held, self.masters)


class Expired(Exception):
    pass


class Clock:
    """Times steps after the warm ones, until there are enough or the case's time is up."""

    def __init__(self, options):
        self.options, self.losses, self.expired = options, [], False
        self.seconds = self.pairs = self.tokens = self.computed = self.squares = self.steps = 0

    def synchronize(self):
        if self.options.device == "cuda":
            torch.cuda.synchronize()

    def expire(self, _signal, _frame):
        self.expired = True
        raise Expired

    def run(self, batches, step):
        """step(batch) gives the loss; a batch says its sequences and how many tokens it computes.
        The last loss is read once a step's time is taken, as a trainer's log would."""
        signal.signal(signal.SIGALRM, self.expire)
        signal.alarm(self.options.limit_s)
        try:
            for number in range(WARM_STEPS + self.options.steps):
                batch = batches(number)
                self.synchronize()
                begun = time.monotonic()
                loss = step(batch)
                self.synchronize()
                self.losses.append(float(loss))
                if number >= WARM_STEPS:
                    self.count(batch, time.monotonic() - begun)
        except Exception:  # the compiler wraps what it is interrupted by
            if not self.expired:
                raise
        finally:
            signal.alarm(0)

    def count(self, batch, seconds):
        self.seconds += seconds
        self.steps += 1
        self.pairs += len(batch["lengths"]) // 2
        self.tokens += sum(batch["lengths"])
        self.squares += sum(n * n for n in batch["lengths"])
        self.computed += batch["computed"]


def mfu(clock, model, config, peak):
    embedded = sum(p.numel() for p in model.get_input_embeddings().parameters())
    parameters = sum(p.numel() for p in model.parameters()) - embedded
    heads = config.num_attention_heads
    width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
    flop = 2 * parameters * clock.tokens + 2 * config.num_hidden_layers * width * clock.squares
    return 3 * flop / clock.seconds / peak


def peak_bytes(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(**fields):
    print(json.dumps(fields), flush=True)


def report(name, shape, lengths, clock, model, config, **more):
    if not clock.steps:
        return say(baseline=name, shape=shape, lengths=lengths,
                   skipped=f"no step was timed in {clock.options.limit_s} s")
    return say(baseline=name, shape=shape, lengths=lengths, device=clock.options.device,
               steps=clock.steps, pairs=clock.pairs, seconds=round(clock.seconds, 4),
               pairs_per_second=round(clock.pairs / clock.seconds, 2),
               tokens_per_second=round(clock.tokens / clock.seconds, 1),
               computed_tokens_per_second=round(clock.computed / clock.seconds, 1),
               mfu=round(mfu(clock, model, config, clock.options.peak_flops), 6),
               mfu_formula=FORMULA, peak_flops=clock.options.peak_flops,
               peak_bytes=peak_bytes(clock.options.device), loss_first=round(clock.losses[0], 4),
               loss_last=round(clock.losses[-1], 4), torch=torch.__version__,
               transformers=transformers.__version__, **more)


def run_cases(name, options, run):
    """run(shape, lengths, options, random) for every case; what cannot run is said and skipped."""
    if torch is None:
        say(baseline=name, skipped=MISSING)
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        say(baseline=name, skipped="torch sees no GPU")
        return 0
    failed = 0
    for shape in options.shape:
        for lengths in options.lengths:
            torch.manual_seed(1)
            if options.device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            try:
                run(shape, lengths, options, random.Random(1))
            except torch.cuda.OutOfMemoryError:
                say(baseline=name, shape=shape, lengths=lengths, skipped="out of memory")
            except Exception as error:  # the next case may still run
                failed += 1
                say(baseline=name, shape=shape, lengths=lengths, failed=repr(error)[:300])
            if hasattr(torch, "compiler"):
                torch.compiler.reset()
    return 1 if failed else 0


def main(name, parser, run):
    sys.exit(run_cases(name, parser.parse_args(), run))
