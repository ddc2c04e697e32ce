"""Chats with a model that has no chat template: plain labels, as in a transcript.

    User: How are you?
    Assistant: Fine.

A base model was never taught where a turn ends, so the next label ends it too. Labels that a user
types are labels to the model: there is no token that could tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanohydra.core.types import Message
from nanohydra.tokenizer.calls import format_call
from nanohydra.tokenizer.chat import ChatFormat, ChatTool, Rendered, check_message
from nanohydra.tokenizer.reader import TurnReader

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer

LABELS = {"system": "System:", "user": "User:", "assistant": "Assistant:", "tool": "Tool:"}


class PlainChat(ChatFormat):
    """Labels and line ends; no tools."""

    name = "plain"
    offers_tools = False
    note = (
        "This model has no chat template: it reads the conversation as a transcript with the "
        "labels User: and Assistant:, and answers as well as it continues one."
    )

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        stated = (*tokenizer.files.stop_ids, tokenizer.end_id)
        self.end_ids = tuple(dict.fromkeys(id for id in stated if id is not None))
        self.stop_ids = self.end_ids
        self.stop_strings = tuple(f"\n{label}" for label in LABELS.values())
        self.markers = tokenizer.special_names

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ChatTool] = (),
        add_generation_prompt: bool = False,
    ) -> Rendered:
        """A last turn of the assistant ends with the model's end token, where it has one."""
        ids: list[int] = list(self.tokenizer.prefix_ids)
        mask = [False] * len(ids)
        text, spans = "", []
        for message in messages:
            check_message(message)
            calls = "".join(f"\n{format_call(call)}" for call in message.tool_calls)
            text += LABELS[message.role]
            start = len(text)
            said = (message.content + calls).strip()
            text += f" {said}\n" if said else "\n"
            if message.role == "assistant":
                spans.append((start, len(text)))
        ended = bool(messages) and messages[-1].role == "assistant" and not add_generation_prompt
        if ended and self.end_ids:
            text = text.removesuffix("\n")
        text += LABELS["assistant"] if add_generation_prompt else ""
        body, places = self.tokenizer.encode_spans(text)
        ids += body
        mask += [any(a < end and b > start for start, end in spans) for a, b in places]
        if ended and self.end_ids:
            ids, mask = [*ids, self.end_ids[0]], [*mask, True]
        return Rendered(ids=ids, mask=mask)

    def render_reply(
        self, messages: Sequence[Message], reply: Message, *, tools: Sequence[ChatTool] = ()
    ) -> Rendered:
        """The prompt and the reply; earlier turns carry no loss."""
        prompt = self.render(messages, add_generation_prompt=True).ids
        whole = self.render((*messages, reply))
        mask = [loss and place >= len(prompt) for place, loss in enumerate(whole.mask)]
        return Rendered(ids=whole.ids, mask=mask)

    def reader(self, tools: Sequence[ChatTool] = ()) -> TurnReader:
        """All is text; the space behind the label is none of it."""
        return TurnReader(self.tokenizer, stop_ids=self.stop_ids, strip=True)
