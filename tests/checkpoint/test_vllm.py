"""What docs/vllm.md promises of exported folders, as far as it can be told without vLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nanohydra.adapters import LoraConfig, attach, base_hash, save_adapter
from nanohydra.checkpoint.names import MODEL
from nanohydra.cli import main
from nanohydra.testing_models import random_model

transformers = pytest.importorskip("transformers")
# What vLLM's PEFTHelper reads; what it refuses or leaves out in silence must hold its default.
PROFILE: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (None, False),
    "use_rslora": (None, False),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
}
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of --max-lora-rank
MODULES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with an adapter beside it, as `nanohydra export` writes them."""
    root = tmp_path_factory.mktemp("vllm")
    loaded = random_model(root / "run" / MODEL)
    attached = attach(loaded.model, LoraConfig(rank=8), seed=0)
    weights = attached.weights(base_hash(loaded.model))
    attached.detach()
    for pair in weights.pairs.values():
        pair.b_OR.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
    save_adapter(root / "adapter", weights, loaded.config, manifest={})
    words = [str(root / "run"), str(root / "out"), "--to", "hf", "--adapter", str(root / "adapter")]
    assert main(["export", *words]) == 0
    return root / "out"


def test_the_configuration_is_one_of_transformers(exported: Path) -> None:
    said = json.loads((exported / "config.json").read_text())
    (name,) = said["architectures"]
    config = transformers.AutoConfig.from_pretrained(exported)
    built = transformers.AutoModelForCausalLM.from_config(config)
    assert type(built).__name__ == name
    assert {p.name for p in exported.iterdir()} >= {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    for field in ("max_position_embeddings", "num_key_value_heads", "rms_norm_eps", "vocab_size"):
        assert said[field] == getattr(config, field)


def test_the_adapter_keeps_to_the_profile(exported: Path) -> None:
    said = json.loads((exported / "adapter" / "adapter_config.json").read_text())
    for field, allowed in PROFILE.items():
        assert said.get(field) in allowed, field
    assert isinstance(said["r"], int) and said["r"] <= max(RANKS) and said["lora_alpha"] > 0
    assert isinstance(said["target_modules"], list)
    names = {name.rpartition(".")[2] for name in said["target_modules"]}
    assert names and names <= MODULES
    assert (exported / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks
def test_the_adapter_gives_the_same_logits_there(exported: Path) -> None:
    peft = pytest.importorskip("peft")
    from nanohydra.adapters import attach_weights, load_adapter
    from nanohydra.checkpoint import load

    ids = torch.arange(5, 25)[None]
    theirs = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32),
        exported / "adapter",
    ).eval()
    ours = load(exported).model
    with torch.no_grad():
        plain = ours(ids)
        attach_weights(ours, load_adapter(exported / "adapter", model=ours))
        changed = ours(ids)
        torch.testing.assert_close(theirs(ids).logits, changed, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain, changed)
