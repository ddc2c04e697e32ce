"""Mistral: Llama's layout, with a sliding window in every layer or in none.

arXiv 2310.06825; names and fields as in transformers' `MistralForCausalLM`. Without a window it is
a Llama in all but name.
"""

from __future__ import annotations

from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.checkpoint.families.llama import FULL_OR_SLIDING, LlamaLike
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig


class Mistral(LlamaLike):
    """All layers alike."""

    model_type = "mistral"
    architecture = "MistralForCausalLM"
    layers = FULL_OR_SLIDING

    def fits(self, config: ModelConfig) -> bool:
        """One layer type alone."""
        return super().fits(config) and len(set(config.layer_types)) == 1

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """No window is null; absent would mean 4096."""
        return super().to_hf(config) | {"sliding_window": config.sliding_window or None}

    def fields(self, read: Reader) -> dict[str, Any]:
        """A list of layers is another program's idea, of which transformers warns."""
        window = read.window(4096)
        kind = "sliding_attention" if window else "full_attention"
        if set(read.hf.get("layer_types") or [kind]) != {kind}:
            raise UserError(
                f"'layer_types' is {read.hf['layer_types']!r}, which a Mistral with "
                f"sliding_window = {window or None} has not"
            )
        return super().fields(read) | {
            "layer_types": (FULL_OR_SLIDING[kind],),
            "sliding_window": window,
        }
