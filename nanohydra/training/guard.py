"""Notices a run that has broken down, before the broken update is applied or saved."""

from __future__ import annotations

import math
import statistics
from collections import deque

from nanohydra.core.errors import UserError
from nanohydra.training.config import TrainConfig

WINDOW = 64
FEWEST = 16  # no verdict on divergence from fewer losses


class Guard:
    """Raises UserError on a loss or gradient that is not finite, or far above the median."""

    def __init__(self, config: TrainConfig) -> None:
        self.factor = config.divergence_factor
        self.losses: deque[float] = deque(maxlen=WINDOW)

    def check(self, step: int, loss: float, grad_norm: float, last_good: str | None) -> None:
        """Judge one step, 1 for the first; last_good names where to go back to."""
        reason = ""
        if not math.isfinite(loss):
            reason = f"the loss is {loss}"
        elif not math.isfinite(grad_norm):
            reason = f"the gradient's norm is {grad_norm}"
        elif self.factor and len(self.losses) >= FEWEST:
            median = statistics.median(self.losses)
            # Below one nat per token a jump between batches is no divergence.
            if loss > self.factor * max(median, 1.0):
                reason = f"the loss jumped to {loss:.3f} from a median of {median:.3f}"
        if reason:
            way_out = (
                f"the last good state is {last_good}; resume from it"
                if last_good
                else "no state was saved before (train.checkpoint_every); start again"
            )
            raise UserError(
                f"training broke down at step {step}: {reason}. Nothing of this step was kept; "
                f"{way_out} with a lower train.lr and train.muon_lr or a longer warm-up"
            )
        self.losses.append(loss)
