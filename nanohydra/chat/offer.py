"""Tools that the caller of a chat runs: what is offered, and the calls as they are written.

The reply ends with the calls, and the caller asks again with their results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nanohydra.chat.call_grammar import call_grammar
from nanohydra.chat.events import CallDelta, ChatParams
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.types import ToolCall
from nanohydra.tokenizer import ChatFormat, ChatTool, parse_call
from nanohydra.tokenizer.call_stream import CallStream


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Functions with their schemas, as chat APIs exchange them.

    choice: "auto"; "required" for at least one call; or the name of the function to call.
    parallel: whether there may be several calls at once.
    Raises UserError for functions without a name, twice the same, and a choice that is none.
    """

    tools: tuple[ChatTool, ...]
    choice: str = "auto"
    parallel: bool = True

    def __post_init__(self) -> None:
        names = self.names
        for name in names:
            if not name or names.count(name) > 1:
                raise UserError(f"every tool needs a name of its own, and {name!r} is none")
        if self.choice not in ("auto", "required", *names):
            raise UserError(
                f"tool_choice {self.choice!r} is no tool; {suggest(self.choice, names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the functions."""
        return tuple(str(tool["function"].get("name", "")) for tool in self.tools)

    def apply(self, params: ChatParams, chat: ChatFormat) -> ChatParams:
        """The parameters, with a grammar for the calls where they are demanded.

        Raises UserError for a model whose chat format cannot be told of tools.
        """
        if not chat.offers_tools:
            raise UserError(
                "this model calls only the tools that it was trained with, which the server runs; "
                "its chat format cannot list others"
            )
        if chat.calls is None:
            raise UserError("the chat template of this model knows no tools")
        grammar = call_grammar(
            chat, self.tools, choice=self.choice, parallel=self.parallel, text=params.grammar
        )
        return params if grammar is None else replace(params, grammar=grammar)


class CallCollector:
    """The calls of a round: pieces to pass on, and what they are so far."""

    def __init__(self, offer: Offer, num_calls: int) -> None:
        self.offer = offer
        self.full = False  # a second call has begun where only one may be
        self.whole: tuple[CallDelta, ...] = ()
        self._num_calls = num_calls  # of the conversation before
        self._stream = CallStream()

    def take(self, raw_calls: Sequence[str]) -> list[CallDelta]:
        """What is new in the texts between the marks of calls."""
        new: list[CallDelta] = []
        for piece in self._stream.feed(raw_calls):
            if piece.index and not self.offer.parallel:
                self.full = True
                break
            id = f"call_{self._num_calls + piece.index + 1}" if piece.name else ""
            delta = CallDelta(index=piece.index, id=id, name=piece.name, arguments=piece.arguments)
            if piece.name:
                self.whole = (*self.whole, delta)
            else:
                last = self.whole[-1]
                last = replace(last, arguments=last.arguments + piece.arguments)
                self.whole = (*self.whole[:-1], last)
            new.append(delta)
        return new


def to_call(call: CallDelta) -> ToolCall:
    """A whole call as it stands in a conversation."""
    return parse_call(f"{call.name} {call.arguments}", call.id)
