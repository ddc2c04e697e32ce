"""Tokens -> logits: configuration, attention and convolution layers, blocks, decoding state."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.model.config import FEED_FORWARDS, MIXERS, ModelConfig

if TYPE_CHECKING:
    from nanohydra.model.decoder import Decoder
    from nanohydra.model.state import DecodingState

__all__ = ["FEED_FORWARDS", "MIXERS", "Decoder", "DecodingState", "ModelConfig"]
__getattr__ = lazy_names(
    __name__,
    {"Decoder": "nanohydra.model.decoder", "DecodingState": "nanohydra.model.state"},
)
