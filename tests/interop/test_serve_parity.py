"""aileron-rm serve on classifiers that transformers saved: the scores are the logits, by every
address; and what openai's and Cohere's clients make of it."""
import os
import pathlib
import sys

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "model"))
torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

import rm  # noqa: E402
from service import Service  # noqa: E402
from test_hub import MODELS, save_tokenizer  # noqa: E402

pytestmark = pytest.mark.skipif(not rm.BINARY.exists(), reason="make builds aileron-rm")
PROMPT = "Is the lamp on, and who will switch it off in the evening when all have gone?"
ANSWERS = ["Yes.", "No, 12345 times no.", "한국어 e\u0301", "The quick brown fox. " * 3]


def chat(prompt, answer):
    return (f"<|im_start|>user\n{prompt}<|im_end|>\n"
            f"<|im_start|>assistant\n{answer}<|im_end|>\n")


def make_classifier(folder, name, labels=1):
    family, settings = MODELS[name]
    torch.manual_seed(5)
    config = getattr(transformers, f"{family}Config")(**settings, num_labels=labels)
    model = getattr(transformers, f"{family}ForSequenceClassification")(config)
    for parameter in model.parameters():  # norms and biases that matter
        if parameter.dim() == 1:
            parameter.data.normal_(0.5, 0.5)
    model.config.pad_token_id = 700
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def logits(model, tokenizer, texts):
    """Each text by itself: no padding, nothing shared."""
    with torch.no_grad():
        return [model(tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"])
                .logits[0].mean().item() for text in texts]


def close(values):
    return pytest.approx(values, rel=1e-4, abs=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_logits(name, tmp_path):
    model, tokenizer = make_classifier(tmp_path, name)
    texts = [chat(PROMPT, answer) for answer in ANSWERS]
    want = logits(model, tokenizer, texts)
    with Service(tmp_path, "--template", "chatml", "--max-length", "256") as running:
        got = running.ask("/score", {"prompt": PROMPT, "completions": ANSWERS})
        assert got["scores"] == close(want)
        assert got["usage"]["prompt_tokens"] == sum(len(tokenizer(text)["input_ids"])
                                                    for text in texts)
        got = running.ask("/score", {"text_1": PROMPT, "text_2": ANSWERS})
        assert [one["score"] for one in got["data"]] == close(want)
        got = running.ask("/v1/rerank", {"query": PROMPT, "documents": ANSWERS})
        assert {one["index"]: one["relevance_score"] for one in got["results"]} == {
            n: close(score) for n, score in enumerate(want)}
        got = running.ask("/classify", {"input": texts})
        assert [one["probs"][0] for one in got["data"]] == close(want)
        got = running.ask("/get_reward", {"query": texts})
        assert got["rewards"] == close(want)
        plain = ["a", "What is this? " * 6]
        assert running.ask("/get_reward", {"query": plain})["rewards"] == close(
            logits(model, tokenizer, plain))


def test_several_labels_are_an_ensemble(tmp_path):
    model, tokenizer = make_classifier(tmp_path, "llama", labels=3)
    want = logits(model, tokenizer, ["one text"])
    with Service(tmp_path, "--template", "chatml", "--max-length", "256") as running:
        assert running.ask("/get_reward", {"query": "one text"})["rewards"] == close(want)


def test_a_model_without_a_head_is_refused(tmp_path):
    family, settings = MODELS["llama"]
    config = getattr(transformers, f"{family}Config")(**settings)
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    done = rm.run("serve", "--model", tmp_path, "--template", "chatml", status=1)
    assert "no score head" in done.stderr


def test_openais_client_lists_the_model(tmp_path):
    openai = pytest.importorskip("openai", reason="openai is not installed")
    folder = tmp_path / "judge"
    make_classifier(folder, "qwen2")
    with Service(folder, "--template", "chatml", "--max-length", "256") as running:
        client = openai.OpenAI(base_url=running.url + "/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["judge"]
        assert client.models.retrieve("judge").owned_by == "aileron"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("other")


def test_coheres_client_reranks(tmp_path):
    cohere = pytest.importorskip("cohere", reason="cohere is not installed")
    model, tokenizer = make_classifier(tmp_path, "qwen3")
    want = logits(model, tokenizer, [chat(PROMPT, answer) for answer in ANSWERS])
    order = sorted(range(len(ANSWERS)), key=lambda n: -want[n])
    with Service(tmp_path, "--template", "chatml", "--max-length", "256") as running:
        client = cohere.ClientV2(api_key="none", base_url=running.url)
        got = client.rerank(model="any", query=PROMPT, documents=ANSWERS, top_n=3).results
        assert [one.index for one in got] == order[:3]
        assert [one.relevance_score for one in got] == close([want[n] for n in order[:3]])
        got = cohere.Client(api_key="none", base_url=running.url).rerank(
            model="any", query=PROMPT, documents=ANSWERS, return_documents=True).results
        assert [one.document.text for one in got] == [ANSWERS[n] for n in order]
