"""The shape of a decoder, as data: one frozen dataclass that alone rebuilds the model.

Imports no torch, so that commands can show their help at once. Field names follow Hugging Face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table

MIXERS = Table(
    "layer type",
    {
        "full": "nanohydra.model.attention:Attention",
        "conv": "nanohydra.model.convolution:ShortConvolution",
    },
)
FEED_FORWARDS = Table(
    "feed-forward",
    {
        "swiglu": "nanohydra.model.feed_forward:SwiGLU",
        "gelu": "nanohydra.model.feed_forward:GELU",
        "relu2": "nanohydra.model.feed_forward:ReLUSquared",
    },
)


def round_up(value: float, multiple: int) -> int:
    """The smallest multiple of `multiple` that is not below `value`."""
    return -int(-value // multiple) * multiple


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer; the defaults are a Qwen3-style dense model.

    layer_types: per layer "full" (attention) or "conv" (LFM2's gated short convolution);
        a shorter tuple is repeated over the depth. A mixture of both is an LFM2 model.
    head_dim: 0 means hidden_size / num_heads. intermediate_size: 0 means 8/3 hidden_size for
        the gated feed-forward and 4 hidden_size for the others.
    position: "rope", or "learned" / "sinusoidal" tables added to the embedding (GPT-2 style).
    dropout: on the embedding and on what each block adds to the residual, while training.
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
    feed_forward: str = "swiglu"
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    norm_eps: float = 1e-6
    position: Literal["rope", "learned", "sinusoidal"] = "rope"
    rope_theta: float = 10000.0
    qk_norm: bool = True
    bias: bool = False
    tie_embeddings: bool = True
    conv_kernel: int = 3
    dropout: float = 0.0

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
        if self.position == "rope" and self.head_dim % 2:
            raise UserError(f"model.head_dim must be even for rope, not {self.head_dim}")
        if not 0.0 <= self.dropout < 1.0:
            raise UserError(f"model.dropout must be in [0, 1), not {self.dropout}")
        if not self.layer_types or self.conv_kernel < 1:
            raise UserError("model.layer_types must name a layer, model.conv_kernel be >= 1")
        for layer_type in self.layer_types:
            MIXERS[layer_type]
        FEED_FORWARDS[self.feed_forward]
        if not self.intermediate_size:
            gated = self.feed_forward == "swiglu"
            width = round_up(self.hidden_size * 8 / 3, 64) if gated else 4 * self.hidden_size
            self._set("intermediate_size", width)
        repeats = -(-self.num_layers // len(self.layer_types))
        self._set("layer_types", (self.layer_types * repeats)[: self.num_layers])

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
