"""Strategies against forgetting, streams of tasks, and measures that are defined once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.continual.config import ContinualConfig, TaskConfig
from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.continual.results import Results, SeedResult, load_results, save_results
    from nanohydra.continual.stream import Stream, Task

__all__ = [
    "ContinualConfig",
    "Results",
    "SeedResult",
    "Stream",
    "Task",
    "TaskConfig",
    "load_results",
    "save_results",
]
_RESULTS = "nanohydra.continual.results"
__getattr__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Results", "SeedResult", "load_results", "save_results"), _RESULTS),
        "Stream": "nanohydra.continual.stream",
        "Task": "nanohydra.continual.stream",
    },
)
