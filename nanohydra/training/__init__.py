"""Batches -> better weights: the one loop, its configuration, optimizers, hooks and guards."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.training.config import TrainConfig

if TYPE_CHECKING:
    from nanohydra.training.checkpointer import Checkpointer
    from nanohydra.training.evaluate import validation_loss
    from nanohydra.training.hooks import Hook, Moment
    from nanohydra.training.loop import Loader, TrainResult, train

__all__ = [
    "Checkpointer",
    "Hook",
    "Loader",
    "Moment",
    "TrainConfig",
    "TrainResult",
    "train",
    "validation_loss",
]
__getattr__ = lazy_names(
    __name__,
    {
        "Checkpointer": "nanohydra.training.checkpointer",
        "Hook": "nanohydra.training.hooks",
        "Loader": "nanohydra.training.loop",
        "Moment": "nanohydra.training.hooks",
        "TrainResult": "nanohydra.training.loop",
        "train": "nanohydra.training.loop",
        "validation_loss": "nanohydra.training.evaluate",
    },
)
