"""SmolLM3: Llama's layout in which some layers, usually every fourth, have no positions.

Names and fields as in transformers' `SmolLM3ForCausalLM`; SmolLM and SmolLM2 are Llamas.
"""

from __future__ import annotations

from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.checkpoint.families.llama import LlamaLike
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig


class SmolLM3(LlamaLike):
    """Layers with rotary positions and without."""

    model_type = "smollm3"
    architecture = "SmolLM3ForCausalLM"
    layers = {"full_attention": "full", "without rotation": "nope"}
    biases = {"attention_bias": ("qkv", "output"), "mlp_bias": ("feed_forward",)}
    theta = 2_000_000.0
    tied = True

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """In `no_rope_layers` a 1 stands for a layer that is rotated."""
        return super().to_hf(config) | {
            "no_rope_layers": [int(kind == "full") for kind in config.layer_types],
            "layer_types": ["full_attention"] * config.num_layers,
            "use_sliding_window": False,
        }

    def fields(self, read: Reader) -> dict[str, Any]:
        """Sliding windows, which no published model has, are refused."""
        read.refuse("use_sliding_window", False)
        read.layer_types({"full_attention": "full"})
        layers, interval = (
            read.integer("num_hidden_layers"),
            read.integer("no_rope_layer_interval", 4),
        )
        rotated = read.hf.get("no_rope_layers")
        if rotated is None:
            rotated = [(index + 1) % interval for index in range(layers)]
        if not isinstance(rotated, list) or len(rotated) < layers:
            raise UserError(f"'no_rope_layers' must list {layers} layers, not be {rotated!r}")
        kinds = tuple("full" if is_rotated else "nope" for is_rotated in rotated[:layers])
        return super().fields(read) | {"layer_types": kinds}
