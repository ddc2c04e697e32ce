"""GPT-2: LayerNorm, learned positions, tanh GELU, biases everywhere, q, k and v in one matrix.

Names and fields as in transformers' `GPT2LMHeadModel`, whose `Conv1D` weights are (in, out).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanohydra.checkpoint.families.base import (
    FUSED_QKV,
    FUSED_QKV_BIAS,
    TRANSPOSED,
    Entry,
    Family,
    Reader,
    is_plain,
)
from nanohydra.model.config import ModelConfig


class GPT2(Family):
    """Multi-head attention in every layer."""

    model_type = "gpt2"
    architecture = "GPT2LMHeadModel"
    prefix = "transformer."
    rearranges = True

    def fits(self, config: ModelConfig) -> bool:
        """Every option but the sizes, the tied head and the dropout is fixed."""
        return (
            set(config.layer_types) == {"full"}
            and config.num_heads == config.num_kv_heads
            and config.num_heads * config.head_dim == config.hidden_size
            and is_plain(
                config,
                feed_forward="gelu",
                norm="layernorm",
                position="learned",
                qk_norm=False,
                bias=True,
            )
        )

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """Fields of `GPT2Config`."""
        return {
            "vocab_size": config.vocab_size,
            "n_embd": config.hidden_size,
            "n_layer": config.num_layers,
            "n_head": config.num_heads,
            "n_inner": config.intermediate_size,
            "n_positions": config.max_seq_len,
            "n_ctx": config.max_seq_len,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": config.norm_eps,
            "resid_pdrop": config.dropout,
            "embd_pdrop": config.dropout,
            "attn_pdrop": 0.0,
            "tie_word_embeddings": config.tie_embeddings,
            "use_cache": True,
        }

    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """Other activations and scalings of attention are refused."""
        read = Reader(hf)
        read.refuse("activation_function", "gelu_new", "gelu_pytorch_tanh")
        read.refuse("scale_attn_weights", True)
        read.refuse("scale_attn_by_inverse_layer_idx", False)
        read.refuse("add_cross_attention", False)
        heads = read.integer("n_head")
        return ModelConfig(
            vocab_size=read.integer("vocab_size"),
            hidden_size=read.integer("n_embd"),
            intermediate_size=read.integer("n_inner", 0),
            num_layers=read.integer("n_layer"),
            num_heads=heads,
            num_kv_heads=heads,
            max_seq_len=read.integer("n_positions"),
            feed_forward="gelu",
            norm="layernorm",
            norm_eps=read.number("layer_norm_epsilon", 1e-5),
            position="learned",
            qk_norm=False,
            bias=True,
            tie_embeddings=read.flag("tie_word_embeddings", True),
            dropout=read.number("resid_pdrop", 0.1),
        )

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """Names of `GPT2LMHeadModel`."""
        yield Entry("transformer.wte.weight", ("embed.weight",))
        yield Entry("transformer.wpe.weight", ("position_table.weight",))
        for layer in range(config.num_layers):
            theirs, ours = f"transformer.h.{layer}", f"blocks.{layer}"
            qkv = [f"{ours}.mixer.{name}_proj" for name in "qkv"]
            fused = f"{theirs}.attn.c_attn"
            yield Entry(f"{fused}.weight", tuple(f"{name}.weight" for name in qkv), FUSED_QKV)
            yield Entry(f"{fused}.bias", tuple(f"{name}.bias" for name in qkv), FUSED_QKV_BIAS)
            for name, own in LINEAR.items():
                yield Entry(f"{theirs}.{name}.weight", (f"{ours}.{own}.weight",), TRANSPOSED)
                yield Entry(f"{theirs}.{name}.bias", (f"{ours}.{own}.bias",))
            for name, own in (("ln_1", "mixer_norm"), ("ln_2", "feed_forward_norm")):
                for part in ("weight", "bias"):
                    yield Entry(f"{theirs}.{name}.{part}", (f"{ours}.{own}.{part}",))
        for part in ("weight", "bias"):
            yield Entry(f"transformer.ln_f.{part}", (f"final_norm.{part}",))
        if not config.tie_embeddings:
            yield Entry("lm_head.weight", ("head.weight",))

    def ignores(self, name: str) -> bool:
        """The causal masks that the first releases stored."""
        return name.endswith((".attn.bias", ".attn.masked_bias"))


LINEAR = {
    "attn.c_proj": "mixer.o_proj",
    "mlp.c_fc": "feed_forward.up_proj",
    "mlp.c_proj": "feed_forward.down_proj",
}
