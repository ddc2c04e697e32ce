"""What a chat is asked for and what it yields: parameters, deltas of text, tool calls, the end.

Plain data; imports no torch and knows nothing of HTTP or terminals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message, ToolCall
from nanohydra.engine import SamplingParams


@dataclass(frozen=True, kw_only=True)
class ChatParams:
    """How one reply is written. Raises UserError for a value out of range.

    max_tokens: of the whole reply, over all its tool rounds; 0 = what the context leaves.
    stop: the reply ends before the first of these strings; they are never shown.
    max_rounds: how many times the model may be shown tool results within one reply.
    The rest as in `SamplingParams`.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    max_rounds: int = 4

    def __post_init__(self) -> None:
        if self.max_tokens < 0:
            raise UserError(f"max_tokens must be 0 (no limit) or more, not {self.max_tokens}")
        if self.max_rounds < 0:
            raise UserError(f"max_rounds must be 0 or more, not {self.max_rounds}")
        if not all(self.stop):
            raise UserError("a stop string is empty; leave it out")
        self.sampling(max_tokens=1, stop_ids=(), round_number=0)

    def sampling(
        self, *, max_tokens: int, stop_ids: tuple[int, ...], round_number: int
    ) -> SamplingParams:
        """The engine's parameters for one round; each round of a seeded reply draws afresh."""
        return SamplingParams(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            seed=None if self.seed is None else self.seed + (round_number << 64),
            max_tokens=max_tokens,
            stop_ids=stop_ids,
        )


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one reply.

    prompt_tokens: the conversation as the model first read it. completion_tokens: everything that
    it wrote, in all rounds. context_tokens of context_length: how full the context is at the end.
    """

    prompt_tokens: int
    completion_tokens: int
    context_tokens: int
    context_length: int


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Seconds to the first token and in total; tokens per second after the first token."""

    ttft_s: float
    total_s: float
    tokens_per_s: float


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """More text of the reply; whole characters, never a part of a stop string."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class ToolCalled:
    """The model calls a tool, which runs now."""

    call: ToolCall
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, kw_only=True)
class ToolReturned:
    """What the tool answered, as the model will read it; errors begin with "error: "."""

    call: ToolCall
    result: str
    kind: Literal["tool_result"] = "tool_result"


@dataclass(frozen=True, kw_only=True)
class Done:
    """The end of a reply; always the last event.

    messages: what the reply adds to the conversation: assistant and tool turns, in order.
    dropped_turns: how many of the oldest turns did not fit into the context and were left out.
    note: in words, why a reply ended early or what failed; empty when nothing is to say.
    adapter: id of the version that wrote all of it; None is the model itself.
    """

    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    messages: tuple[Message, ...] = field(default=())
    dropped_turns: int = 0
    note: str = ""
    adapter: str | None = None
    kind: Literal["done"] = "done"


ChatEvent = TextDelta | ToolCalled | ToolReturned | Done
