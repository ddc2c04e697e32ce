"""ModelConfig fills in what follows and refuses what cannot work; plan counts what Decoder has."""

from __future__ import annotations

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.plan import count, find_device, training_bytes, training_seconds

SMALL = {"vocab_size": 60, "hidden_size": 32, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 3}, "multiple of"),
        ({"hidden_size": 30}, "head_dim"),
        ({"hidden_size": 0}, "at least 1, not 0"),
        ({"head_dim": 7}, "even for rope"),
        ({"layer_types": ("ful",)}, "did you mean 'full'"),
        ({"feed_forward": "swiglue"}, "did you mean 'swiglu'"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(**{**SMALL, **changes})  # type: ignore[arg-type]


def test_layer_types_repeat_over_the_depth() -> None:
    config = ModelConfig(**SMALL, layer_types=("conv", "full"))  # type: ignore[arg-type]
    assert config.layer_types == ("conv", "full", "conv")


@pytest.mark.parametrize("depth", range(1, 33))
def test_the_dial_gives_a_model_at_every_depth(depth: int) -> None:
    config = ModelConfig.from_depth(depth)
    assert (config.num_layers, config.hidden_size) == (depth, 64 * depth)


def test_the_dial_takes_overrides_and_refuses_zero() -> None:
    assert ModelConfig.from_depth(4, vocab_size=99).vocab_size == 99
    with pytest.raises(UserError, match="depth"):
        ModelConfig.from_depth(0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_embeddings": False, "head_dim": 16},
        {"layer_types": ("conv", "full")},
        {"layer_types": ("conv", "full"), "bias": True},
        {"norm": "layernorm", "position": "learned", "bias": True, "qk_norm": False},
        {"feed_forward": "gelu", "bias": True, "norm": "layernorm"},
        {"feed_forward": "relu2", "position": "sinusoidal"},
    ],
)
def test_counts_equal_the_built_model(changes: dict[str, object]) -> None:
    config = ModelConfig(**{**SMALL, **changes})  # type: ignore[arg-type]
    with torch.device("meta"):
        model = Decoder(config)
    counts = count(config, 16)
    assert counts.parameters == sum(p.numel() for p in model.parameters())
    state = Decoder(config).init_state(1, 10, torch.bfloat16)
    assert state.num_bytes == 10 * counts.state_bytes_per_token + counts.state_bytes_fixed


def test_flops_follow_the_matrices() -> None:
    config = ModelConfig(**SMALL, qk_norm=False)  # type: ignore[arg-type]
    model = Decoder(config)
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    assert count(config, 0).flops_per_token == 2 * matrices
    assert count(config, 100).flops_per_token > 2 * matrices


def test_plans_grow_with_the_model_and_shrink_with_the_device() -> None:
    small, large = ModelConfig.from_depth(4), ModelConfig.from_depth(12)
    assert training_bytes(small, 4096) < training_bytes(large, 4096)
    cpu, gpu = find_device("cpu"), find_device("h100")
    slow, fast = (training_seconds(small, 10**6, 256, d) for d in (cpu, gpu))
    assert fast < slow < training_seconds(large, 10**6, 256, cpu)
    with pytest.raises(UserError, match="did you mean 'h100'"):
        find_device("h10")
