"""Messages as a chat template takes them, with markers in them broken so that none is forged.

What people wrote is broken with a character that occurs nowhere in the conversation; where the
rendered text has it, the text is encoded in pieces. Without typed markers nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.core.types import Message
from nanohydra.tokenizer.calls import ERROR
from nanohydra.tokenizer.chat import ChatTool, check_message
from nanohydra.tokenizer.jinja import MARKS, Template
from nanohydra.tokenizer.markers import Markers

PRIVATE = range(0xE000, 0xF900)  # code points without a meaning of their own


@dataclass(frozen=True, kw_only=True)
class Text:
    """A rendered conversation. spans: what `{% generation %}` says the assistant wrote."""

    pieces: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> str:
        """The text in one piece."""
        return "".join(self.pieces)

    def find(self, marker: str, start: int) -> int:
        """Where a marker stands, from a place on; -1 if nowhere. One that was typed is none."""
        whole, breaks = self.whole, tuple(accumulate(map(len, self.pieces)))
        place = whole.find(marker, start)
        while place >= 0 and any(place < cut < place + len(marker) for cut in breaks):
            place = whole.find(marker, place + 1)
        return place

    def between(self, start: int, end: int) -> tuple[str, ...]:
        """The pieces of a part of the text."""
        kept, place = [], 0
        for piece in self.pieces:
            kept.append(piece[max(0, start - place) : max(0, end - place)])
            place += len(piece)
        return tuple(part for part in kept if part)


class Conversation:
    """What a template is given, and its text for the first so many messages.

    variables: what the template knows beside the messages. short_ids: it wants ids of calls of
    nine letters and digits. Raises UserError for a message of an unknown role.
    """

    def __init__(
        self,
        messages: Sequence[Message],
        tools: Sequence[ChatTool],
        *,
        template: Template,
        markers: Markers,
        variables: Mapping[str, Any],
        short_ids: bool = False,
    ) -> None:
        for message in messages:
            check_message(message)
        self.messages = tuple(messages)
        self.marks_generation = template.marks_generation
        self._template, self._variables, self._markers = template, variables, markers
        plain = list(as_dicts(messages, short_ids=short_ids))
        listed = [dict(tool) for tool in tools] or None
        texts = list(strings_of([plain, listed]))
        used = {c for text in (*texts, template.source) for c in text if ord(c) >= PRIVATE.start}
        unused = (chr(code) for code in PRIVATE if chr(code) not in used)
        self._break, self._begin, self._end = (next(unused) for _ in range(3))
        self._dicts, self._tools = map_strings([plain, listed], self._escape)
        if any(map(markers.is_torn, texts)):
            apart = map_strings([plain, listed], self._set_apart)
            if self._num_markers(*apart) != self._num_markers(self._dicts, self._tools):
                self._dicts, self._tools = apart

    def render(self, count: int | None = None, *, generation: bool = False) -> Text:
        """The text of the first messages. Raises UserError if the template refuses them."""
        return self._taken_apart(self._render(self._dicts[:count], self._tools, generation))

    def try_render(self, count: int, *, generation: bool) -> str | None:
        """As `render`, in one piece; None for what the template refuses."""
        try:
            return self.render(count, generation=generation).whole
        except UserError:
            return None

    def marked(self) -> tuple[str, list[tuple[int, int]]]:
        """The text, and where it has what each assistant turn says, or its first call's name.

        Raises UserError if the template refuses the marks.
        """
        messages = map_strings(self._dicts, str)
        for message in messages:
            if message["role"] == "assistant" and message["content"].strip():
                message["content"] = self._enclose(message["content"])
            elif message["role"] == "assistant" and message.get("tool_calls"):
                function = message["tool_calls"][0]["function"]
                function["name"] = self._enclose(function["name"])
        text = self._taken_apart(self._render(messages, self._tools, False, marks=False))
        return text.whole, list(text.spans)

    def _enclose(self, text: str) -> str:
        """The text with marks inside its white space, which a template may take off."""
        core = text.strip()
        return text.replace(core, f"{self._begin}{core}{self._end}", 1)

    def _render(
        self, messages: Any, tools: Any, generation: bool = False, *, marks: bool = True
    ) -> str:
        chosen = {MARKS: (self._begin, self._end)} if marks else {}
        return self._template.render(
            {
                **self._variables,
                **chosen,
                "messages": messages,
                "tools": tools,
                "documents": None,
                "add_generation_prompt": generation,
            }
        )

    def _escape(self, text: str) -> str:
        return self._break.join(self._markers.cut(text))

    def _set_apart(self, text: str) -> str:
        """The text escaped so that what the template puts beside it cannot complete a marker."""
        escaped = self._escape(text)
        return f"{self._break}{escaped}{self._break}" if self._markers.is_torn(text) else escaped

    def _num_markers(self, messages: Any, tools: Any) -> int:
        """How many markers the text has, which are the template's own or made from halves."""
        try:
            return len(self._markers.find(self._render(messages, tools, marks=False)))
        except UserError:
            return -1

    def _taken_apart(self, raw: str) -> Text:
        pieces, spans = [""], []
        place = start = 0
        for part in re.split(f"([{self._break}{self._begin}{self._end}])", raw):
            if part == self._break:
                pieces.append("")
            elif part == self._begin:
                start = place
            elif part == self._end:
                spans.append((start, place))
            else:
                pieces[-1] += part
                place += len(part)
        return Text(pieces=tuple(pieces), spans=tuple(spans))


def as_dicts(messages: Sequence[Message], *, short_ids: bool = False) -> Iterator[dict[str, Any]]:
    """Messages as transformers takes them; a tool's result bears the name of its call."""
    names: dict[str, str] = {}
    ids: dict[str, str] = {}

    def id_of(id: str) -> str:
        return ids.setdefault(id, f"call{len(ids):05d}" if short_ids else id)

    for message in messages:
        item: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            item["tool_calls"] = [
                {
                    "type": "function",
                    "id": id_of(call.id),
                    "function": {
                        "name": call.name,
                        "arguments": {k: v for k, v in call.arguments.items() if k != ERROR},
                    },
                }
                for call in message.tool_calls
            ]
            names |= {call.id: call.name for call in message.tool_calls}
        if message.tool_call_id is not None:
            item["tool_call_id"] = id_of(message.tool_call_id)
            if message.tool_call_id in names:
                item["name"] = names[message.tool_call_id]
        yield item


def map_strings(value: Any, change: Callable[[str], str], *, keys: bool = False) -> Any:
    """A copy with all texts changed; keys only below `arguments`, where a model chose them."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {
            change(str(key)) if keys else key: map_strings(
                item, change, keys=keys or key == "arguments"
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [map_strings(item, change, keys=keys) for item in value]
    return value


def strings_of(value: Any) -> Iterator[str]:
    """All texts of nested lists and mappings, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from strings_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_of(item)
