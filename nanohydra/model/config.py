"""The shape of a decoder, as data: one frozen dataclass that alone rebuilds the model.

Imports no torch, so that commands can show their help at once. Field names follow Hugging Face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table

MIXERS = Table(
    "layer type",
    {
        "full": "nanohydra.model.attention:Attention",
        "sliding": "nanohydra.model.sliding:SlidingAttention",
        "nope": "nanohydra.model.unrotated:UnrotatedAttention",
        "conv": "nanohydra.model.convolution:ShortConvolution",
    },
)
FEED_FORWARDS = Table(
    "feed-forward",
    {
        "swiglu": "nanohydra.model.feed_forward:SwiGLU",
        "geglu": "nanohydra.model.feed_forward:GeGLU",
        "gelu": "nanohydra.model.feed_forward:GELU",
        "relu2": "nanohydra.model.feed_forward:ReLUSquared",
    },
)


def round_up(value: float, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -int(-value // multiple) * multiple


GATED = ("swiglu", "geglu")
LINEARS = ("qkv", "output", "feed_forward")


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How rotary frequencies are changed for texts longer than those first trained on.

    kind: "linear" divides all frequencies by the factor; "llama3" those of long wavelengths
        (as Llama 3.1); "yarn" blends both by wavelength (arXiv 2309.00071); "longrope" has a
        divisor for each frequency (arXiv 2402.13753); "dynamic" changes nothing within
        max_seq_len, which is as far as a model reads here.
    original_max_seq_len: the length before scaling, for llama3, yarn and longrope.
    attention_factor: what cosines and sines are multiplied by; 0 means as the paper says.
    long_factor: kept for the file alone; a model with "longrope" reads texts of up to
        original_max_seq_len tokens, for which short_factor holds.
    max_position_embeddings: what the file promised with long_factor.
    """

    kind: Literal["none", "linear", "dynamic", "llama3", "yarn", "longrope"] = "none"
    factor: float = 1.0
    original_max_seq_len: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    attention_factor: float = 0.0
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()
    max_position_embeddings: int = 0

    def __post_init__(self) -> None:
        """Refuse what would divide by zero."""
        if not self.factor > 0 or self.attention_factor < 0:
            raise UserError(
                f"rope_scaling needs a factor above 0 and an attention_factor from 0 on, "
                f"not {self.factor} and {self.attention_factor}"
            )
        if self.kind in ("llama3", "yarn", "longrope") and self.original_max_seq_len < 1:
            raise UserError(f"rope_scaling {self.kind!r} needs original_max_seq_len")
        if self.kind == "llama3" and not self.high_freq_factor > self.low_freq_factor > 0:
            raise UserError("rope_scaling needs high_freq_factor > low_freq_factor > 0")

    @property
    def magnitude(self) -> float:
        """What cosines and sines are multiplied by."""
        if self.attention_factor:
            return self.attention_factor
        if self.factor <= 1.0 or self.kind not in ("yarn", "longrope"):
            return 1.0
        if self.kind == "yarn":
            return 0.1 * math.log(self.factor) + 1.0
        return math.sqrt(1 + math.log(self.factor) / math.log(self.original_max_seq_len))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer; the defaults are a Qwen3-style dense model.

    layer_types: per layer "full" (attention), "sliding" (attention to the last sliding_window
        tokens, the own one among them), "nope" (attention without positions) or "conv" (LFM2's
        gated short convolution); a shorter tuple is repeated over the depth.
    head_dim: 0 means hidden_size / num_heads. intermediate_size: 0 means 8/3 hidden_size for
        the gated feed-forwards and 4 hidden_size for the others.
    query_pre_attn_scalar: scores are divided by its square root; 0 means head_dim.
    attention_softcap, logit_softcap: c > 0 turns x into c tanh(x / c) (Gemma 2).
    norm_place: "pre" norms what a sublayer reads, "post" what it adds (OLMo 2), "both" (Gemma).
    norm_unit_offset: norms multiply by 1 + weight (Gemma).
    position: "rope", or "learned" / "sinusoidal" tables added to the embedding (GPT-2 style).
    rope_local_theta: base of sliding layers' plain rotation; 0 means they rotate as the others.
    rotary_dim: how much of a head is rotated, 0 means all of it.
    qk_norm_span: whether qk_norm is taken over each head, or over all heads of a token (OLMo 2).
    bias: whether linear layers have biases. bias_on: without it, which of them have, of "qkv",
        "output" (of attention) and "feed_forward".
    scale_embeddings: token embeddings are multiplied by the square root of hidden_size (Gemma).
    dropout: on the embedding and on what each block adds to the residual, while training.
    family: whose files the model came from, where several families express it; the model itself
        does not look at it.
    """

    vocab_size: int = 32768
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    num_kv_heads: int = 12
    head_dim: int = 0
    intermediate_size: int = 0
    max_seq_len: int = 2048
    layer_types: tuple[str, ...] = ("full",)
    sliding_window: int = 0
    query_pre_attn_scalar: int = 0
    attention_softcap: float = 0.0
    logit_softcap: float = 0.0
    feed_forward: str = "swiglu"
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    norm_eps: float = 1e-6
    norm_place: Literal["pre", "post", "both"] = "pre"
    norm_unit_offset: bool = False
    position: Literal["rope", "learned", "sinusoidal"] = "rope"
    rope_theta: float = 10000.0
    rope_local_theta: float = 0.0
    rope_scaling: RopeScaling = RopeScaling()
    rotary_dim: int = 0
    qk_norm: bool = True
    qk_norm_span: Literal["head", "all"] = "head"
    bias: bool = False
    bias_on: tuple[str, ...] = ()
    tie_embeddings: bool = True
    scale_embeddings: bool = False
    conv_kernel: int = 3
    dropout: float = 0.0
    family: str = ""

    def __post_init__(self) -> None:
        """Fill in what follows from the rest and refuse shapes that cannot work."""
        for name in ("vocab_size", "hidden_size", "num_layers", "num_heads", "num_kv_heads"):
            if getattr(self, name) < 1:
                raise UserError(f"model.{name} must be at least 1, not {getattr(self, name)}")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"model.num_heads ({self.num_heads}) must be a multiple of "
                f"model.num_kv_heads ({self.num_kv_heads})"
            )
        if not self.head_dim:
            if self.hidden_size % self.num_heads:
                raise UserError(
                    f"model.hidden_size ({self.hidden_size}) is not a multiple of "
                    f"model.num_heads ({self.num_heads}); set model.head_dim"
                )
            self._set("head_dim", self.hidden_size // self.num_heads)
        if self.query_pre_attn_scalar == self.head_dim:
            self._set("query_pre_attn_scalar", 0)
        self._set("rotary_dim", 0 if self.rotary_dim == self.head_dim else self.rotary_dim)
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"model.dropout must be in [0, 1), not {self.dropout}")
        for layer_type in self.layer_types:
            MIXERS[layer_type]
        FEED_FORWARDS[self.feed_forward]
        self._check_positions()
        self._check_options()
        if not self.intermediate_size:
            gated = self.feed_forward in GATED
            width = round_up(self.hidden_size * 8 / 3, 64) if gated else 4 * self.hidden_size
            self._set("intermediate_size", width)
        repeats = -(-self.num_layers // len(self.layer_types))
        self._set("layer_types", (self.layer_types * repeats)[: self.num_layers])

    def _check_positions(self) -> None:
        if self.position == "rope" and self.num_rotated % 2:
            name = "rotary_dim" if self.rotary_dim else "head_dim"
            raise UserError(f"model.{name} must be even for rope, not {self.num_rotated}")
        if not 0 <= self.rotary_dim <= self.head_dim:
            raise UserError(
                f"model.rotary_dim must be from 0 to head_dim ({self.head_dim}), "
                f"not {self.rotary_dim}"
            )
        scaling = self.rope_scaling
        if scaling.kind == "longrope":
            if len(scaling.short_factor) != self.num_rotated // 2:
                raise UserError(
                    f"model.rope_scaling.short_factor must have {self.num_rotated // 2} numbers, "
                    f"one for each angle, not {len(scaling.short_factor)}"
                )
            if self.max_seq_len > scaling.original_max_seq_len:
                raise UserError(
                    f"model.max_seq_len ({self.max_seq_len}) must not exceed "
                    f"rope_scaling.original_max_seq_len ({scaling.original_max_seq_len})"
                )

    def _check_options(self) -> None:
        if not self.layer_types or self.conv_kernel < 1:
            raise UserError("model.layer_types must name a layer, model.conv_kernel be >= 1")
        if ("sliding" in self.layer_types) != (self.sliding_window > 0):
            raise UserError(
                f"model.sliding_window ({self.sliding_window}) must be above 0 if "
                "model.layer_types has 'sliding', and 0 otherwise"
            )
        for name in ("query_pre_attn_scalar", "attention_softcap", "logit_softcap"):
            if getattr(self, name) < 0:
                raise UserError(f"model.{name} must not be below 0, but is {getattr(self, name)}")
        unknown = set(self.bias_on) - set(LINEARS)
        if unknown or (self.bias and self.bias_on):
            raise UserError(
                f"model.bias_on must name some of {', '.join(LINEARS)}, and nothing where "
                f"model.bias is on; not {list(self.bias_on)}"
            )
        self._set("bias_on", tuple(part for part in LINEARS if part in self.bias_on))
        if self.bias_on == LINEARS and "conv" not in self.layer_types:
            self._set("bias", True)
            self._set("bias_on", ())
        if self.norm != "rmsnorm" and self.norm_unit_offset:
            raise UserError("model.norm_unit_offset needs model.norm = 'rmsnorm'")

    @property
    def num_rotated(self) -> int:
        """How many numbers of a head are rotated by position."""
        return self.rotary_dim or self.head_dim

    def has_bias(self, part: str) -> bool:
        """Whether the linear layers of a part ("qkv", "output", "feed_forward") have biases."""
        assert part in LINEARS
        return self.bias or part in self.bias_on

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def from_depth(cls, depth: int, **overrides: object) -> ModelConfig:
        """The one dial: a Qwen3-style model whose width is 64 times its depth.

        depth: number of layers. Everything else follows and can be overridden by name.
        """
        if depth < 1:
            raise UserError(f"depth must be at least 1, not {depth}")
        heads = max(1, depth // 2) if depth >= 4 else depth
        shape: dict[str, object] = {
            "num_layers": depth,
            "hidden_size": 64 * depth,
            "num_heads": heads,
            "num_kv_heads": heads // 2 if heads % 2 == 0 else heads,
            "head_dim": 128 if depth >= 4 else 64,
            "vocab_size": 32768 if depth >= 8 else 4096,
        }
        return cls(**{**shape, **overrides})  # type: ignore[arg-type]
