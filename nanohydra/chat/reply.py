"""One reply while it is written, over several rounds: what to ask next, what the tokens mean.

Does no input or output: the engine's tokens and the tools' results are handed in, so that the
streaming chat and the batched evaluation share the same rules.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nanohydra.chat.clock import Clock
from nanohydra.chat.context import make_prompt
from nanohydra.chat.events import CallDelta, ChatParams, Done, TextDelta, Token, Usage
from nanohydra.chat.offer import CallCollector, Offer, to_call
from nanohydra.chat.reading import AnswerReader
from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message, ToolCall
from nanohydra.engine import Event, SamplingParams
from nanohydra.tokenizer import ChatFormat, ChatTool, Tokenizer
from nanohydra.tools import Tool


class RoundReader(AnswerReader):
    """The tokens of one round as they come: text and calls to show, and why the round ended.

    tools: those that the prompt offered. offer: those among them that the caller runs, whose calls
    are given as they are written; nothing of other calls or of thinking is shown.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        params: ChatParams,
        tools: Sequence[ChatTool] = (),
        offer: Offer | None = None,
        num_calls: int = 0,
    ) -> None:
        chat = tokenizer.chat
        super().__init__(
            tokenizer, params, params.stop if params.ignore_eos else all_stops(params, chat)
        )
        self._turn = chat.reader(tools)
        self._silent = frozenset(chat.stop_ids if params.ignore_eos else params.stop_ids)
        self.calls = None if offer is None else CallCollector(offer, num_calls)

    def read(self, events: Iterable[Event]) -> list[TextDelta | CallDelta]:
        """Take in events; returns what can be shown now."""
        delta = self.take(events)
        new: list[TextDelta | CallDelta] = [delta] if delta.text or delta.tokens else []
        if self.calls is not None and not self._stops.hit:
            new += self.calls.take(self._turn.raw_calls)
            if self.calls.full:
                self.finish_reason = "stop"
        return new

    def _text_of(self, event: Event, id: int) -> str | None:
        if id in self._silent:
            return None
        text = self._turn.push(id)
        if self._trail is not None:
            if self._turn.in_text and not self._turn.ended:
                self._trail.push(event, text)
            else:
                self._trail.flush(text)
                self._trail.skip()
        return text

    def _text_of_all(self, events: Sequence[Event]) -> str:
        ids = [event.token_id for event in events if event.token_id is not None]
        return self._turn.push_all(id for id in ids if id not in self._silent)

    def _flush(self) -> str:
        return self._turn.flush()

    def message(self) -> Message:
        """The assistant's turn so far."""
        if self._stops.hit:
            return Message(role="assistant", content=self.text)
        return self._turn.message()


def all_stops(params: ChatParams, chat: ChatFormat) -> tuple[str, ...]:
    """The texts that end a reply: those asked for, and those of the chat format."""
    return (*params.stop, *chat.stop_strings)


def offered(tokenizer: Tokenizer, tools: Iterable[Tool]) -> tuple[ChatTool, ...]:
    """The tools as the prompt lists them; nothing for a model that knows them by itself."""
    return tuple(t.schema() for t in tools) if tokenizer.chat.offers_tools else ()


@dataclass(frozen=True, kw_only=True)
class Round:
    """What the engine has to run next."""

    prompt_ids: tuple[int, ...]
    params: SamplingParams


class Reply:
    """The state of one reply. Alternate `next_round` and `end_round`, adding tool results between.

    max_length: tokens that the context holds. tools: that the prompt offers, see `offered`.
    offer: tools that the caller runs, in their place; calls of them end the reply.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Message],
        params: ChatParams,
        max_length: int,
        tools: Sequence[ChatTool] = (),
        offer: Offer | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.tools = offer.tools if offer else tuple(tools)
        self.offer = offer
        self.tokens: list[Token] = []
        self.calls: tuple[CallDelta, ...] = ()
        self.history = tuple(messages)
        self.params = params
        self.max_length = max_length
        self.messages: list[Message] = []
        self.finish_reason: FinishReason | Literal["tool_calls"] | None = None
        self.note = ""
        self.num_rounds = 0
        self.dropped_turns = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.context_tokens = 0
        self.logprob = 0.0
        self._num_calls = sum(len(message.tool_calls) for message in messages)

    def branch(self, index: int) -> Reply:
        """Another reply to the same prompt, whose first round is under way, with its own seed."""
        other = copy.copy(self)
        other.messages, other.tokens = [], []
        if self.params.seed is not None:
            other.params = replace(self.params, seed=self.params.seed + index)
        return other

    def next_round(self) -> Round | None:
        """The next prompt; None, with a finish reason, if there is no room for it any more.

        Raises UserError if the conversation itself does not fit into the context.
        """
        room = self.max_length // 4
        budget = self.params.max_tokens - self.completion_tokens
        reserve = min(budget, room) if self.params.max_tokens else room
        try:
            prompt = make_prompt(
                self.tokenizer,
                [*self.history, *self.messages],
                max_length=self.max_length,
                reserve=max(1, reserve),
                tools=self.tools,
            )
        except UserError:
            if not self.messages:
                raise
            self.finish("length", "the context is full")
            return None
        if not self.num_rounds:
            self.prompt_tokens = len(prompt.ids)
        self.dropped_turns = max(self.dropped_turns, prompt.dropped_turns)
        self.context_tokens = len(prompt.ids)
        params = self.params.sampling(
            max_tokens=budget if self.params.max_tokens else self.max_length,
            stop_ids=self.tokenizer.chat.stop_ids,
            round_number=self.num_rounds,
            written=self.completion_tokens,
        )
        self.num_rounds += 1
        return Round(prompt_ids=prompt.ids, params=params)

    def reader(self) -> RoundReader:
        """What takes in the tokens of the round."""
        tools = self.tools
        reader = RoundReader(self.tokenizer, self.params, tools, self.offer, self._num_calls)
        reader.num_prompt, reader.num_before = self.prompt_tokens, self.completion_tokens
        return reader

    def end_round(self, reader: RoundReader) -> tuple[ToolCall, ...]:
        """Take in what the model wrote; returns the calls to run, if the reply goes on.

        Calls that will not be run are left out of the messages: a conversation never holds a
        call without its result.
        """
        assert reader.finish_reason is not None
        self.completion_tokens += reader.num_tokens
        self.context_tokens += reader.num_tokens
        self.logprob += reader.logprob
        self.tokens += reader.tokens
        if reader.calls is not None and reader.calls.whole:
            self._end_with_calls(reader, reader.calls)
            return ()
        message = reader.message()
        calls = tuple(self._named(call) for call in message.tool_calls)
        if calls and reader.finish_reason == "stop":
            if self.num_rounds <= self.params.max_rounds:
                self.messages.append(replace(message, tool_calls=calls))
                return calls
            self.finish("length", f"the limit of {self.params.max_rounds} tool rounds is reached")
        else:
            self.finish(reader.finish_reason, reader.error or "")
        if message.content or not self.messages:
            self.messages.append(replace(message, tool_calls=()))
        return ()

    def _end_with_calls(self, reader: RoundReader, calls: CallCollector) -> None:
        """The caller runs them, and asks again with their results."""
        assert reader.finish_reason is not None
        ended = reader.finish_reason == "stop"
        self.finish("tool_calls" if ended else reader.finish_reason, reader.error or "")
        self.calls = calls.whole
        said = replace(reader.message(), tool_calls=tuple(map(to_call, self.calls)))
        self.messages.append(said)

    def add_result(self, call: ToolCall, result: str) -> None:
        """Take in what a tool answered."""
        self.messages.append(Message(role="tool", content=result, tool_call_id=call.id))
        if self.params.max_tokens and self.completion_tokens >= self.params.max_tokens:
            self.finish("length")

    def finish(self, reason: FinishReason | Literal["tool_calls"], note: str = "") -> None:
        """End the reply."""
        self.finish_reason, self.note = reason, note

    def done(self, clock: Clock, adapter: str | None = None) -> Done:
        """The last event of the reply, which `adapter` wrote."""
        assert self.finish_reason is not None
        return Done(
            finish_reason=self.finish_reason,
            usage=Usage(
                prompt_tokens=self.prompt_tokens,
                completion_tokens=self.completion_tokens,
                context_tokens=self.context_tokens,
                context_length=self.max_length,
            ),
            timings=clock.timings(),
            messages=tuple(self.messages),
            dropped_turns=self.dropped_turns,
            note=self.note,
            adapter=adapter,
            tokens=tuple(self.tokens),
            calls=self.calls,
            gaps=tuple(clock.gaps),
            logprob=self.logprob,
        )

    def _named(self, call: ToolCall) -> ToolCall:
        """The call under an id that is unique in its conversation."""
        self._num_calls += 1
        return replace(call, id=f"call_{self._num_calls}")
