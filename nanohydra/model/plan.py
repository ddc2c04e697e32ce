"""What a model costs before it is built: parameters, FLOPs, state and training memory, time.

Counts come from the configuration alone; times from a device's peak and a stated share of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.model.config import GATED, ModelConfig


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device to plan for.

    flops: dense bf16 peak in FLOP/s. memory: bytes. utilization: share of the peak that training
    of a model large enough to fill the device reaches. price: typical rent, US dollars an hour.
    """

    flops: float
    memory: float
    utilization: float
    price: float


GIB = 2.0**30
DEVICES = {
    "cpu": Device(flops=7e11, memory=16 * GIB, utilization=0.35, price=0.0),
    "rtx4090": Device(flops=165e12, memory=24 * GIB, utilization=0.40, price=0.4),
    "a100": Device(flops=312e12, memory=80 * GIB, utilization=0.40, price=1.5),
    "h100": Device(flops=989e12, memory=80 * GIB, utilization=0.40, price=2.5),
    "h200": Device(flops=989e12, memory=141 * GIB, utilization=0.40, price=3.0),
}
"""Peaks from the makers' data sheets; the cpu is two cores with AMX, at the 0.25 TFLOP/s that
training `tiny` reached on them (docs/log.md)."""


def find_device(name: str) -> Device:
    """A device of the table. Raises UserError for an unknown name."""
    if name not in DEVICES:
        raise UserError(f"unknown device {name!r}; {suggest(name, DEVICES)}")
    return DEVICES[name]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Sizes of one model.

    parameters, embedding_parameters: all, and those of them in tables that are looked up.
    flops_per_token: forward pass at `length` tokens of context, a multiply-add as two.
    state_bytes_per_token: what decoding keeps per token (bf16); state_bytes_fixed: per sequence.
    """

    parameters: int
    embedding_parameters: int
    flops_per_token: int
    state_bytes_per_token: int
    state_bytes_fixed: int


def count(config: ModelConfig, length: int) -> Counts:
    """Count a model's sizes; `length` is the context that attention looks over."""
    width = config.hidden_size
    norm = width if config.norm == "rmsnorm" else 2 * width
    matrices = 0
    vectors = norm  # the final norm
    attended = per_token = fixed = 0
    for kind in config.layer_types:
        if kind == "conv":
            matrices += 4 * width * width
            vectors += config.conv_kernel * width + (4 * width if config.bias else 0)
            fixed += (config.conv_kernel - 1) * width * 2
        elif kind in ("full", "sliding", "nope"):
            queries, keys = (n * config.head_dim for n in (config.num_heads, config.num_kv_heads))
            matrices += width * (2 * queries + 2 * keys)
            vectors += attention_vectors(config)
            attended += round(4 * queries * seen(config, kind, length))
            per_token += 2 * keys * 2
        else:
            raise AssertionError(f"no count for layer type {kind!r}")
        num_in = 2 if config.feed_forward in GATED else 1
        matrices += (num_in + 1) * width * config.intermediate_size
        vectors += (4 if config.norm_place == "both" else 2) * norm
        if config.has_bias("feed_forward"):
            vectors += num_in * config.intermediate_size + width
    table = config.vocab_size * width
    embeddings = table + (config.max_seq_len * width if config.position == "learned" else 0)
    head_parameters = 0 if config.tie_embeddings else table
    return Counts(
        parameters=matrices + vectors + embeddings + head_parameters,
        embedding_parameters=embeddings,
        flops_per_token=2 * (matrices + table) + attended,
        state_bytes_per_token=per_token,
        state_bytes_fixed=fixed,
    )


def attention_vectors(config: ModelConfig) -> int:
    """Numbers in the norms and biases of one attention layer."""
    head, width = config.head_dim, config.hidden_size
    queries, keys = config.num_heads * head, config.num_kv_heads * head
    total = queries + 2 * keys if config.has_bias("qkv") else 0
    total += width if config.has_bias("output") else 0
    if config.qk_norm:
        total += 2 * head if config.qk_norm_span == "head" else queries + keys
    return total


def seen(config: ModelConfig, kind: str, length: int) -> float:
    """How many places a token sees on average in a text of so many: half, or up to a window."""
    window = config.sliding_window if kind == "sliding" else length
    if window >= length:
        return length / 2
    return window * (1 - window / (2 * length))


def training_bytes(config: ModelConfig, tokens_per_pass: int) -> int:
    """Rough memory of training: weights and optimizer 18 bytes a parameter, plus activations.

    Activations: about 16 numbers of the residual width and 4 of the inner width per token and
    layer in bf16, and one block of float32 logits; without recomputation.
    """
    counts = count(config, config.max_seq_len)
    per_token = config.num_layers * (16 * config.hidden_size + 4 * config.intermediate_size) * 2
    return 18 * counts.parameters + tokens_per_pass * per_token + 2**29


def training_seconds(config: ModelConfig, tokens: int, length: int, device: Device) -> float:
    """Time to train on so many tokens: three forward passes each, at the device's usual share."""
    flops = 3 * count(config, length).flops_per_token * tokens
    return flops / (device.flops * device.utilization)
