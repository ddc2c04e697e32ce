"""Small weights on frozen weights: low-rank adapters, their files, and the bank of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.adapters.config import LINEARS, LoraConfig
from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.adapters.aliases import AliasState, Change
    from nanohydra.adapters.bank import Bank, VersionInfo
    from nanohydra.adapters.base import base_hash
    from nanohydra.adapters.combine import Merged, concatenate, merge
    from nanohydra.adapters.files import load_adapter, save_adapter
    from nanohydra.adapters.lora import Attached, LoraLinear, attach, attach_weights
    from nanohydra.adapters.merging import MergeConfig, merge_factors, merge_updates, to_lora
    from nanohydra.adapters.weights import AdapterWeights, Pair

__all__ = [
    "LINEARS",
    "AdapterWeights",
    "AliasState",
    "Attached",
    "Bank",
    "Change",
    "LoraConfig",
    "LoraLinear",
    "MergeConfig",
    "Merged",
    "Pair",
    "VersionInfo",
    "attach",
    "attach_weights",
    "base_hash",
    "concatenate",
    "load_adapter",
    "merge",
    "merge_factors",
    "merge_updates",
    "save_adapter",
    "to_lora",
]
_MERGING = "nanohydra.adapters.merging"
_LORA = "nanohydra.adapters.lora"
__getattr__ = lazy_names(
    __name__,
    {
        "base_hash": "nanohydra.adapters.base",
        **dict.fromkeys(("AliasState", "Change"), "nanohydra.adapters.aliases"),
        **dict.fromkeys(("Bank", "VersionInfo"), "nanohydra.adapters.bank"),
        **dict.fromkeys(("Merged", "concatenate", "merge"), "nanohydra.adapters.combine"),
        **dict.fromkeys(("load_adapter", "save_adapter"), "nanohydra.adapters.files"),
        **dict.fromkeys(("Attached", "LoraLinear", "attach", "attach_weights"), _LORA),
        **dict.fromkeys(("MergeConfig", "merge_factors", "merge_updates", "to_lora"), _MERGING),
        **dict.fromkeys(("AdapterWeights", "Pair"), "nanohydra.adapters.weights"),
    },
)
