"""`nanohydra export`: folders that transformers and peft load, cards, GGUF, and mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nanohydra.adapters import Bank, LoraConfig, attach, base_hash, merge
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.checkpoint import load, save
from nanohydra.cli import main
from nanohydra.commands.export import ExportOptions
from nanohydra.commands.options import positionals_first
from nanohydra.core.files import sha256, write_json
from nanohydra.model import Decoder, ModelConfig
from nanohydra.tokenizer import Tokenizer
from tests.tokenizer.foreign import byte_fallback, write

transformers = pytest.importorskip("transformers", reason="compares with transformers")
IDS_BT = torch.arange(8, 40)[None]
REPORT = {
    "created": "2026-01-02T03:04:05+00:00", "version": "9.9", "bits_per_byte": 1.25,
    "perplexity": 3.5,
    "details": {
        "tasks": {
            "arithmetic": {
                "name": "arithmetic", "metric": "tool_accuracy", "accuracy": 0.96,
                "num_examples": 200, "interval": {"low": 0.923, "high": 0.98},
            }
        },
        "likelihood": {
            "num_tokens": 1000, "bits_per_byte_interval": {"low": 1.2, "high": 1.3},
            "protocol": {"text": "held.txt", "row_length": 64, "stride": 32},
        },
    },
}  # fmt: skip


TOKENIZER = Tokenizer.train(["What is the printer called? It is called Heron. "], vocab_size=300)


def small_model() -> Decoder:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "num_kv_heads": 1}
    model = Decoder(ModelConfig(vocab_size=TOKENIZER.vocab_size, max_seq_len=64, **sizes))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter.data, std=0.15)
    return model.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a model, a report, and two versions under an alias."""
    run = tmp_path_factory.mktemp("runs") / "taught"
    save(run / "model", small_model(), TOKENIZER, manifest={})
    loaded = load(run / "model")
    write_json(run / "report.json", REPORT)
    bank = Bank(run / "learning" / "bank")
    ids = [bank.publish(weights(loaded.model, n), loaded.config, manifest=about()) for n in (1, 2)]
    bank.activate("default", ids[:1])
    bank.activate("both", ids)
    bank.activate("empty", ids)
    bank.activate("empty", [])
    return run


def about() -> dict[str, Any]:
    return {"gate": {"checks": {"recall": {"value": 0.95, "limit": 0.9, "passed": True}}}}


def weights(model: Any, seed: int) -> AdapterWeights:
    torch.manual_seed(seed)
    base = base_hash(model)
    attached = attach(model, LoraConfig(rank=2, alpha=4, targets=("q_proj", "down_proj")))
    for name, parameter in model.named_parameters():
        if name.endswith("lora_b"):
            torch.nn.init.normal_(parameter.data, std=0.2)
    found = attached.weights(base)
    attached.detach()
    return found


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "runs" / "taught")
    return Path("runs/taught")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        out = model(IDS_BT)
    return out if isinstance(out, torch.Tensor) else out.logits


def theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def test_a_folder_for_transformers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run), "--to", "hf", "out"]) == 0
    out = capsys.readouterr().out
    assert "Qwen3ForCausalLM" in out and "taught, exported" in out
    loaded = load(run / "model")
    torch.testing.assert_close(logits(theirs(Path("out"))), logits(loaded.model))
    assert sha256(Path("out/model.safetensors")) == sha256(run / "model" / "model.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    chat = [{"role": "user", "content": "What is it called?"}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|bos|><|user|>What is it called?<|end|><|assistant|>"
    again = load("out")
    assert torch.equal(logits(again.model), logits(loaded.model))
    assert again.manifest["exported"]["from"] == "taught"


def test_the_card_says_what_was_measured(run: Path) -> None:
    assert main(["export", str(run), "out"]) == 0
    card = Path("out/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    for row in (
        "| arithmetic (tool_accuracy) | 96.0% | 92.3% to 98.0% | 200 unseen examples |",
        "| bits per byte | 1.2500 | 1.2000 to 1.3000 | 1,000 tokens of held.txt, windows of 64",
        "| perplexity per token | 3.5 |",
        "Measured on 2026-01-02 with nanohydra 9.9.",
        "| weights | float32 |",
    ):
        assert row in card, row
    (run / "report.json").unlink()
    assert main(["export", str(run), "out"]) == 0, "an earlier export is replaced"
    card = Path("out/README.md").read_text()
    assert "Nothing was measured of this model." in card and "%" not in card


def test_a_later_evaluation_counts(run: Path) -> None:
    later = {**REPORT, "created": "2026-02-02", "bits_per_byte": 1.125}
    write_json(run / "eval" / "report.json", later)
    assert main(["export", str(run), "out"]) == 0
    assert "| bits per byte | 1.1250 |" in Path("out/README.md").read_text()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_dtype(run: Path, dtype: str) -> None:
    assert main(["export", str(run), "out", "--dtype", dtype]) == 0
    assert json.loads(Path("out/config.json").read_text())["torch_dtype"] == dtype
    expected = load(run / "model").model.embed.weight.to(getattr(torch, dtype))
    assert torch.equal(load("out").model.embed.weight, expected)


def test_merged(run: Path) -> None:
    before = sha256(run / "model" / "model.safetensors")
    assert main(["export", str(run), "out", "--adapter=default", "--merge"]) == 0
    base = load(run / "model").model
    bank = Bank(run / "learning" / "bank")
    (version,) = bank.alias("default").versions
    expected = logits(merge(base, bank.load(version)).model)
    assert not torch.allclose(expected, logits(base))
    torch.testing.assert_close(logits(theirs(Path("out"))), expected, atol=1e-5, rtol=1e-5)
    assert sha256(run / "model" / "model.safetensors") == before
    card = Path("out/README.md").read_text()
    assert f"The adapter {version}, which nanohydra trained on lessons, is in the weights." in card
    assert "| recall | 0.95 | 0.9 |" in card and "before the adapter was merged" in card
    assert not Path("out/adapter").exists()


@pytest.mark.filterwarnings("default::FutureWarning", "default::DeprecationWarning")
def test_beside(run: Path) -> None:
    peft = pytest.importorskip("peft", reason="compares with peft")
    assert main(["export", str(run), "out", "--adapter=both"]) == 0
    base = load(run / "model").model
    bank = Bank(run / "learning" / "bank")
    merged = base
    for version in bank.alias("both").versions:
        # The second one is for the same base.
        part = merge(base, bank.load(version)).model
        merged = part if merged is base else add(merged, part, base)
    found = peft.PeftModel.from_pretrained(theirs(Path("out")), "out/adapter")
    torch.testing.assert_close(logits(found), logits(merged), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits(theirs(Path("out"))), logits(base))
    assert 'PeftModel.from_pretrained(model, "FOLDER/adapter")' in Path("out/README.md").read_text()


def add(one: Any, other: Any, base: Any) -> Any:
    """Two changed copies of a base as one with both changes."""
    with torch.no_grad():
        for mine, theirs_, plain in zip(
            one.parameters(), other.parameters(), base.parameters(), strict=True
        ):
            mine += theirs_ - plain
    return one


def test_ways_to_name_an_adapter(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bank = Bank(run / "learning" / "bank")
    version = bank.alias("both").versions[1]
    for text in (version, version[:6], f"default@{version[:8]}", str(bank.path(version))):
        assert main(["export", str(run), "out", f"--adapter={text}"]) == 0, text
        assert version in capsys.readouterr().out
    for text, message in (
        ("defalt", r"there is no adapter 'defalt' in .*did you mean 'default'?"),
        ("defalt@1234", "there is no adapter 'defalt@1234'"),
        ("default@0000", "there is no version '0000'"),
        ("empty", "'empty' means the base alone"),
        ("ffff", "there is no adapter 'ffff'"),
    ):
        assert main(["export", str(run), "other", "--adapter", text]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert message.replace(".*", "") in error or all(p in error for p in message.split(".*"))
    assert not Path("other").exists()


def test_gguf(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf = pytest.importorskip("gguf", reason="GGUF needs the extra 'hf'")
    for words, name in (
        (["out"], "out/taught-F16.gguf"),
        (["x/m.gguf", "--type=q8_0", "--adapter=default", "--merge"], "x/m.gguf"),
        (["x/m.gguf", "--type=f32"], "x/m.gguf"),
    ):
        assert main(["export", str(run), "--to", "gguf", *words]) == 0
        reader = gguf.GGUFReader(name)
        assert reader.fields["general.name"].contents() == "taught"
        assert name in capsys.readouterr().out
    embed = next(t for t in reader.tensors if t.name == "token_embd.weight").data
    assert torch.equal(torch.from_numpy(embed.copy()), load(run / "model").model.embed.weight)


def test_a_foreign_tokenizers_files_stay(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    config = transformers.LlamaConfig(
        vocab_size=600, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(source)
    write(source, byte_fallback(["<|im_end|>"]), {"eos_token": "<|im_end|>", "own_key": 7})
    (source / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    write_json(source / "generation_config.json", {"eos_token_id": [2, 5], "temperature": 0.6})
    assert main(["export", str(source), str(out)]) == 0
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (source / name).read_bytes(), name
    assert json.loads((out / "generation_config.json").read_text())["temperature"] == 0.6
    torch.testing.assert_close(logits(theirs(out)), logits(model), atol=0, rtol=0)
    assert load(out).tokenizer.fingerprint == load(source).tokenizer.fingerprint


def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("thesis").mkdir()
    Path("thesis/thesis.tex").write_text("years of work")
    Path("file").write_text("")
    for words, message in (
        ([str(run)], "give a model and where to"),
        ([str(run), "out", "--merge"], "--merge needs --adapter"),
        ([str(run), "o.gguf", "--to=gguf", "--adapter=default"], "give --merge with --adapter"),
        ([str(run), "o.gguf", "--to=gguf", "--dtype=float32"], "--dtype is for folders"),
        ([str(run), "thesis"], "holds 'thesis.tex', which is no part of a model"),
        ([str(run), "file"], "file is a file"),
        ([str(run), str(run / "model")], "holds the model that is exported"),
        ([str(run), "runs"], "holds the model that is exported"),
        (["nothing", "out"], "no model in nothing"),
    ):
        assert main(["export", *words]) == 2, words
        assert message in " ".join(capsys.readouterr().err.split()), words
    assert Path("thesis/thesis.tex").read_text() == "years of work"
    assert not Path("out").exists() and (run / "model" / "config.json").is_file()


def test_words_in_any_order() -> None:
    words = ["runs/tiny", "--to", "hf", "OUT", "--merge", "x", "--dtype=float32", "--a.b", "1"]
    assert positionals_first(ExportOptions, words) == [
        "runs/tiny", "OUT", "x", "--to", "hf", "--merge", "--dtype=float32", "--a.b", "1",
    ]  # fmt: skip
