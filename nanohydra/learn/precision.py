"""What learner and gate load a base in, chosen so that a large one is not copied to float32."""

from __future__ import annotations

from pathlib import Path

import torch

from nanohydra.checkpoint.memory import estimate_memory
from nanohydra.checkpoint.weights import ModelTensors
from nanohydra.core.runtime import available_memory, multiplies_bfloat16_fast
from nanohydra.learn.config import AdapterTrainConfig

MOST_SHARE = 0.4  # of the free memory, for a base in float32: the gate needs one of its own


def train_dtype(config: AdapterTrainConfig, model: Path) -> torch.dtype:
    """What the base of a folder is loaded and computes in while adapters are trained.

    auto: bfloat16 where the hardware multiplies it fast. Elsewhere float32 is faster, but a base
    that would take too much memory so is loaded in bfloat16 all the same.
    """
    if config.dtype != "auto":
        return torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
    if multiplies_bfloat16_fast("cpu"):
        return torch.bfloat16
    whole = estimate_memory(model, dtype=torch.float32).weights
    return torch.float32 if whole <= MOST_SHARE * available_memory() else torch.bfloat16


def gate_dtype(config: AdapterTrainConfig, model: Path) -> torch.dtype | None:
    """What the gate loads the same base in: None, the file's own, as it is served.

    But never float16, which CPUs multiply about a hundred times slower.
    """
    half = ModelTensors(model).main_dtype == torch.float16
    return train_dtype(config, model) if half else None
