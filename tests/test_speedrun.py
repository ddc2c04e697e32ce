"""The whole path in seconds: a minute recipe from text to report, interrupted, resumed, refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import nanohydra
from nanohydra.commands import speedrun
from nanohydra.commands.stages import with_data
from nanohydra.core.errors import UserError
from nanohydra.recipe import load_recipe

RECIPE = """
name = "minute"
[tokenizer]
vocab_size = 320
[model]
num_layers = 2
hidden_size = 32
num_heads = 2
num_kv_heads = 1
intermediate_size = 64
max_seq_len = 256
[data.pretrain]
packing = "pad"
[data.pretrain.sources.stories]
kind = "primer"
counts = { stories = 40, lookup = 40 }
[data.sft.sources.chat]
kind = "primer"
seed = 1
counts = { greetings = 60, arithmetic = 60 }
[pretrain]
steps = 4
rows_per_step = 4
row_length = 128
checkpoint_every = 2
[sft]
steps = 3
rows_per_step = 4
row_length = 192
[eval]
count = 3
documents = 5
row_length = 128
max_tokens = 8
[eval.counts]
facts = 3
[runtime]
threads = 1
"""
KEYS = (
    *("tool_accuracy", "facts_accuracy", "reading_accuracy", "abstain_accuracy"),
    *("bits_per_byte", "perplexity", "train_seconds", "tokens_per_second", "params"),
    "peak_memory_bytes",
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "minute.toml"
    path.write_text(RECIPE)
    return path


def test_from_nothing_to_a_report(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--recipe", str(recipe), "--out", str(out)]
    speedrun.main(words)
    report = json.loads((out / "report.json").read_text())
    assert all(report[key] is not None for key in KEYS)
    assert report["pretrained_bits_per_byte"] > 0
    assert "<html" in (out / "report.html").read_text()
    loaded = nanohydra.load(out / "model")
    assert loaded.config.hidden_size == 32
    logits = loaded.model(torch.tensor([loaded.tokenizer.encode("Hello")]))
    assert logits.isfinite().all()
    with pytest.raises(UserError, match="holds a run already"):
        speedrun.main(words)
    before = (out / "model" / "model.safetensors").read_bytes()
    speedrun.main([*words, "--resume"])  # nothing is left but the report
    assert (out / "model" / "model.safetensors").read_bytes() == before
    with pytest.raises(UserError, match=r"other settings \(sft.steps\)"):
        speedrun.main([*words, "--resume", "--sft.steps=9"])


def test_a_stopped_run_goes_on_to_the_same_weights(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    speedrun.main(["--recipe", str(recipe), "--out", str(whole)])
    from nanohydra.training.loop import _Run

    step, done = _Run.one_step, 0

    def dies(self: _Run, batch: object) -> None:
        nonlocal done
        done += 1
        if done == 4:
            raise MemoryError("as if killed")
        step(self, batch)  # type: ignore[arg-type]

    words = ["--recipe", str(recipe), "--out", str(parts)]
    monkeypatch.setattr(_Run, "one_step", dies)
    with pytest.raises(MemoryError):
        speedrun.main(words)
    assert not (parts / "pretrained").exists()
    speedrun.main([*words, "--resume"])
    names = ("pretrained", "model")
    for name in names:
        a, b = ((run / name / "model.safetensors").read_bytes() for run in (whole, parts))
        assert a == b


def test_on_ones_own_text_with_its_held_out_part(recipe: Path, tmp_path: Path) -> None:
    for name in ("train", "heldout"):
        lines = [json.dumps({"text": f"A {name} story about duck {i}."}) for i in range(200)]
        (tmp_path / f"mine_{name}.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    out = tmp_path / "run"
    data = tmp_path / "mine_train.jsonl.gz"
    speedrun.main(["--recipe", str(recipe), "--out", str(out), "--data", str(data)])
    report = json.loads((out / "report.json").read_text())
    assert report["details"]["likelihood"]["protocol"]["text"] == "mine_heldout.jsonl.gz"
    assert report["pretrained_bits_per_byte"] > 0


def test_a_folder_of_something_else_is_left_alone(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        speedrun.main(["--recipe", str(recipe), "--out", str(tmp_path / "run")])
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_ones_own_text_is_kept_in_fine_tuning() -> None:
    recipe = with_data(load_recipe("tiny", []), "pretrain", Path("plays.txt"))
    kept = speedrun.with_text_kept(recipe).data.sft
    assert kept.sources["text_plays"].path == "plays.txt"
    share = kept.weights["text_plays"] / sum(kept.weights.values())
    assert share == pytest.approx(speedrun.TEXT_SHARE)
    assert {name: kept.weights[name] for name in recipe.data.sft.weights} == recipe.data.sft.weights
    alone = replace(recipe, sft=None)
    assert speedrun.with_text_kept(alone) == alone
