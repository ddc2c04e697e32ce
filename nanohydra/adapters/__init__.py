"""Small weights on frozen weights: low-rank adapters, their files, and the bank of versions."""

from __future__ import annotations

from nanohydra.adapters.config import LINEARS, LoraConfig
from nanohydra.adapters.weights import AdapterWeights, Pair

__all__ = ["LINEARS", "AdapterWeights", "LoraConfig", "Pair"]
