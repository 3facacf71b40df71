"""The decoder against transformers and torch: scores, gradients by hub name, AdamW's losses; and
against a small trained language model. Tiny models of every family, random weights, fp32."""
import json
import os
import pathlib
import struct
import subprocess

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
np = pytest.importorskip("numpy", reason="numpy is not installed")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBE = ROOT / "build/release/tests/model/probe_model"
STORIES = ROOT.parent / "shared/data/stories260K"
FAMILIES = ["gpt2", "gpt_neox", "llama", "qwen2", "qwen3"]
GELU_TANH, GELU_ERF, SWIGLU = range(3)
RMS, LAYER = range(2)
NOTHING, FULL, LORA, HEADS = range(4)
PLAIN, LINEAR, LLAMA3 = range(3)
LABELS = 2
VOCABULARY = 61
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 16}

pytestmark = pytest.mark.skipif(not PROBE.exists(), reason="make c-tests builds the probe")


class Probe:
    """Collects what tests/model/probe_model.c reads; run() gives its answers as (name, array)."""

    def __init__(self, config, mode=NOTHING, trim=True, lora=(0, 0), dtype="f32", labels=LABELS):
        self.parts = []
        self.line("device cpu", dtype)
        self.line("config", *(f"{name} {float(value)!r}" for name, value in config.items()))
        self.line("open", mode, labels, int(trim), *lora, 1)

    def line(self, *words):
        self.parts.append(" ".join(map(str, words)).encode() + b"\n")
        return self

    def floats(self, array):
        self.parts.append(np.ascontiguousarray(array, dtype="<f4").tobytes())
        return self

    def tensor(self, name, array):
        return self.line("tensor", name, array.size).floats(array)

    def heads(self, array):
        return self.line("heads", array.size).floats(array)

    def batch(self, groups, share=True):
        self.line("batch", int(share))
        for n, group in enumerate(groups):
            if n:
                self.line("")
            for ids in group:
                self.line(*ids)
        return self.line(".")

    def run(self):
        done = subprocess.run([PROBE], input=b"".join(self.parts), capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode()
        answers, out, at = [], done.stdout, 0
        while at < len(out):
            end = out.index(b"\n", at)
            name, count = out[at:end].decode().split()
            at = end + 1 + 4 * int(count)
            answers.append((name, np.frombuffer(out[end + 1:at], "<f4")))
        return answers


def common(family, c, **more):
    """A config for the probe from a transformers config."""
    heads = c.num_attention_heads
    e = getattr(c, "head_dim", None) or c.hidden_size // heads
    return {"family": FAMILIES.index(family), "vocabulary": c.vocab_size, "width": c.hidden_size,
            "layers": c.num_hidden_layers, "query_heads": heads,
            "key_heads": getattr(c, "num_key_value_heads", heads), "head_dim": e,
            "positions": c.max_position_embeddings, "initializer_range": 0.02, **more}


def gpt2(transformers):
    c = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=48, n_embd=32, n_layer=2, n_head=4, n_inner=80,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, num_labels=LABELS, pad_token_id=None,
        bos_token_id=0, eos_token_id=0)
    return transformers.GPT2ForSequenceClassification, c, common(
        "gpt2", c, hidden=80, activation=GELU_TANH, norm=LAYER, norm_epsilon=1e-5,
        learned_positions=1, qkv_bias=1, output_bias=1, mlp_bias=1)


def neox(parallel, fraction, bias=True):
    def make(transformers):
        c = transformers.GPTNeoXConfig(
            vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=72, max_position_embeddings=64, use_parallel_residual=parallel,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                             "partial_rotary_factor": fraction},
            attention_bias=bias, num_labels=LABELS, pad_token_id=None)
        return transformers.GPTNeoXForSequenceClassification, c, common(
            "gpt_neox", c, hidden=72, activation=GELU_ERF, norm=LAYER, norm_epsilon=1e-5,
            parallel_residual=parallel, qkv_bias=bias, output_bias=bias, mlp_bias=1,
            rotary_dims=int(16 * fraction), rope_theta=10000)
    return make


def llama_like(family, name, tied, rope=None, e=8, **more):
    rope = rope or {"rope_type": "default", "rope_theta": 1e4}
    biases = {"qkv_bias": more.get("attention_bias", False) or family == "qwen2",
              "output_bias": more.get("attention_bias", False) and family == "llama",
              "mlp_bias": more.get("mlp_bias", False)}

    def make(transformers):
        more_e = {} if family == "qwen2" else {"head_dim": e}
        c = getattr(transformers, f"{name}Config")(
            vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, intermediate_size=56, max_position_embeddings=64,
            rope_parameters=rope, tie_word_embeddings=tied, num_labels=LABELS, pad_token_id=None,
            bos_token_id=0, eos_token_id=0, **more_e, **more)
        kind = {"default": PLAIN, "linear": LINEAR, "llama3": LLAMA3}[rope["rope_type"]]
        return getattr(transformers, f"{name}ForSequenceClassification"), c, common(
            family, c, hidden=56, activation=SWIGLU, norm=RMS, norm_epsilon=c.rms_norm_eps,
            head_norm=family == "qwen3", rotary_dims=e, rope_theta=rope["rope_theta"],
            rope_scaling=kind, rope_factor=rope.get("factor", 0),
            rope_low=rope.get("low_freq_factor", 0), rope_high=rope.get("high_freq_factor", 0),
            rope_original_positions=rope.get("original_max_position_embeddings", 0), **biases)
    return make


MODELS = {
    "gpt2": gpt2,
    "neox-parallel-partial": neox(True, 0.25),
    "neox-sequential-no-bias": neox(False, 1.0, bias=False),
    "llama-tied": llama_like("llama", "Llama", True),
    "llama-untied-llama3": llama_like("llama", "Llama", False, LLAMA3_ROPE),
    "llama-biases-linear": llama_like(
        "llama", "Llama", False, {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        attention_bias=True, mlp_bias=True),
    "qwen2": llama_like("qwen2", "Qwen2", True),
    "qwen3-wide-heads": llama_like("qwen3", "Qwen3", False, e=12),
}


class Peer:
    """A transformers model with random weights that all matter, and the probe's view of it."""

    def __init__(self, make):
        self.torch = pytest.importorskip("torch", reason="torch is not installed")
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        kind, config, self.config = make(transformers)
        self.torch.manual_seed(3)
        self.torch.set_num_threads(1)
        config._attn_implementation = "eager"
        self.model = kind(config).eval()
        with self.torch.no_grad():
            for name, p in self.model.named_parameters():
                wide = "embed" in name or "wte" in name
                p.normal_(0, 1.0 if wide else 0.2)
                if p.ndim == 1 and not name.endswith("bias"):
                    p.add_(1)

    def probe(self, **options):
        probe = Probe(self.config, **options)
        for name, p in self.model.named_parameters():
            values = p.detach().numpy()
            if name == "score.weight":
                probe.heads(values)
            else:
                probe.tensor(name, values)
        return probe

    def scores(self, groups):
        one = [self.model(self.torch.tensor([ids])).logits[0] for g in groups for ids in g]
        return self.torch.stack(one)


def make_groups(seed, groups=3, answers=2):
    """Prompts and their answers; the second of a pair may be a prefix of the first, or equal it."""
    random = np.random.default_rng(seed)
    out = []
    for n in range(groups):
        prompt = random.integers(0, VOCABULARY, random.integers(1, 14)).tolist()
        out.append([prompt + random.integers(0, VOCABULARY, random.integers(1, 20)).tolist()
                    for _ in range(answers)])
        if n == 1:
            out[-1][1] = out[-1][0][:len(prompt) + 1]
    return out


def relative(got, want):
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)


@pytest.fixture(scope="module", params=MODELS, ids=list(MODELS))
def peer(request):
    return Peer(MODELS[request.param])


@pytest.mark.parametrize("share, trim", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_scores_and_gradients_are_those_of_transformers(peer, share, trim):
    groups = make_groups(5, answers=3)
    weights = np.random.default_rng(1).normal(size=(9, LABELS)).astype("f4")
    peer.model.zero_grad()
    want = peer.scores(groups)
    (want * peer.torch.tensor(weights)).sum().backward()
    probe = peer.probe(mode=FULL, trim=trim).batch(groups, share).line("scores")
    probe.line("gradients", weights.size).floats(weights)
    (_, scores), *gradients = probe.run()
    want = want.detach().numpy()
    assert np.abs(scores.reshape(want.shape) - want).max() < 1e-5 * np.abs(want).max()
    found = dict(gradients)
    names = {"heads" if n == "score.weight" else n: p for n, p in peer.model.named_parameters()}
    assert set(found) == set(names)
    whole = np.sqrt(sum(float((p.grad ** 2).mean()) for p in names.values()) / len(names))
    for name, p in names.items():
        grad = p.grad.numpy().ravel()
        # Keys' biases hardly move a softmax: their gradient is rounding next to the others'.
        floor = 1e-4 * whole * np.sqrt(grad.size)
        assert np.linalg.norm(found[name] - grad) < 1e-4 * np.linalg.norm(grad) + floor, name


def test_ten_steps_have_the_losses_of_torch_adamw(peer):
    torch, rate, decay = peer.torch, 2e-3, 0.1
    saved = {name: p.detach().clone() for name, p in peer.model.named_parameters()}
    probe = peer.probe(mode=FULL)
    parameters = list(peer.model.parameters())
    optimiser = torch.optim.AdamW(
        [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
         {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}],
        lr=rate, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(10):
        groups = make_groups(step, groups=4)
        scores = peer.scores(groups)[:, 0]
        loss = -torch.nn.functional.logsigmoid(scores[0::2] - scores[1::2]).mean()
        optimiser.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0).item())
        optimiser.step()
        losses.append(loss.item())
        probe.batch(groups).line("step", rate, 0.9, 0.95, 1e-8, decay, 1.0)
    answers = probe.line("tensors").run()
    got = np.array([values for name, values in answers[:10]])
    assert len(set(np.round(losses, 4))) == 10  # they do change
    assert np.abs(got[:, 0] - losses).max() < 1e-4 * max(losses)
    assert np.abs(got[:, 1] / norms - 1).max() < 1e-3
    ours = dict(answers[10:])
    with torch.no_grad():
        for name, p in peer.model.named_parameters():
            values = ours["heads" if name == "score.weight" else name]
            # AdamW makes steps of `rate` of GPT-2's key biases too, whose gradient is rounding.
            assert np.quantile(np.abs(values - p.numpy().ravel()), 0.6) < 0.01 * rate, name
            p.copy_(saved[name])


def read_stories():
    """llama2.c's first format: seven integers, then every tensor of all layers in turn."""
    data = (STORIES / "stories260K.bin").read_bytes()
    d, f, layers, heads, key_heads, vocabulary, length = struct.unpack("7i", data[:28])
    floats, at = np.frombuffer(data[28:], "<f4"), 0
    e = d // heads

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return floats[at - int(np.prod(shape)):at].reshape(shape)

    def halves(rows):  # its rotary pairs are (2j, 2j + 1); ours (j, j + e/2)
        return rows.reshape(-1, e // 2, 2, d).swapaxes(1, 2).reshape(-1, d)

    t = {"embed_tokens": take(vocabulary, d)}
    parts = [("input_layernorm", (d,)), ("self_attn.q_proj", (d, d)),
             ("self_attn.k_proj", (key_heads * e, d)), ("self_attn.v_proj", (key_heads * e, d)),
             ("self_attn.o_proj", (d, d)), ("post_attention_layernorm", (d,)),
             ("mlp.gate_proj", (f, d)), ("mlp.down_proj", (d, f)), ("mlp.up_proj", (f, d))]
    for name, shape in parts:
        for layer in range(layers):
            values = take(*shape)
            t[f"layers.{layer}.{name}"] = halves(values) if name[10:] in ("q_proj", "k_proj") \
                else values
    t["norm"] = take(d)
    config = {"family": 2, "vocabulary": vocabulary, "width": d, "layers": layers,
              "query_heads": heads, "key_heads": key_heads, "head_dim": e, "hidden": f,
              "positions": length, "activation": SWIGLU, "norm": RMS, "norm_epsilon": 1e-5,
              "rotary_dims": e, "rope_theta": 10000, "initializer_range": 0.02}
    return config, t


@pytest.mark.skipif(not STORIES.exists(), reason=f"{STORIES} is not there")
def test_a_trained_language_model_predicts_as_its_reference():
    config, tensors = read_stories()
    for case in json.loads((STORIES / "reference_forward.json").read_text()):
        tokens = case["tokens"]
        probe = Probe(config)
        for name, values in tensors.items():
            probe.tensor(f"model.{name}.weight", values)
        prefixes = [tokens[:n] for n in range(1, len(tokens) + 1)]
        ((_, features),) = probe.batch([prefixes]).line("features").run()
        logits = features.reshape(len(tokens), -1) @ tensors["embed_tokens"].T
        assert np.abs(logits[-1, :8] - case["last_logits_first8"]).max() < 2e-3
        top = logits.max(axis=1)
        spread = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        nll = [spread[i] - logits[i, tokens[i + 1]] for i in range(len(tokens) - 1)]
        assert np.abs(np.array(nll) - case["nll"][:len(nll)]).max() < 2e-3
