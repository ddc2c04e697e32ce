"""What a chat format can do: lay out conversations for one model, and read its replies.

Three implementations: the layout of models made here (template.py), a model's own Jinja template
(templated.py), and plain labels for models without one (plain.py). formats.py chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message, Role

if TYPE_CHECKING:
    from nanohydra.tokenizer.calls import CallFormat
    from nanohydra.tokenizer.reader import TurnReader
    from nanohydra.tokenizer.tokenizer import Tokenizer

ChatTool = Mapping[str, Any]  # the JSON schema of one, as chat APIs exchange it
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A conversation as ids. `mask` is True where a token carries loss; same length."""

    ids: list[int]
    mask: list[bool]


class ChatFormat(ABC):
    """One model's way to chat.

    name: for people. offers_tools: tools are listed in the prompt, so a reply has them only where
    they were asked for; otherwise the model knows them by itself.
    end_ids: any of them ends the assistant's turn as it should. stop_ids: those, and others that
    show that the model has begun somebody else's turn. stop_strings: the same in text.
    markers: texts that stand for something other than themselves. takes_system: whether the model
    reads system messages. note: what a person should know before they chat.
    calls: how the tools that a prompt lists are called; None where none can be listed.
    """

    tokenizer: Tokenizer
    name: ClassVar[str]
    offers_tools: ClassVar[bool]
    end_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...] = ()
    markers: tuple[str, ...]
    takes_system: bool = True
    note: str = ""
    calls: CallFormat | None = None

    @abstractmethod
    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ChatTool] = (),
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """Ids of a conversation, and which of them the assistant has to learn.

        Raises UserError for a conversation that the format cannot express.
        """

    def prompt(self, messages: Sequence[Message], *, tools: Sequence[ChatTool] = ()) -> list[int]:
        """Ids of a conversation and of what leads the assistant's answer to it."""
        return self.render(messages, tools=tools, add_generation_prompt=True).ids

    def takes(self, messages: Sequence[Message]) -> bool:
        """Whether the format has the roles, in their order, and the tokenizer the characters."""
        try:
            self.render(messages)
        except UserError:
            return False
        return True

    @abstractmethod
    def render_reply(
        self, messages: Sequence[Message], reply: Message, *, tools: Sequence[ChatTool] = ()
    ) -> Rendered:
        """A prompt and the reply to it with its end, as the model has to write it.

        Only the reply carries loss.
        """

    @abstractmethod
    def reader(self, tools: Sequence[ChatTool] = ()) -> TurnReader:
        """What takes in the ids of one reply to a prompt that offered these tools."""

    def parse(self, ids: Sequence[int], *, tools: Sequence[ChatTool] = ()) -> Message:
        """The message that a model wrote: the inverse of `render` for one assistant turn."""
        reader = self.reader(tools)
        for id in ids:
            reader.push(id)
        reader.flush()
        message = reader.message()
        content = self.cut(message.content)
        return message if content == message.content else Message(role="assistant", content=content)

    def ended(self, ids: Sequence[int]) -> bool:
        """Whether a reply came to its natural end, rather than to a limit."""
        if ids and ids[-1] in self.end_ids:
            return True
        text = self.tokenizer.decode(ids) if self.stop_strings else ""
        return self.cut(text) != text

    def cut(self, text: str) -> str:
        """The text up to the first stop string."""
        places = [place for stop in self.stop_strings if (place := text.find(stop)) >= 0]
        return text[: min(places)] if places else text


def check_message(message: Message) -> None:
    """Raise UserError for an unknown role, or calls by another than the assistant."""
    if message.role not in ROLES:
        known = ", ".join(ROLES)
        raise UserError(f"unknown role {message.role!r} in a conversation; known: {known}")
    if message.tool_calls and message.role != "assistant":
        raise UserError(f"a {message.role!r} message has tool calls; only 'assistant' may")
