"""One reply while it is written, over several rounds: what to ask next, what the tokens mean.

Does no input or output: the engine's tokens and the tools' results are handed in, so that the
streaming chat and the batched evaluation share the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from nanohydra.chat.context import make_prompt
from nanohydra.chat.events import ChatParams, Done, Timings, Usage
from nanohydra.chat.stops import StopStrings
from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason, Message, ToolCall
from nanohydra.engine import Event, SamplingParams
from nanohydra.tokenizer import ChatTool, Tokenizer
from nanohydra.tools import Tool


class RoundReader:
    """The tokens of one round as they come: text to show, and why the round ended.

    tools: those that the prompt offered. Nothing of a call or of thinking is shown.
    """

    def __init__(
        self, tokenizer: Tokenizer, stops: Sequence[str] = (), tools: Sequence[ChatTool] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.num_tokens = 0
        self.text = ""
        self.finish_reason: FinishReason | None = None
        self.error: str | None = None
        self._turn = tokenizer.chat.reader(tools)
        self._stops = StopStrings((*stops, *tokenizer.chat.stop_strings))

    def read(self, events: Iterable[Event]) -> str:
        """Take in events; returns the text that can be shown now."""
        shown = ""
        for event in events:
            if event.token_id is not None:
                self.num_tokens += 1
                # A model's vocabulary may be padded beyond its tokenizer's.
                if event.token_id < self.tokenizer.vocab_size:
                    shown += self._stops.push(self._turn.push(event.token_id))
            if not self._stops.hit and event.finish_reason is not None:
                shown += self._stops.push(self._turn.flush()) + self._stops.flush()
                self.finish_reason, self.error = event.finish_reason, event.error
            if self._stops.hit:
                self.finish_reason = "stop"
            if self.finish_reason is not None:
                break
        self.text += shown
        return shown

    def message(self) -> Message:
        """The assistant's turn so far."""
        if self._stops.hit:
            return Message(role="assistant", content=self.text)
        return self._turn.message()


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
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        messages: Sequence[Message],
        params: ChatParams,
        max_length: int,
        tools: Sequence[ChatTool] = (),
    ) -> None:
        self.tokenizer = tokenizer
        self.tools = tuple(tools)
        self.history = tuple(messages)
        self.params = params
        self.max_length = max_length
        self.messages: list[Message] = []
        self.finish_reason: FinishReason | None = None
        self.note = ""
        self.num_rounds = 0
        self.dropped_turns = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.context_tokens = 0
        self._num_calls = sum(len(message.tool_calls) for message in messages)

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
        )
        self.num_rounds += 1
        return Round(prompt_ids=prompt.ids, params=params)

    def reader(self) -> RoundReader:
        """What takes in the tokens of the round."""
        return RoundReader(self.tokenizer, self.params.stop, self.tools)

    def end_round(self, reader: RoundReader) -> tuple[ToolCall, ...]:
        """Take in what the model wrote; returns the calls to run, if the reply goes on.

        Calls that will not be run are left out of the messages: a conversation never holds a
        call without its result.
        """
        assert reader.finish_reason is not None
        self.completion_tokens += reader.num_tokens
        self.context_tokens += reader.num_tokens
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

    def add_result(self, call: ToolCall, result: str) -> None:
        """Take in what a tool answered."""
        self.messages.append(Message(role="tool", content=result, tool_call_id=call.id))
        if self.params.max_tokens and self.completion_tokens >= self.params.max_tokens:
            self.finish("length")

    def finish(self, reason: FinishReason, note: str = "") -> None:
        """End the reply."""
        self.finish_reason, self.note = reason, note

    def done(self, timings: Timings, adapter: str | None = None) -> Done:
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
            timings=timings,
            messages=tuple(self.messages),
            dropped_turns=self.dropped_turns,
            note=self.note,
            adapter=adapter,
        )

    def _named(self, call: ToolCall) -> ToolCall:
        """The call under an id that is unique in its conversation."""
        self._num_calls += 1
        return replace(call, id=f"call_{self._num_calls}")
