"""The strongest loop that PyTorch alone allows: sequences packed without padding, attention by
torch's varlen_attn, bf16 weights with fp32 masters, torch.compile with static shapes; JSON lines.

A step has a budget of tokens; pairs are taken while they fit, and what is left is filled with
sequences that no loss sees, so that every step has the same shapes. On a CPU, where varlen_attn does
not run, attention goes sequence by sequence: for trying this file out, not for measuring.
"""
import inspect

import gpu_baseline as base
import gpu_lengths
from gpu_baseline import torch, transformers

TOKENS = 16384
ATTENTION = "packed_varlen"
try:
    from torch.nn.attention import varlen
    TAKES = inspect.signature(varlen.varlen_attn).parameters
except (ImportError, AttributeError):
    varlen = None


def by_varlen(query, key, value, bounds, scale):
    groups = query.shape[1] // key.shape[1]
    more = {"scale": scale} if "scale" in TAKES else {}
    if "enable_gqa" in TAKES:
        more["enable_gqa"] = groups > 1
    elif groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    more |= {"window_size": (-1, 0)} if "window_size" in TAKES else {"is_causal": True}
    most = gpu_lengths.LENGTH_MOST
    return varlen.varlen_attn(query, key, value, bounds, bounds, most, most, **more)


def by_sequence(query, key, value, bounds, scale):
    out = []
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist()):
        if begin == end:
            continue
        q, k, v = (x[begin:end].transpose(0, 1) for x in (query, key, value))
        out.append(torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scale, enable_gqa=True).transpose(0, 1))
    return torch.cat(out)


def attention(_module, query, key, value, _mask, scaling=None, cu_seq_lens_q=None, **_more):
    """transformers' interface: [1, heads, tokens, dim] in, [1, tokens, heads, dim] out."""
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    through = by_varlen if query.is_cuda else by_sequence
    return through(query, key, value, cu_seq_lens_q, scaling)[None], None


class Scored(torch.nn.Module if torch else object):
    def __init__(self, config):
        super().__init__()
        self.model = transformers.AutoModel.from_config(config)
        self.score = torch.nn.Linear(config.hidden_size, 1, bias=False)

    def get_input_embeddings(self):
        return self.model.get_input_embeddings()

    def forward(self, ids, positions, bounds, last):
        hidden = self.model(input_ids=ids, position_ids=positions, cu_seq_lens_q=bounds,
                            cu_seq_lens_k=bounds).last_hidden_state
        return self.score(hidden[0, last])[:, 0]


def pack(pairs, budget):
    """Groups of pairs whose sequences fit into the budget."""
    groups, left = [[]], budget
    for pair in pairs:
        size = sum(base.sequences_of([pair]))
        if size > left:
            groups.append([])
            left = budget
        groups[-1].append(pair)
        left -= size
    return groups[:-1]


def packed(pairs, budget, most, config, device, generator):
    """most: sequences of any group, so that shapes are always the same."""
    lengths = base.sequences_of(pairs)
    filled = lengths[:]
    while sum(filled) < budget:
        filled.append(min(budget - sum(filled), gpu_lengths.LENGTH_MOST))
    positions = torch.cat([torch.arange(n) for n in filled])
    bounds = torch.tensor([0] + filled, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    count = most + budget // gpu_lengths.LENGTH_MOST + 2
    bounds = torch.nn.functional.pad(bounds, (0, count - len(bounds)), value=budget)
    half = len(pairs)
    ends = bounds[1:2 * half + 1].long() - 1
    fill = torch.zeros(most // 2 - half, dtype=torch.long)
    last = torch.cat([ends[:half], fill, ends[half:], fill])
    real = torch.cat([torch.ones(half), torch.zeros(most // 2 - half)])
    ids = base.tokens_of(budget, config.vocab_size, generator)
    inputs = [ids[None], positions[None], bounds, last]
    return {"inputs": [x.to(device) for x in inputs], "real": real.to(device), "lengths": lengths,
            "computed": budget}


def run(shape, lengths, options, shuffler):
    device = options.device
    if device == "cuda" and varlen is None:
        return base.say(baseline="packed", shape=shape, lengths=lengths,
                        skipped="torch.nn.attention.varlen is not in this torch")
    transformers.AttentionInterface.register(ATTENTION, attention)
    config = base.config_of(shape, ATTENTION)
    model = Scored(config).to(device, torch.bfloat16).train()
    masters = base.Masters(model)
    compiled = base.compiled_with(options, model)
    budget = options.tokens
    groups = pack(base.pairs_of(lengths, shape), budget)
    shuffler.shuffle(groups)
    most = 2 * max(len(group) for group in groups)
    generator = torch.Generator().manual_seed(1)

    def step(batch):
        chosen, rejected = compiled(*batch["inputs"]).float().chunk(2)
        losses = -torch.nn.functional.logsigmoid(chosen - rejected)
        loss = (losses * batch["real"]).sum() / batch["real"].sum()
        loss.backward()
        masters.step()
        return loss.detach()

    clock = base.Clock(options)
    clock.run(lambda n: packed(groups[n % len(groups)], budget, most, config, device, generator),
              step)
    return base.report("packed", shape, lengths, clock, model, config, tokens_each=budget,
                       compiler=options.compiler,
                       attention="varlen_attn" if device == "cuda" else "a sequence at a time")


if __name__ == "__main__":
    PARSER = base.arguments(__doc__.split(";")[0].replace("\n", " "))
    PARSER.add_argument("--tokens", type=int, default=TOKENS, help="a step")
    base.main("packed", PARSER, run)
