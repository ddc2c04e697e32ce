"""What goes into the engine and what comes out: requests, sampling parameters, events.

Imports no torch. Everything is token ids; text is the caller's business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason
from nanohydra.engine.grammar import Grammar

MAX_TOP_LOGPROBS = 20  # as OpenAI's API


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """How the tokens of one request are chosen.

    temperature: 0 is greedy. top_k: 0 is off. top_p, min_p: applied after top_k, in this order.
    seed: the same seed gives the same tokens whatever else runs; None is a fresh one each time.
    max_tokens: how many tokens are generated at most, the stop token included.
    stop_ids: a token that ends the request with reason "stop"; it is still reported.
    min_tokens: that many tokens come before a stop token can. ignore_eos: no token stops.
    repetition_penalty: divides the positive logits of tokens in prompt or output, and multiplies
        the negative ones, as in transformers and vLLM; 1 is off.
    presence_penalty, frequency_penalty: taken off the logits of tokens in the output, once, and
        once for each time, as in OpenAI's API.
    logit_bias: added to the logits of these ids, before the penalties, as in vLLM.
    allowed_ids: nothing else is chosen. grammar: the text obeys it, unless max_tokens cuts it.
    top_logprobs: how many of the likeliest tokens are reported too; None is none.
    Raises UserError for a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int = 256
    stop_ids: tuple[int, ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    allowed_ids: tuple[int, ...] | None = None
    grammar: Grammar | None = None
    top_logprobs: int | None = None

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
        if not 0 <= self.min_tokens <= self.max_tokens:
            raise UserError(
                f"min_tokens must be between 0 and max_tokens, {self.max_tokens}, "
                f"not {self.min_tokens}"
            )
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise UserError(
                f"repetition_penalty must be above 0, and 1 is off, not {self.repetition_penalty}"
            )
        for name in ("presence_penalty", "frequency_penalty"):
            if not -2 <= getattr(self, name) <= 2:
                raise UserError(f"{name} must be between -2 and 2, not {getattr(self, name)}")
        if self.top_logprobs is not None and not 0 <= self.top_logprobs <= MAX_TOP_LOGPROBS:
            raise UserError(
                f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}, not {self.top_logprobs}"
            )
        self._check_ids()

    def _check_ids(self) -> None:
        for id, bias in self.logit_bias.items():
            if id < 0 or not -100 <= bias <= 100:
                raise UserError(
                    f"logit_bias gives token {id} a bias of {bias}; "
                    f"ids begin at 0, and a bias is between -100 and 100"
                )
        if self.allowed_ids is not None:
            if not self.allowed_ids:
                raise UserError("allowed_ids is empty, so nothing could be chosen; name some ids")
            if min(self.allowed_ids) < 0:
                raise UserError(f"allowed_ids has {min(self.allowed_ids)}; ids begin at 0")


class QueueFull(RuntimeError):
    """Too much is under way; try again later."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to continue. `id` is the caller's, unique among the requests under way.

    adapter: id of a loaded adapter; None is the model itself.
    priority: a lower one runs first. deadline: when to give up, in seconds of `time.perf_counter`.
    salt: whose it is; what was read for one salt is never reused for another.
    n: how many continuations; the i-th is seeded with seed + i, and its events carry index i.
    Raises UserError for a value out of range.
    """

    id: str
    prompt_ids: tuple[int, ...]
    params: SamplingParams
    adapter: str | None = None
    priority: int = 0
    deadline: float | None = None
    salt: str = ""
    n: int = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UserError(f"n, the number of continuations, must be at least 1, not {self.n}")
        if self.deadline is not None and math.isnan(self.deadline):
            raise UserError("deadline is not a number; give a time of time.perf_counter, or None")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One new token of a request, or its end without one.

    logprob: natural log of the token's probability before temperature and filters.
    top_logprobs: the likeliest ids with theirs, best first, where the request asks for them.
    index: which of the request's n continuations.
    finish_reason: set on the last event of a continuation, which may carry no token.
    error: what went wrong, with finish_reason "error".
    time: when the token was made, in seconds of `time.perf_counter`.
    """

    request_id: str
    token_id: int | None = None
    finish_reason: FinishReason | None = None
    logprob: float = 0.0
    error: str | None = None
    time: float = 0.0
    index: int = 0
    top_logprobs: tuple[tuple[int, float], ...] = ()
