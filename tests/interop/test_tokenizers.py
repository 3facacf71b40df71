"""Token ids equal those of the tokenizers library: every recognised pipeline, on every code point
and on thousands of random texts made of what tokenizers stumble over."""
import gzip
import json
import random

import pytest

import probe

tokenizers = pytest.importorskip("tokenizers", reason="the library tokenizers is not installed")
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models,  # noqa: E402
                        normalizers, pre_tokenizers, processors, trainers)

pytestmark = pytest.mark.skipif(not probe.PROBE.exists(), reason="make c-tests builds the probe")

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST
QWEN2 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False)
CORPUS = ["The quick brown fox doesn't jump over 12345 lazy dogs; they've slept.\n\n" * 3,
          "한국어 문장은 띄어쓰기가 있습니다. 값이 천천히 올라요.", "数字は１２３と四五六です。",
          "for (int i = 0; i < 10; i++) {\n\treturn x[i] * 2.5e-3;\n}\r\n", "naïve café éclair",
          "क्या यह सही है? ١٢٣ हाँ", "🙂👩‍👩‍👧‍👦 emoji ½ Ⅷ  \u3000 x"] * 4
PIECES = [
    "the", "The", "hello", "'s", "'S", "'ſ", "'ll", "'LL", "'Ve", "'re", "'", "''", "’s", " ", "  ",
    "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\v", "\f", "\x1c", "\x85", "\xa0", "\u1680",
    "\u180e", "\u2003", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\u200b",
    "\u200d", "0", "7", "123", "12345", "٣", "४", "１", "½", "²", "Ⅷ", "𝟘", "\U00010d40",
    "\U00011de0", "\U0001d7ce", "a", "é", "e\u0301", "e\u0323\u0301", "e\u0301\u0323", "\u0344",
    "\u212b", "\u2126", "\u0958", "\u09c7\u09be", "가", "\u1100\u1161", "\u1100\u1161\u11a8",
    "가\u11a8", "각\u11a8", "\u1161", "한국", "漢字", "\uf900", "\U0002f800", "\u0f73\u0f71",
    "\u1e9b\u0323", "\U00011935\U00011930", "q\u0345\u0301", "ß", "ǅ", "ﬁ", "🙂", "👩‍👩‍👧", "🇰🇷", "\x00",
    "\x01", "\x7f", "\x1f", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_", "<|", "[pad]",
    "<br>", "…", "—", "_", "\\", '"', "{", "]]", "x1y2", "\U0010ffff", "\ue000", "\u0378"]


def train(normalizer, pretokenizer, drop=(), **model):
    """A small byte-level BPE of that pipeline; drop: bytes that the vocabulary lacks."""
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pretokenizer
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(drop))
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False,
                                  limit_alphabet=len(alphabet))
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sequence(*parts):
    return pre_tokenizers.Sequence(list(parts))


def split(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


def special(tokenizer, *tokens):
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in tokens])
    return tokenizer


def gpt2_like():
    tokenizer = train(None, WORDS)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", normalized=True)])
    return tokenizer


def neox_like():
    tokenizer = special(train(normalizers.NFC(), WORDS), "<|endoftext|>")
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    tokenizer.add_tokens([AddedToken("e\u0301te", normalized=True)])  # matched as NFC has it
    return tokenizer


def llama3_like():
    tokenizer = train(None, sequence(split(LLAMA3), BYTES), ignore_merges=True)
    special(tokenizer, "<|im_start|>", "<|im_end|>")
    start = ("<|im_start|>", tokenizer.token_to_id("<|im_start|>"))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|im_start|> $A", special_tokens=[start])])
    return tokenizer


def qwen2_like():
    tokenizer = train(normalizers.NFC(), sequence(split(QWEN2), BYTES))
    special(tokenizer, "<|endoftext|>", "<|im_start|>", "<|im_end|>")
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def smollm_like():
    digits = pre_tokenizers.Digits(individual_digits=True)
    return special(train(None, sequence(digits, WORDS), drop="ĄĆēĔĖĝñò"), "<|im_start|>",
                   "<|im_end|>")


def strips():
    tokenizer = qwen2_like()
    tokenizer.add_tokens([AddedToken("[pad]", lstrip=True, rstrip=True, normalized=False),
                          AddedToken("<br>", rstrip=True, normalized=True)])
    return tokenizer


MADE = {one.__name__: one for one in (gpt2_like, neox_like, llama3_like, qwen2_like, smollm_like,
                                      strips)}


@pytest.fixture(scope="module", params=[*MADE, "qwen3", "gpt-neox"])
def pair(request, tmp_path_factory):
    """The library's tokenizer and the file that ours reads."""
    path = tmp_path_factory.mktemp("tokenizers") / f"{request.param}.json"
    if request.param in MADE:
        MADE[request.param]().save(str(path))
    else:
        source = probe.SHARED / request.param / "tokenizer.json.gz"
        if not source.exists():
            pytest.skip(f"{source} is not here")
        path.write_bytes(gzip.open(source).read())
    return Tokenizer.from_file(str(path)), path


def compare(pair, texts):
    theirs, path = pair
    ours = probe.encode(path, texts)
    want = [one.ids for one in theirs.encode_batch(texts, add_special_tokens=False)]
    assert len(ours) == len(want)
    for text, mine, other in zip(texts, ours, want):
        assert mine == other, ascii(text)


def test_random_texts(pair):
    draw = random.Random(20261121)
    texts = ["".join(draw.choices(PIECES, k=draw.randint(1, 24))) for _ in range(3000)]
    texts += ["".join(chr(draw.choice([draw.randrange(0x20, 0x300), draw.randrange(0x300, 0xd800),
                                       draw.randrange(0xe000, 0x110000)]))
                      for _ in range(draw.randint(1, 30))) for _ in range(1000)]
    compare(pair, texts)


def test_every_code_point(pair):
    """In the company of what its class decides: letters, digits, spaces, an apostrophe, a mark.
    Beyond plane 1, where whole planes are alike, the ends of the blocks and some in between."""
    points = [*range(0xd800), *range(0xe000, 0x20000), *range(0x20000, 0x110000, 509)]
    for end in (0x2a6df, 0x2b739, 0x2ebe0, 0x2ebf0, 0x2ee5d, 0x2fa1d, 0x3134a, 0x323af, 0xe01ef):
        points += range(end - 2, end + 3)
    texts = []
    for n in range(0, len(points), 64):
        chunk = [chr(c) for c in points[n:n + 64]]
        texts.append("".join(f"a{c}b {c}1  {c}\n" for c in chunk))
        texts.append("".join(f"'{c}e{c}\u0323\u0301 " for c in chunk))
    compare(pair, texts)


def test_long_runs(pair):
    compare(pair, [unit * 3000 for unit in
                   ("a", " ", "\n", " \n", "가", "e\u0301", "\u0301", "\u0323\u0301", "1", "!", "ab ",
                    "<|im_end|>", "\t ", "🙂")])


def test_reading_the_same_merges_as_text_and_as_pairs(tmp_path):
    tokenizer = qwen2_like()
    data = json.loads(tokenizer.to_str())
    text = [" ".join(one) if isinstance(one, list) else one for one in data["model"]["merges"]]
    ids = []
    for merges in (text, [one.split(" ") for one in text]):
        data["model"]["merges"] = merges
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        ids.append(probe.encode(path, CORPUS))
    assert ids[0] == ids[1] == [one.ids for one in tokenizer.encode_batch(
        CORPUS, add_special_tokens=False)]
