"""Phi-3 and Phi-4: Llama's layout with q, k, v in one matrix, and gate and up in another.

arXiv 2404.14219; names and fields as in transformers' `Phi3ForCausalLM`. With "longrope" a model
reads texts up to the length that it was first trained on: longer ones would change the rotation
of tokens that were read before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nanohydra.checkpoint.families.base import Entry, Reader, fused
from nanohydra.checkpoint.families.llama import linear
from nanohydra.checkpoint.families.mistral import Mistral
from nanohydra.model.config import ModelConfig


class Phi3(Mistral):
    """All layers alike, with a sliding window or without."""

    model_type = "phi3"
    architecture = "Phi3ForCausalLM"
    free = ("rotary_dim",)
    kinds = ("default", "longrope")
    eps = 1e-5

    def fits(self, config: ModelConfig) -> bool:
        """Heads share the width out evenly."""
        even = config.num_heads * config.head_dim == config.hidden_size
        return super().fits(config) and even

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """Dropout has the names of GPT-2."""
        original = {"original_max_position_embeddings": config.max_seq_len}
        names = {"resid_pdrop": config.dropout, "embd_pdrop": config.dropout}
        return original | super().to_hf(config) | names

    def fields(self, read: Reader) -> dict[str, Any]:
        """A missing window is none here."""
        window = read.window(0)
        hf = {**read.hf, "sliding_window": window or None}
        return super().fields(Reader(hf)) | {"dropout": read.number("resid_pdrop", 0.0)}

    def attention(self, config: ModelConfig, theirs: str, ours: str) -> Iterator[Entry]:
        """q, k and v on top of each other."""
        queries, keys = (n * config.head_dim for n in (config.num_heads, config.num_kv_heads))
        names = tuple(f"{ours}.{name}_proj.weight" for name in "qkv")
        yield Entry(f"{theirs}.qkv_proj.weight", names, fused(queries, keys, keys))
        yield from linear(f"{theirs}.o_proj", f"{ours}.o_proj")

    def feed_forward(self, config: ModelConfig, theirs: str, ours: str) -> Iterator[Entry]:
        """gate on top of up."""
        names = tuple(f"{ours}.{name}_proj.weight" for name in ("gate", "up"))
        sizes = (config.intermediate_size, config.intermediate_size)
        yield Entry(f"{theirs}.gate_up_proj.weight", names, fused(*sizes))
        yield from linear(f"{theirs}.down_proj", f"{ours}.down_proj")
