"""Llama 2 to 3.2 and what is laid out like them, and the base of all families that are.

arXiv 2302.13971, 2407.21783; names and fields as in transformers' `LlamaForCausalLM`. SmolLM2 and
many others are such models. Which biases, norms, layers and rotations a family has stands in
class attributes, and only what remains is code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from nanohydra.checkpoint.families.base import Entry, Family, Reader, is_plain
from nanohydra.checkpoint.families.rope import Rope, read_rope, write_rope
from nanohydra.core.errors import UserError
from nanohydra.model.config import ModelConfig

PRE_NORMS = {"input_layernorm": "mixer_norm", "post_attention_layernorm": "feed_forward_norm"}
FULL = {"full_attention": "full"}
FULL_OR_SLIDING = {**FULL, "sliding_attention": "sliding"}


class LlamaLike(Family):
    """Rotary attention and a gated feed-forward in every layer.

    options: fields of ModelConfig that are not its defaults. free: fields that config.json
    chooses. layers: its names of layer types -> ours. norms: its names of a layer's norms -> ours.
    biases: its flags -> the linear layers that they give biases. activation: key and value.
    kinds: of rotary scaling. head_dim, theta, eps, tied: what an absent key means.
    """

    prefix = "model."
    options: ClassVar[Mapping[str, Any]] = {"qk_norm": False}
    free: ClassVar[tuple[str, ...]] = ()
    layers: ClassVar[Mapping[str, str]] = FULL
    norms: ClassVar[Mapping[str, str]] = PRE_NORMS
    biases: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    activation: ClassVar[tuple[str, str]] = ("hidden_act", "silu")
    kinds: ClassVar[tuple[str, ...]] = ("default", "linear", "dynamic", "llama3", "yarn")
    head_dim: ClassVar[int] = 0
    theta: ClassVar[float] = 10000.0
    eps: ClassVar[float] = 1e-6
    tied: ClassVar[bool] = False

    def fits(self, config: ModelConfig) -> bool:
        """Whether every option is the family's own or free."""
        scaling = "default" if config.rope_scaling.kind == "none" else config.rope_scaling.kind
        free = {*self.free, "rope_scaling"}
        if self.biases:
            free |= {"bias", "bias_on"}
        return (
            set(config.layer_types) <= set(self.layers.values())
            and scaling in self.kinds
            and is_plain(config, free, **self.options)
            and self._flags(config) is not None
        )

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """The fields that all have; `dropout` is ours, others ignore it."""
        key, activation = self.activation
        return {
            "vocab_size": config.vocab_size,
            "hidden_size": config.hidden_size,
            "intermediate_size": config.intermediate_size,
            "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads,
            "num_key_value_heads": config.num_kv_heads,
            "head_dim": config.head_dim,
            key: activation,
            "rms_norm_eps": config.norm_eps,
            **write_rope(config),
            "tie_word_embeddings": config.tie_embeddings,
            **(self._flags(config) or {}),
            "attention_dropout": 0.0,
            "use_cache": True,
            "dropout": config.dropout,
        }

    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """Other activations and kinds of rotation are refused."""
        return ModelConfig(**self.fields(Reader(hf)))

    def fields(self, read: Reader) -> dict[str, Any]:
        """What a ModelConfig is made with."""
        key, activation = self.activation
        read.refuse(key, activation)
        heads = read.integer("num_attention_heads")
        rope = self.rope(read)
        head_dim = read.integer("head_dim", self.head_dim)
        if rope.partial != 1.0 and "rotary_dim" not in self.free:
            raise UserError(f"'partial_rotary_factor' is {rope.partial}; supported: 1.0")
        longest = read.integer("max_position_embeddings")
        if rope.scaling.kind == "longrope":
            longest = min(longest, rope.scaling.original_max_seq_len)
        size = head_dim or read.integer("hidden_size") // heads
        return {
            **self.options,
            "vocab_size": read.integer("vocab_size"),
            "hidden_size": read.integer("hidden_size"),
            "intermediate_size": read.integer("intermediate_size"),
            "num_layers": read.integer("num_hidden_layers"),
            "num_heads": heads,
            "num_kv_heads": read.integer("num_key_value_heads", heads),
            "head_dim": head_dim,
            "layer_types": read.layer_types(self.layers) if len(self.layers) == 1 else ("full",),
            "max_seq_len": longest,
            "norm_eps": read.number("rms_norm_eps", self.eps),
            "rope_theta": rope.theta,
            "rope_scaling": rope.scaling,
            "rotary_dim": int(size * rope.partial),
            "tie_embeddings": read.flag("tie_word_embeddings", self.tied),
            "dropout": read.number("dropout", 0.0),
            **self._read_biases(read),
        }

    def rope(self, read: Reader) -> Rope:
        """Rotary positions."""
        return read_rope(read.hf, self.theta, kinds=self.kinds)

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """Embedding, layers, final norm and head."""
        yield Entry("model.embed_tokens.weight", ("embed.weight",))
        for layer in range(config.num_layers):
            theirs, ours = f"model.layers.{layer}", f"blocks.{layer}"
            for name, own in self.norms.items():
                yield Entry(f"{theirs}.{name}.weight", (f"{ours}.{own}.weight",))
            yield from self.attention(config, f"{theirs}.self_attn", f"{ours}.mixer")
            yield from self.feed_forward(config, f"{theirs}.mlp", f"{ours}.feed_forward")
        yield Entry("model.norm.weight", ("final_norm.weight",))
        if not config.tie_embeddings:
            yield Entry("lm_head.weight", ("head.weight",))

    def attention(self, config: ModelConfig, theirs: str, ours: str) -> Iterator[Entry]:
        """The tensors of one attention layer."""
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            part = "output" if name == "o_proj" else "qkv"
            yield from linear(f"{theirs}.{name}", f"{ours}.{name}", bias=config.has_bias(part))
        for name in ("q_norm", "k_norm") if config.qk_norm else ():
            yield from linear(f"{theirs}.{name}", f"{ours}.{name}")

    def feed_forward(self, config: ModelConfig, theirs: str, ours: str) -> Iterator[Entry]:
        """The tensors of one feed-forward."""
        bias = config.has_bias("feed_forward")
        for name in ("gate_proj", "up_proj", "down_proj"):
            yield from linear(f"{theirs}.{name}", f"{ours}.{name}", bias=bias)

    def _flags(self, config: ModelConfig) -> dict[str, bool] | None:
        """The flags that give the configuration's biases, None if no values of them do."""
        flags = {flag: config.has_bias(parts[0]) for flag, parts in self.biases.items()}
        agree = (config.has_bias(part) == flags[f] for f, ps in self.biases.items() for part in ps)
        everywhere = {part for parts in self.biases.values() for part in parts}
        others = {"qkv", "output", "feed_forward"} - everywhere if self.biases else set()
        return flags if all(agree) and not any(map(config.has_bias, others)) else None

    def _read_biases(self, read: Reader) -> dict[str, tuple[str, ...]]:
        if not self.biases:
            return {}
        on = [part for flag, ps in self.biases.items() if read.flag(flag, False) for part in ps]
        return {"bias_on": tuple(on)}


class Llama(LlamaLike):
    """Full attention without norms on q and k; biases on attention, feed-forward, or neither."""

    model_type = "llama"
    architecture = "LlamaForCausalLM"
    biases = {"attention_bias": ("qkv", "output"), "mlp_bias": ("feed_forward",)}

    def fits(self, config: ModelConfig) -> bool:
        """transformers wants the width to be a multiple of the heads."""
        return super().fits(config) and config.hidden_size % config.num_heads == 0


def linear(theirs: str, ours: str, *, bias: bool = False) -> Iterator[Entry]:
    """A weight, and a bias if there is one, that are alike on both sides."""
    yield Entry(f"{theirs}.weight", (f"{ours}.weight",))
    if bias:
        yield Entry(f"{theirs}.bias", (f"{ours}.bias",))
