"""The learning rate over a run: warm-up, plateau, decay to a floor. Pure functions of progress."""

from __future__ import annotations

import math

from nanohydra.training.config import TrainConfig


def lr_factor(config: TrainConfig, step: int, progress: float) -> float:
    """What every learning rate is multiplied by in a step.

    step: 0 for the first; progress: share of the run that is done before this step, 0 to 1.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    return warmup * decay_factor(config, progress)


def decay_factor(config: TrainConfig, progress: float) -> float:
    """1 until the last decay_fraction of the run, then down to lr_floor."""
    if not config.decay_fraction:
        return 1.0
    left = min(1.0, (1.0 - min(progress, 1.0)) / config.decay_fraction)
    if config.decay == "cosine":
        left = 0.5 - 0.5 * math.cos(math.pi * left)
    return config.lr_floor + (1.0 - config.lr_floor) * left
