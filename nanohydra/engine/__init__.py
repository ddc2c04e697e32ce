"""Tokens -> tokens: several requests at once on one decoding state; never sees text."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.engine.config import EngineConfig
from nanohydra.engine.grammar import Grammar
from nanohydra.engine.request import Event, QueueFull, Request, SamplingParams

if TYPE_CHECKING:
    from nanohydra.engine.completions import generate
    from nanohydra.engine.engine import Engine
    from nanohydra.engine.residents import Hold
    from nanohydra.engine.stats import EngineStats
    from nanohydra.engine.stream import EventStream
    from nanohydra.engine.thread import EngineStopped, EngineThread

__all__ = [
    "Engine",
    "EngineConfig",
    "EngineStats",
    "EngineStopped",
    "EngineThread",
    "Event",
    "EventStream",
    "Grammar",
    "Hold",
    "QueueFull",
    "Request",
    "SamplingParams",
    "generate",
]
__getattr__ = lazy_names(
    __name__,
    {
        "Engine": "nanohydra.engine.engine",
        "EngineStats": "nanohydra.engine.stats",
        "EngineStopped": "nanohydra.engine.thread",
        "EngineThread": "nanohydra.engine.thread",
        "EventStream": "nanohydra.engine.stream",
        "Hold": "nanohydra.engine.residents",
        "generate": "nanohydra.engine.completions",
    },
)
