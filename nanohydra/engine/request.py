"""What goes into the engine and what comes out: requests, sampling parameters, events.

Imports no torch. Everything is token ids; text is the caller's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are chosen.

    temperature: 0 is greedy. top_k: 0 is off. top_p, min_p: applied after top_k, in this order.
    seed: the same seed gives the same tokens whatever else runs; None is a fresh one each time.
    max_tokens: how many tokens are generated at most, the stop token included.
    stop_ids: a token that ends the request with reason "stop"; it is still reported.
    Raises UserError for a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int = 256
    stop_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise UserError(f"temperature must be 0 or more, not {self.temperature}")
        if self.top_k < 0:
            raise UserError(f"top_k must be 0 (off) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p must be between 0 and 1, not {self.min_p}")
        if self.max_tokens < 1:
            raise UserError(f"max_tokens must be at least 1, not {self.max_tokens}")


class QueueFull(RuntimeError):
    """Too much is under way; try again later."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue. `id` is the caller's, unique among the requests under way.

    adapter: id of a loaded adapter; None is the model itself.
    """

    id: str
    prompt_ids: tuple[int, ...]
    params: SamplingParams
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One new token of a request, or its end without one.

    logprob: natural log of the token's probability before temperature and filters.
    finish_reason: set on the last event of a request, which may carry no token.
    error: what went wrong, with finish_reason "error".
    time: when the token was made, in seconds of `time.perf_counter`.
    """

    request_id: str
    token_id: int | None = None
    finish_reason: FinishReason | None = None
    logprob: float = 0.0
    error: str | None = None
    time: float = 0.0
