"""Gemma 3, its text models: norms on q and k, five layers with a window to one without.

arXiv 2503.19786; names and fields as in transformers' `Gemma3ForCausalLM`. The layers with a
window rotate with a base of their own; a scaling holds for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.checkpoint.families.gemma2 import Gemma2, cap, every
from nanohydra.checkpoint.families.rope import Rope, read_rope
from nanohydra.model.config import ModelConfig


class Gemma3(Gemma2):
    """Gemma 2 with norms on q and k in place of the cap on attention's scores."""

    model_type = "gemma3_text"
    architecture = "Gemma3ForCausalLM"
    options = {**Gemma2.options, "qk_norm": True}
    free = ("query_pre_attn_scalar", "logit_softcap", "rope_local_theta")
    theta = 1_000_000.0

    def fits(self, config: ModelConfig) -> bool:
        """Layers with a window have a base of their own."""
        local = config.rope_local_theta > 0
        return super().fits(config) and local == ("sliding" in config.layer_types)

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """As Gemma 2, and the second base."""
        local = {"rope_local_base_freq": config.rope_local_theta} if config.sliding_window else {}
        return super().to_hf(config) | local

    def fields(self, read: Reader) -> dict[str, Any]:
        """A cap on attention's scores, which transformers would ignore, is refused."""
        read.refuse("attn_logit_softcapping")
        fields = super().fields(read)
        local = self.table(read, "sliding_attention", {"rope_theta": None})
        theta = read_rope(local, read.number("rope_local_base_freq", 1e4), kinds=("default",)).theta
        return fields | {
            "attention_softcap": 0.0,
            "logit_softcap": cap(read, "final_logit_softcapping", 0.0),
            "rope_local_theta": theta if "sliding" in fields["layer_types"] else 0.0,
        }

    def pattern(self, read: Reader) -> list[str]:
        """As the first files say it."""
        return every(read.integer("sliding_window_pattern", 6), read)

    def rope(self, read: Reader) -> Rope:
        """Of the layers without a window."""
        return read_rope(self.table(read, "full_attention", read.hf), self.theta, kinds=self.kinds)

    def table(self, read: Reader, kind: str, old: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of one layer type: from a table of tables, or else those of the old spelling."""
        tables = read.hf.get("rope_parameters") or {}
        if kind not in tables:
            return {**old, "rope_parameters": None}
        lengths = {"max_position_embeddings": read.hf.get("max_position_embeddings")}
        return {"rope_parameters": tables[kind], **lengths}
