"""What a chat is asked for and what it yields: parameters, deltas of text, tool calls, the end.

Plain data; imports no torch and knows nothing of HTTP or terminals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message, ToolCall
from nanohydra.engine import Grammar, SamplingParams

# What one round's SamplingParams take over as it stands.
SAMPLING = (
    "temperature", "top_k", "top_p", "min_p", "ignore_eos", "repetition_penalty",
    "presence_penalty", "frequency_penalty", "logit_bias", "allowed_ids", "grammar",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ChatParams:
    """How one reply is written. Raises UserError for a value out of range.

    max_tokens: of the whole reply, over all its tool rounds; 0 = what the context leaves.
    stop: the reply ends before the first of these strings; they are never shown.
    stop_ids: tokens that end it too, beside those of the chat format; no part of the text.
    max_rounds: how many times the model may be shown tool results within one reply.
    top_logprobs: report every token with its probability and so many likelier ones; None = not.
    priority, salt: of the reply's requests, see `nanohydra.engine.Request`.
    The rest as in `SamplingParams`.
    """

    temperature: float = 0.7
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int = 0
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    allowed_ids: tuple[int, ...] | None = None
    grammar: Grammar | None = None
    top_logprobs: int | None = None
    max_rounds: int = 4
    priority: int = 0
    salt: str = ""

    def __post_init__(self) -> None:
        if self.max_tokens < 0:
            raise UserError(f"max_tokens must be 0 (no limit) or more, not {self.max_tokens}")
        if self.max_rounds < 0:
            raise UserError(f"max_rounds must be 0 or more, not {self.max_rounds}")
        if not all(self.stop):
            raise UserError("a stop string is empty; leave it out")
        limit = self.max_tokens or max(1, self.min_tokens)
        self.sampling(max_tokens=limit, stop_ids=(), round_number=0)

    def sampling(
        self, *, max_tokens: int, stop_ids: tuple[int, ...], round_number: int, written: int = 0
    ) -> SamplingParams:
        """The engine's parameters for one round; each round of a seeded reply draws afresh.

        written: how many tokens the reply has already.
        """
        return SamplingParams(
            **{name: getattr(self, name) for name in SAMPLING},
            seed=None if self.seed is None else self.seed + (round_number << 64),
            max_tokens=max_tokens,
            min_tokens=max(0, self.min_tokens - written),
            stop_ids=tuple(dict.fromkeys((*stop_ids, *self.stop_ids))),
            # The chosen token's own probability always comes; only its rivals cost something.
            top_logprobs=self.top_logprobs or None,
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A token of the text: its bytes, and the natural log of its probability.

    top: the likeliest tokens in its place with theirs, best first.
    """

    id: int
    data: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """More text of the reply; whole characters, never a part of a stop string.

    tokens: those that are complete with it, where the parameters ask for their probabilities.
    prompt_tokens, completion_tokens: as in `Usage`, so far.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    kind: Literal["text"] = "text"


@dataclass(frozen=True, kw_only=True)
class ToolCalled:
    """The model calls a tool, which runs now."""

    call: ToolCall
    kind: Literal["tool_call"] = "tool_call"


@dataclass(frozen=True, kw_only=True)
class CallDelta:
    """A piece of a call that the caller of the chat runs: its id and name first, then arguments.

    index: which call of the turn. arguments: JSON text; a call's pieces, joined, are the whole.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    kind: Literal["call_delta"] = "call_delta"


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
    tokens: of the text, where the parameters ask for their probabilities.
    calls: those that the caller has to run, with finish_reason "tool_calls"; they are in the last
        message as well. Each is a `CallDelta` that is whole.
    gaps: seconds between each token of a round and the next.
    logprob: the sum of the logs of the probabilities of all tokens that were written.
    """

    finish_reason: FinishReason | Literal["tool_calls"]
    usage: Usage
    timings: Timings
    messages: tuple[Message, ...] = field(default=())
    dropped_turns: int = 0
    note: str = ""
    adapter: str | None = None
    tokens: tuple[Token, ...] = ()
    calls: tuple[CallDelta, ...] = ()
    gaps: tuple[float, ...] = ()
    logprob: float = 0.0
    kind: Literal["done"] = "done"


ChatEvent = TextDelta | CallDelta | ToolCalled | ToolReturned | Done
