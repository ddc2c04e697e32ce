"""ModelConfig fills in what follows and refuses what cannot work; plan counts what Decoder has."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.model import Decoder, ModelConfig
from nanohydra.model.config import RopeScaling
from nanohydra.model.plan import count, find_device, training_bytes, training_seconds

SMALL: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_layers": 3,
    "num_heads": 4,
    "num_kv_heads": 2,
}

LONG = RopeScaling(kind="longrope", original_max_seq_len=30, short_factor=(1.0, 1.5, 2.0))


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
        ({"layer_types": ("sliding",)}, r"sliding_window \(0\) must be above 0"),
        ({"sliding_window": 4}, r"sliding_window \(4\) must be above 0 if .* and 0 otherwise"),
        ({"bias_on": ("q",)}, "bias_on must name some of qkv, output, feed_forward"),
        ({"bias": True, "bias_on": ("qkv",)}, "nothing where model.bias is on"),
        ({"rotary_dim": 16}, r"rotary_dim must be from 0 to head_dim \(8\), not 16"),
        ({"rotary_dim": 3}, "rotary_dim must be even for rope, not 3"),
        ({"logit_softcap": -1.0}, "logit_softcap must not be below 0, but is -1.0"),
        ({"norm": "layernorm", "norm_unit_offset": True}, "norm_unit_offset needs"),
        ({"rope_scaling": LONG, "max_seq_len": 30}, "short_factor must have 4 numbers.* not 3"),
        ({"rope_scaling": LONG, "rotary_dim": 6}, r"max_seq_len \(2048\) must not exceed"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ModelConfig(**{**SMALL, **changes})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "linear", "factor": 0.0}, "factor above 0 .* not 0.0"),
        ({"kind": "yarn", "factor": 2.0}, "'yarn' needs original_max_seq_len"),
        (
            {"kind": "llama3", "original_max_seq_len": 8, "low_freq_factor": 4.0},
            "high_freq_factor > low_freq_factor > 0",
        ),
    ],
)
def test_impossible_scalings_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RopeScaling(**fields)


def test_one_shape_has_one_spelling() -> None:
    plain = ModelConfig(**SMALL)
    assert ModelConfig(**SMALL, rotary_dim=8, query_pre_attn_scalar=8) == plain
    parts = ("output", "feed_forward", "qkv")
    biased = ModelConfig(**SMALL, bias_on=parts)
    assert biased == ModelConfig(**SMALL, bias=True)


def test_a_window_bounds_what_attention_costs() -> None:
    full = count(ModelConfig(**SMALL), 1000)
    fields = {**SMALL, "layer_types": ("sliding",)}
    costs = [
        count(ModelConfig(**fields, sliding_window=window), 1000).flops_per_token
        for window in (10, 500, 1000, 2000)
    ]
    assert costs[0] < costs[1] < costs[2] == costs[3] == full.flops_per_token
    # By hand: the first 10 of 1000 tokens see 1 to 10 places, about 5, the others 10.
    queries, places = 3 * 4 * 8, 10 - 10 * 10 / 2000
    base = count(ModelConfig(**SMALL), 0).flops_per_token
    assert costs[0] - base == pytest.approx(4 * queries * places, abs=3)


def test_layer_types_repeat_over_the_depth() -> None:
    config = ModelConfig(**SMALL, layer_types=("conv", "full"))
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
        {"layer_types": ("sliding", "nope", "full"), "sliding_window": 4, "bias_on": ("qkv",)},
        {"norm_place": "both", "feed_forward": "geglu", "bias_on": ("output", "feed_forward")},
        {"norm_place": "post", "qk_norm_span": "all", "rotary_dim": 4},
    ],
)
def test_counts_equal_the_built_model(changes: dict[str, object]) -> None:
    config = ModelConfig(**{**SMALL, **changes})
    with torch.device("meta"):
        model = Decoder(config)
    counts = count(config, 16)
    assert counts.parameters == sum(p.numel() for p in model.parameters())
    state = Decoder(config).init_state(1, 10, torch.bfloat16)
    assert state.num_bytes == 10 * counts.state_bytes_per_token + counts.state_bytes_fixed


def test_flops_follow_the_matrices() -> None:
    config = ModelConfig(**SMALL, qk_norm=False)
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
