"""LFM2: gated short convolutions and attention, mixed layer by layer.

Names and fields as in transformers' `Lfm2ForCausalLM`; the fields that vLLM and llama.cpp read
under the names of the first release (block_ff_dim, conv_dim, ...) are written too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nanohydra.checkpoint.families.base import CONVOLUTION, Entry, Family, Reader, is_plain
from nanohydra.checkpoint.families.rope import read_rope
from nanohydra.model.config import ModelConfig, round_up

LAYER_TYPES = {"full_attention": "full", "conv": "conv"}


class Lfm2(Family):
    """At least one layer of each kind."""

    model_type = "lfm2"
    architecture = "Lfm2ForCausalLM"
    prefix = "model."

    def fits(self, config: ModelConfig) -> bool:
        """Heads share the width out evenly: only transformers would read another head size."""
        return (
            set(config.layer_types) == {"full", "conv"}
            and config.num_heads * config.head_dim == config.hidden_size
            and is_plain(config)
        )

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """Fields of `Lfm2Config`; `dropout` is ours, others ignore it."""
        theirs = {ours: name for name, ours in LAYER_TYPES.items()}
        return {
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "intermediate_size": config.intermediate_size,
            "block_dim": config.hidden_size,
            "block_ff_dim": config.intermediate_size,
            "block_auto_adjust_ff_dim": False,
            "block_multiple_of": 1,
            "block_ffn_dim_multiplier": 1.0,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "layer_types": [theirs[kind] for kind in config.layer_types],
            "full_attn_idxs": [i for i, kind in enumerate(config.layer_types) if kind == "full"],
            "conv_L_cache": config.conv_kernel,
            "conv_bias": False,
            "conv_dim": config.hidden_size,
            "conv_dim_out": config.hidden_size,
            "max_position_embeddings": config.max_seq_len,
            "norm_eps": config.norm_eps,
            "block_norm_eps": config.norm_eps,
            "rope_theta": config.rope_theta,
            "tie_word_embeddings": config.tie_embeddings,
            "use_cache": True,
            "dropout": config.dropout,
        }

    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """Biases and scaled rotary positions are refused."""
        read = Reader(hf)
        read.refuse("conv_bias", False)
        layers, heads = read.integer("num_hidden_layers"), read.integer("num_attention_heads")
        layer_types = read.layer_types(LAYER_TYPES)
        if not hf.get("layer_types") and hf.get("full_attn_idxs") is not None:
            full = set(hf["full_attn_idxs"])
            layer_types = tuple("full" if i in full else "conv" for i in range(layers))
        return ModelConfig(
            vocab_size=read.integer("vocab_size"),
            hidden_size=read.integer("hidden_size"),
            intermediate_size=inner_width(read),
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=read.integer("num_key_value_heads", heads),
            layer_types=layer_types,
            conv_kernel=read.integer("conv_L_cache", 3),
            max_seq_len=read.integer("max_position_embeddings"),
            norm_eps=read.number("norm_eps", 1e-5),
            rope_theta=read_rope(hf, 1_000_000.0, kinds=("default",)).theta,
            tie_embeddings=read.flag("tie_embedding", read.flag("tie_word_embeddings", True)),
            dropout=read.number("dropout", 0.0),
        )

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """Names of `Lfm2ForCausalLM`."""
        yield Entry("model.embed_tokens.weight", ("embed.weight",))
        for layer, kind in enumerate(config.layer_types):
            theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
            yield Entry(f"{theirs}.operator_norm.weight", (f"{ours}.mixer_norm.weight",))
            if kind == "conv":
                yield Entry(f"{theirs}.conv.in_proj.weight", (f"{ours}.mixer.in_proj.weight",))
                yield Entry(
                    f"{theirs}.conv.conv.weight", (f"{ours}.mixer.conv_weight",), CONVOLUTION
                )
                yield Entry(f"{theirs}.conv.out_proj.weight", (f"{ours}.mixer.out_proj.weight",))
            else:
                for name, own in ATTENTION.items():
                    yield Entry(
                        f"{theirs}.self_attn.{name}.weight", (f"{ours}.mixer.{own}.weight",)
                    )
            yield Entry(f"{theirs}.ffn_norm.weight", (f"{ours}.feed_forward_norm.weight",))
            for name, own in (("w1", "gate_proj"), ("w3", "up_proj"), ("w2", "down_proj")):
                yield Entry(
                    f"{theirs}.feed_forward.{name}.weight", (f"{ours}.feed_forward.{own}.weight",)
                )
        yield Entry("model.embedding_norm.weight", ("final_norm.weight",))
        if not config.tie_embeddings:
            yield Entry("lm_head.weight", ("head.weight",))


ATTENTION = {
    "q_proj": "q_proj",
    "k_proj": "k_proj",
    "v_proj": "v_proj",
    "out_proj": "o_proj",
    "q_layernorm": "q_norm",
    "k_layernorm": "k_norm",
}


def inner_width(read: Reader) -> int:
    """The feed-forward's width, which the published models give before an adjustment."""
    width = read.integer("block_ff_dim", read.integer("intermediate_size", 12288))
    if not read.flag("block_auto_adjust_ff_dim", True):
        return width
    width = int(read.number("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
    return round_up(width, read.integer("block_multiple_of", 256))
