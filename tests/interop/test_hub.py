"""Directories saved by transformers are loaded and exported; transformers loads the export as a
sequence classifier with the same weights, and gives the same scores as ours, padded or not."""
import json
import os
import subprocess

import pytest

import probe

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
from test_tokenizers import qwen2_like, smollm_like  # noqa: E402

PROBE = probe.PROBE.with_name("probe_hub")
pytestmark = pytest.mark.skipif(not PROBE.exists(), reason="make c-tests builds the probe")

VOCABULARY = 720
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
DECODER = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2,
           "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 256,
           "initializer_range": 0.2}
GROUPED = {**DECODER, "num_key_value_heads": 2, "rms_norm_eps": 1e-5}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256,
        "initializer_range": 0.2}
MODELS = {
    "gpt2": ("GPT2", GPT2),
    "gpt2-erf": ("GPT2", {**GPT2, "activation_function": "gelu", "n_inner": 40}),
    "neox": ("GPTNeoX", {**DECODER, "rotary_pct": 0.25, "rotary_emb_base": 10000}),
    "neox-half": ("GPTNeoX", {**DECODER, "rope_parameters": {
        "rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
        "use_parallel_residual": False}),
    "llama": ("Llama", {**GROUPED, "rope_parameters": LLAMA3_ROPE, "head_dim": 16}),
    "llama-bias": ("Llama", {**GROUPED, "attention_bias": True, "mlp_bias": True,
                             "tie_word_embeddings": True}),
    "qwen2": ("Qwen2", {**GROUPED, "rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                                       "rope_theta": 1e6}}),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 16}),
}
TEXTS = ["<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nGood day!<|im_end|>\n", "a",
         "한국어 e\u0301 문장", "The quick brown fox's 12345 dogs. " * 4]


def run(*arguments, inputs=()):
    parts = [text.encode() for text in inputs]
    data = b"".join(b"%d\n%s" % (len(part), part) for part in parts)
    done = subprocess.run([PROBE, *map(str, arguments)], input=data, capture_output=True,
                          check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [[float(one) for one in line.split()] for line in done.stdout.decode().splitlines()]


def save_tokenizer(folder, **special):
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=qwen2_like(), bos_token=None, eos_token="<|im_end|>",
        **special).save_pretrained(folder)


def make(folder, name, kind="ForCausalLM", dtype=torch.float32, **saving):
    family, settings = MODELS[name]
    torch.manual_seed(11)
    config = getattr(transformers, f"{family}Config")(**settings)
    if family + kind == "GPT2ForCausalLM":
        kind = "LMHeadModel"
    model = getattr(transformers, family + kind)(config).to(dtype)
    for parameter in model.parameters():  # norms and biases that matter
        if parameter.dim() == 1:
            parameter.data.normal_(0.5, 0.5)
    model.save_pretrained(folder, **saving)
    return model


def base_of(model):
    return getattr(model, model.base_model_prefix).state_dict()


def load(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    return tokenizer, model.eval()


def scores_of(tokenizer, model, side):
    tokenizer.padding_side = side
    batch = tokenizer(TEXTS, return_tensors="pt", padding=True, add_special_tokens=False)
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        return model(**batch).logits


@pytest.mark.parametrize("name", MODELS)
def test_loaded_exported_and_loaded_again(name, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    want = base_of(make(source, name))
    save_tokenizer(source, pad_token="<|im_end|>")  # a trap: it is in every text
    run("export", source, out, "F32", 1, "chatml")
    tokenizer, model = load(out)
    got = base_of(model)
    assert got.keys() == want.keys()
    for key, value in want.items():
        assert torch.equal(got[key], value), key
    assert model.config.num_labels == 1 and model.config.problem_type == "regression"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False) == (
        "<|im_start|>user\nx<|im_end|>\n")
    ours = torch.tensor(run("score", out, inputs=TEXTS))
    torch.testing.assert_close(scores_of(tokenizer, model, "right"), ours, rtol=2e-4, atol=2e-5)
    if not name.startswith("gpt2"):  # whose positions count the padding, too
        torch.testing.assert_close(scores_of(tokenizer, model, "left"), ours, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_and_shards(name, dtype, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    want = base_of(make(source, name, dtype=getattr(torch, dtype), max_shard_size="20KB"))
    assert len(list(source.glob("*.safetensors"))) > 1
    save_tokenizer(source)
    run("export", source, out, "BF16" if dtype == "bfloat16" else "F16", 2, "qwen3")
    _, model = load(out)
    assert model.dtype == getattr(torch, dtype)
    for key, value in base_of(model).items():
        assert torch.equal(value, want[key]), key
    heads = [line for line in run("score", out, inputs=TEXTS)]
    assert all(len(line) == 2 for line in heads)  # the folder keeps both heads
    with torch.no_grad():
        tokenizer, model = load(out)
        scores = scores_of(tokenizer, model.float(), "right")[:, 0]
    torch.testing.assert_close(scores, torch.tensor(heads).mean(1), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama", "qwen2", "qwen3"])
def test_classifiers_and_bare_models(name, tmp_path):
    """A saved classifier keeps its score head; a bare model's names have no prefix."""
    source, bare, out = tmp_path / "source", tmp_path / "bare", tmp_path / "out"
    family, settings = MODELS[name]
    model = make(source, name, "ForSequenceClassification")
    save_tokenizer(source)
    ours = torch.tensor(run("score", source, inputs=TEXTS))
    assert ours.shape == (len(TEXTS), 2)
    model.config.pad_token_id = 700
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    for text, line in zip(TEXTS, ours):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(ids).logits[0], line, rtol=2e-4, atol=2e-5)
    getattr(model, model.base_model_prefix).save_pretrained(bare)
    save_tokenizer(bare)
    run("export", bare, out, "F32", 1, "raw")
    _, again = load(out)
    for key, value in base_of(again).items():
        assert torch.equal(value, base_of(model)[key]), key


def test_export_keeps_the_source_but_for_what_it_sets(tmp_path):
    source, out, twice = tmp_path / "source", tmp_path / "out", tmp_path / "twice"
    make(source, "llama")
    save_tokenizer(source, pad_token="<|im_end|>")
    run("export", source, out, "F32", 1, "chatml")
    before, after = (json.loads((at / "config.json").read_text()) for at in (source, out))
    changed = {key for key in after if before.get(key, "") != after[key]}
    assert before.keys() <= after.keys()
    assert changed <= {"architectures", "id2label", "label2id", "problem_type", "pad_token_id",
                       "dtype", "rope_theta", "rope_scaling", "mean", "std", "value_head_prefix",
                       "aileron"}
    assert after["rope_theta"] == 5e5 and after["rope_parameters"] == before["rope_parameters"]
    assert after["aileron"] == {"made_by": "a test", "template": "chatml", "append_eos": False}
    assert (out / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()
    first, second = (json.loads((at / "tokenizer_config.json").read_text()) for at in (source, out))
    assert {key for key in second if first.get(key) != second[key]} == {
        "pad_token", "tokenizer_class", "model_input_names", "chat_template"}
    assert second["chat_template"] == (out / "chat_template.jinja").read_text()
    run("export", out, twice, "F32", 1, "chatml")
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        assert (twice / name).read_bytes() == (out / name).read_bytes(), name


def test_tokenizer_json_is_what_the_export_is_read_by(tmp_path):
    """SmolLM2 calls its tokenizer GPT2Tokenizer, which in transformers 5 cuts numbers otherwise."""
    source, out = tmp_path / "source", tmp_path / "out"
    make(source, "llama")
    save_tokenizer(source)
    smollm = smollm_like()
    smollm.save(str(source / "tokenizer.json"))
    told = json.loads((source / "tokenizer_config.json").read_text())
    (source / "tokenizer_config.json").write_text(
        json.dumps({**told, "tokenizer_class": "GPT2Tokenizer"}))
    run("export", source, out, "F32", 1, "chatml")
    texts = ["1 2  3", " 12345 lazy dogs  7", *TEXTS]
    again = transformers.AutoTokenizer.from_pretrained(out)(texts, add_special_tokens=False)
    assert again["input_ids"] == [one.ids for one in smollm.encode_batch(
        texts, add_special_tokens=False)]
    assert set(again) == {"input_ids", "attention_mask"}


def test_the_tiny_decoder_is_a_directory_for_transformers(tmp_path):
    run("export", "tiny", tmp_path, "F32", 1, "chatml")
    tokenizer, model = load(tmp_path)
    assert tokenizer("a<|im_end|>")["input_ids"] == [97, 258]
    ours = torch.tensor(run("score", tmp_path, inputs=TEXTS))
    torch.testing.assert_close(scores_of(tokenizer, model, "right"), ours, rtol=2e-4, atol=2e-5)
