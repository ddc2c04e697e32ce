"""Gemma 2: norms around each sublayer, soft caps, every other layer with a sliding window.

arXiv 2408.00118; names and fields as in transformers' `Gemma2ForCausalLM`.
"""

from __future__ import annotations

from typing import Any

from nanohydra.checkpoint.families.base import Reader
from nanohydra.checkpoint.families.llama import FULL_OR_SLIDING, LlamaLike
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig


class Gemma2(LlamaLike):
    """Scaled embeddings, norms that multiply by 1 + weight, a GELU gate, tied embeddings."""

    model_type = "gemma2"
    architecture = "Gemma2ForCausalLM"
    options = {
        "qk_norm": False,
        "feed_forward": "geglu",
        "norm_place": "both",
        "norm_unit_offset": True,
        "scale_embeddings": True,
    }
    free = ("query_pre_attn_scalar", "attention_softcap", "logit_softcap")
    layers = FULL_OR_SLIDING
    norms = {
        "input_layernorm": "mixer_norm",
        "post_attention_layernorm": "mixer_post_norm",
        "pre_feedforward_layernorm": "feed_forward_norm",
        "post_feedforward_layernorm": "feed_forward_post_norm",
    }
    biases = {"attention_bias": ("qkv", "output")}
    activation = ("hidden_activation", "gelu_pytorch_tanh")
    softcaps = {"attention_softcap": 50.0, "logit_softcap": 30.0}
    head_dim = 256
    tied = True

    def fits(self, config: ModelConfig) -> bool:
        """transformers wants the width to be a multiple of the heads."""
        return super().fits(config) and config.hidden_size % config.num_heads == 0

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """No soft cap is null; absent would mean the published models'."""
        kinds = {ours: theirs for theirs, ours in FULL_OR_SLIDING.items()}
        return super().to_hf(config) | {
            "hidden_act": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": config.query_pre_attn_scalar or config.head_dim,
            "attn_logit_softcapping": config.attention_softcap or None,
            "final_logit_softcapping": config.logit_softcap or None,
            "sliding_window": config.sliding_window or None,
            "layer_types": [kinds[kind] for kind in config.layer_types],
        }

    def fields(self, read: Reader) -> dict[str, Any]:
        """Attention in both directions is refused."""
        read.refuse("use_bidirectional_attention", False)
        layer_types = read.layer_types(FULL_OR_SLIDING, *self.pattern(read))
        window = read.window(4096) if "sliding" in layer_types else 0
        if "sliding" in layer_types and not window:
            raise UserError("'layer_types' has sliding windows, but 'sliding_window' is null")
        return super().fields(read) | {
            "layer_types": layer_types,
            "sliding_window": window,
            "query_pre_attn_scalar": read.integer("query_pre_attn_scalar", 256),
            "attention_softcap": cap(read, "attn_logit_softcapping", 50.0),
            "logit_softcap": cap(read, "final_logit_softcapping", 30.0),
        }

    def pattern(self, read: Reader) -> list[str]:
        """The layers where they are not listed."""
        return every(2, read)


def every(interval: int, read: Reader) -> list[str]:
    """Sliding windows, but for each `interval`-th layer."""
    layers = range(1, read.integer("num_hidden_layers") + 1)
    return ["sliding_attention" if layer % interval else "full_attention" for layer in layers]


def cap(read: Reader, key: str, default: float) -> float:
    """A soft cap, 0 for none: here null says so, and absent means the default."""
    if key in read.hf and read.hf[key] is None:
        return 0.0
    return read.number(key, default)
