"""Qwen3 dense models, the default: rotary attention with norms on q and k, SwiGLU, no biases.

arXiv 2505.09388; names and fields as in transformers' `Qwen3ForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanohydra.checkpoint.families.base import Entry, Family, Reader, is_like
from nanohydra.model.config import ModelConfig


class Qwen3(Family):
    """Attention in every layer."""

    model_type = "qwen3"
    architecture = "Qwen3ForCausalLM"
    prefix = "model."

    def fits(self, config: ModelConfig) -> bool:
        """Every option but the sizes, the tied head and the dropout is fixed."""
        return set(config.layer_types) == {"full"} and is_like(
            config, feed_forward="swiglu", norm="rmsnorm", position="rope", qk_norm=True, bias=False
        )

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """Fields of `Qwen3Config`; `dropout` is ours, others ignore it."""
        return {
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "intermediate_size": config.intermediate_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "head_dim": config.head_dim,
            "hidden_act": "silu",
            "max_position_embeddings": config.max_seq_len,
            "rms_norm_eps": config.norm_eps,
            "rope_theta": config.rope_theta,
            "tie_word_embeddings": config.tie_embeddings,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_sliding_window": False,
            "use_cache": True,
            "dropout": config.dropout,
        }

    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """Sliding windows, biases and scaled rotary positions are refused."""
        read = Reader(hf)
        read.refuse("hidden_act", "silu")
        read.refuse("attention_bias", False)
        read.refuse("use_sliding_window", False)
        heads = read.integer("num_attention_heads")
        return ModelConfig(
            vocab_size=read.integer("vocab_size"),
            hidden_size=read.integer("hidden_size"),
            intermediate_size=read.integer("intermediate_size"),
            num_layers=read.integer("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=read.integer("num_key_value_heads", heads),
            head_dim=read.integer("head_dim", 0),
            layer_types=read.layer_types({"full_attention": "full"}),
            max_seq_len=read.integer("max_position_embeddings"),
            norm_eps=read.number("rms_norm_eps", 1e-6),
            rope_theta=read.rope_theta(10000.0),
            tie_embeddings=read.flag("tie_word_embeddings", False),
            dropout=read.number("dropout", 0.0),
        )

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """Names of `Qwen3ForCausalLM`."""
        yield Entry("model.embed_tokens.weight", ("embed.weight",))
        for layer in range(config.num_layers):
            theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
            yield Entry(f"{theirs}.input_layernorm.weight", (f"{ours}.mixer_norm.weight",))
            for name in ("q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"):
                yield Entry(f"{theirs}.self_attn.{name}.weight", (f"{ours}.mixer.{name}.weight",))
            yield Entry(
                f"{theirs}.post_attention_layernorm.weight", (f"{ours}.feed_forward_norm.weight",)
            )
            for name in ("gate_proj", "up_proj", "down_proj"):
                yield Entry(f"{theirs}.mlp.{name}.weight", (f"{ours}.feed_forward.{name}.weight",))
        yield Entry("model.norm.weight", ("final_norm.weight",))
        if not config.tie_embeddings:
            yield Entry("lm_head.weight", ("head.weight",))
