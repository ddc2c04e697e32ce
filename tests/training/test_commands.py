"""The commands pretrain and sft, from text files to a model that chats in its format."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from nanohydra.checkpoint import load
from nanohydra.commands import pretrain, sft, stages
from nanohydra.core.errors import UserError

RECIPE = """
name = "mini"
[tokenizer]
kind = "characters"
vocab_size = 48
[model]
hidden_size = 16
num_layers = 1
num_heads = 2
num_kv_heads = 2
max_seq_len = 64
[data.pretrain]
valid_fraction = 0.2
[data.pretrain.sources.stories]
path = "{folder}/stories.jsonl"
[data.sft]
packing = "pad"
valid_fraction = 0.2
[data.sft.sources.chats]
path = "{folder}/chats.jsonl"
[pretrain]
steps = 4
rows_per_step = 2
row_length = 32
log_every = 1
validate_every = 2
sample_every = 4
[sft]
steps = 3
rows_per_step = 2
row_length = 32
checkpoint_every = 2
[runtime]
dtype = "float32"
threads = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    words = ["one red fox", "two blue hens", "ten old owls", "six shy cats"]
    stories = [{"text": f"{a} met {b}."} for a in words for b in words]
    chats = [
        {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}
        for a in words
        for b in words
    ]
    for name, rows in (("stories", stories), ("chats", chats)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    path = tmp_path / "mini.toml"
    path.write_text(RECIPE.format(folder=tmp_path.as_posix()))
    return path


def words(recipe: Path, *more: str) -> list[str]:
    return ["--recipe", str(recipe), "--out", str(recipe.parent / "run"), *more]


def rows(recipe: Path) -> list[dict[str, float]]:
    lines = (recipe.parent / "run" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_from_text_to_a_fine_tuned_model(recipe: Path, capsys) -> None:
    run = recipe.parent / "run"
    pretrain.main(words(recipe))
    base = load(run / "pretrained")
    assert base.manifest["stage"] == "pretrain" and base.manifest["step"] == 4
    assert base.manifest["recipe"]["model"]["hidden_size"] == 16
    assert "val_bits_per_byte" in base.manifest["metrics"]
    sft.main(words(recipe))
    tuned = load(run / "model")
    assert tuned.manifest["stage"] == "sft"
    assert tuned.tokenizer.fingerprint == base.tokenizer.fingerprint
    assert not torch.equal(tuned.model.embed.weight, base.model.embed.weight)
    stages = [(row["stage"], row["step"]) for row in rows(recipe)]
    assert stages == [*(("pretrain", step) for step in (1, 2, 3, 4)), ("sft", 3)]
    said = capsys.readouterr()
    assert "tokens per second" in said.out
    assert "<|bos|>" in said.err  # a sample
    pretrain.main(words(recipe))  # anew: its curve replaces all
    assert [row["stage"] for row in rows(recipe)] == ["pretrain"] * 4


def test_an_interrupted_command_says_how_to_go_on_and_does(
    recipe: Path, capsys, monkeypatch
) -> None:
    pretrain.main(words(recipe))
    whole = load(recipe.parent / "run" / "pretrained").model.state_dict()

    class Stops(stages.StageMetrics):
        def log(self, step, metrics):
            super().log(step, metrics)
            if step == 2:
                signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(stages, "StageMetrics", Stops)
        with pytest.raises(SystemExit, match="143"):
            pretrain.main(words(recipe))
    said = capsys.readouterr().out
    assert "stopped by SIGTERM after step 2 of 4" in said
    assert said.rstrip().endswith(f"--out {recipe.parent / 'run'} --resume")
    pretrain.main(words(recipe, "--resume"))
    again = load(recipe.parent / "run" / "pretrained").model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    assert [row["step"] for row in rows(recipe)] == [1, 2, 3, 4]


def test_what_is_missing_or_does_not_fit_is_said(recipe: Path) -> None:
    with pytest.raises(UserError, match="run `nanohydra pretrain` first"):
        sft.main(words(recipe))
    pretrain.main(words(recipe))
    with pytest.raises(UserError, match="data of other sources"):
        pretrain.main(words(recipe, "--data", str(recipe.parent / "chats.jsonl")))
    with pytest.raises(UserError, match="nothing to resume"):
        sft.main(words(recipe, "--resume"))


def test_other_data_takes_the_place_of_the_recipes(recipe: Path) -> None:
    out = recipe.parent / "other"
    more = ["--data", str(recipe.parent / "chats.jsonl"), "--out", str(out)]
    pretrain.main(["--recipe", str(recipe), *more])
    assert [p.name for p in (out / "data" / "pretrain" / "train").iterdir()] == ["chats"]
