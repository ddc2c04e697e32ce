"""Strategies against forgetting, streams of tasks, and measures that are defined once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.continual.config import ContinualConfig, TaskConfig
from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.continual.results import Results, SeedResult, load_results, save_results
    from nanohydra.continual.run import run_strategy
    from nanohydra.continual.strategies import STRATEGIES
    from nanohydra.continual.strategy import Lab, Strategy
    from nanohydra.continual.stream import Stream, Task

__all__ = [
    "STRATEGIES",
    "ContinualConfig",
    "Lab",
    "Results",
    "SeedResult",
    "Strategy",
    "Stream",
    "Task",
    "TaskConfig",
    "load_results",
    "run_strategy",
    "save_results",
]
_RESULTS = "nanohydra.continual.results"
__getattr__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(("Results", "SeedResult", "load_results", "save_results"), _RESULTS),
        "Lab": "nanohydra.continual.strategy",
        "STRATEGIES": "nanohydra.continual.strategies",
        "Strategy": "nanohydra.continual.strategy",
        "Stream": "nanohydra.continual.stream",
        "Task": "nanohydra.continual.stream",
        "run_strategy": "nanohydra.continual.run",
    },
)
