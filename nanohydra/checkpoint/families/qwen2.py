"""Qwen2 and 2.5: Llama's layout with biases on q, k and v; later layers may have a window.

arXiv 2407.10671; names and fields as in transformers' `Qwen2ForCausalLM`.
"""

from __future__ import annotations

from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.checkpoint.families.llama import FULL_OR_SLIDING, LlamaLike
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig


class Qwen2(LlamaLike):
    """Layers with a sliding window and without."""

    model_type = "qwen2"
    architecture = "Qwen2ForCausalLM"
    options = {"qk_norm": False, "bias_on": ("qkv",)}
    layers = FULL_OR_SLIDING

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """Windows, as a list of layers and as the number of layers before them."""
        common = super().to_hf(config) | {"use_sliding_window": "sliding" in config.layer_types}
        if "sliding" not in config.layer_types:
            return common
        kinds = {ours: theirs for theirs, ours in FULL_OR_SLIDING.items()}
        return common | {
            "sliding_window": config.sliding_window,
            "max_window_layers": config.layer_types.index("sliding"),
            "layer_types": [kinds[kind] for kind in config.layer_types],
        }

    def fields(self, read: Reader) -> dict[str, Any]:
        """Windows count where they are switched on."""
        return super().fields(read) | sliding_layers(read)


def sliding_layers(read: Reader) -> dict[str, Any]:
    """Layer types and window as Qwen2 and Qwen3 give them."""
    window = read.window(4096) if read.flag("use_sliding_window", False) else 0
    layers, plain = read.integer("num_hidden_layers"), read.integer("max_window_layers", 28)
    kinds = [
        "full_attention" if i < plain or not window else "sliding_attention" for i in range(layers)
    ]
    layer_types = read.layer_types(FULL_OR_SLIDING, *kinds)
    if "sliding" in layer_types and not window:
        raise UserError("'layer_types' has sliding windows, but 'use_sliding_window' is off")
    return {
        "layer_types": layer_types,
        "sliding_window": window if "sliding" in layer_types else 0,
    }
