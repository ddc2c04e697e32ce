"""One assistant turn while it is written: ids in, text to show out; calls and thinking apart.

A mark that is one token of the vocabulary is known by its id alone, so that no text can pass for
it; any other is found in the text, across pieces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from nanohydra.core.types import Message, ToolCall
from nanohydra.tokenizer.calls import CallFormat
from nanohydra.tokenizer.stream import StreamDecoder

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer

THINK, END_THINK = "<think>", "</think>"


class Mark(Enum):
    """What begins; the end of a call or of thinking begins text."""

    TEXT, CALL, THINKING = range(3)


class TurnReader:
    """Push every id of a reply, then `flush`; `message` is the turn so far.

    calls: how calls are spelled; None = everything is text. thinks: thinking between its marks
    is kept apart in `thinking`, and is no part of the message. thinking_open: the prompt has begun
    it already. names: of the tools that a bare call may name. strip: leave out the space that
    leads the text.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        stop_ids: Collection[int],
        calls: CallFormat | None = None,
        names: Collection[str] = (),
        thinks: bool = False,
        thinking_open: bool = False,
        strip: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.content = self.thinking = ""
        self.ended = False
        self._stop_ids = frozenset(stop_ids)
        self._calls, self._names = calls, frozenset(names)
        self._mode = Mark.THINKING if thinking_open else Mark.TEXT
        self._strip = " \n" if strip else "\n" if thinking_open else ""
        self._raw_calls: list[str] = []
        self._held = ""  # what may become a mark
        self._gap = ""  # white space after a call, no part of the text unless more text follows
        self._lead = ""  # what stands before a call, no part of the text if one follows
        self._bare: str | None = "" if calls and calls.bare and names else None
        marks: dict[str, Mark] = {}
        if calls:
            marks |= {calls.begin: Mark.CALL} | ({calls.end: Mark.TEXT} if calls.end else {})
        if thinks:
            marks |= {THINK: Mark.THINKING, END_THINK: Mark.TEXT}
        added = set(tokenizer.added_names)
        self._by_id = {tokenizer.token_id(m): kind for m, kind in marks.items() if m in added}
        self._apart = self._stop_ids.union(id for id in self._by_id if id is not None)
        self._by_text = {m: kind for m, kind in marks.items() if m not in added}
        self._decoder = StreamDecoder(tokenizer)

    def push(self, id: int) -> str:
        """Take in an id; returns the text that may be shown now."""
        self.ended = self.ended or id in self._stop_ids
        if self.ended:
            return ""
        if id in self._by_id:
            return self._take([*self._rest(), self._by_id[id]])
        if self.tokenizer.is_special(id):
            return ""
        return self._take(self._split(self._decoder.push(id)))

    def push_all(self, ids: Iterable[int]) -> str:
        """As `push` of each; what stands between marks is decoded in one piece."""
        shown, plain = "", list[int]()
        for id in ids:
            if id not in self._apart and not self.tokenizer.is_special(id):
                plain.append(id)
                continue
            shown += self._push_plain(plain) + self.push(id)
            plain = []
        return shown + self._push_plain(plain)

    def _push_plain(self, ids: Sequence[int]) -> str:
        if self.ended or not ids:
            return ""
        return self._take(self._split(self._decoder.push_all(ids)))

    def flush(self) -> str:
        """The end of the text, which may hold half a character, half a mark or a bare call."""
        shown = self._take(self._rest())
        text, self._bare = self._bare, None
        if not text or self._calls is None:
            return shown + self._keep_lead()
        calls = self._calls.read(text)
        if calls and all(call.name in self._names for call in calls):
            self._raw_calls.append(text)
            return shown
        return shown + self._show(text) + self._keep_lead()

    @property
    def raw_calls(self) -> Sequence[str]:
        """What stands between the marks of each call so far; only the last one grows."""
        return self._raw_calls

    @property
    def in_text(self) -> bool:
        """Whether what comes now is text, as far as is known, and neither a call nor thinking."""
        return self._mode is Mark.TEXT

    def message(self) -> Message:
        """The assistant's turn: what was shown, and the calls, numbered from 0."""
        calls: list[ToolCall] = []
        content = self.content
        if self._calls and self._raw_calls:
            for raw in self._raw_calls:
                calls += self._calls.read(raw)
        named = tuple(replace(call, id=f"call_{n}") for n, call in enumerate(calls))
        return Message(role="assistant", content=content, tool_calls=named)

    def _rest(self) -> Iterator[str | Mark]:
        """What the decoder and the search for marks still hold; more of the turn may follow."""
        yield from self._split(self._decoder.flush())
        self._decoder = StreamDecoder(self.tokenizer, continues=True)
        held, self._held = self._held, ""
        yield held

    def _split(self, text: str) -> Iterator[str | Mark]:
        """The text and the marks in it; the end of the text that could become one is held."""
        text, self._held = self._held + text, ""
        if not self._by_text:
            return iter((text,))
        return self._find_marks(text)

    def _find_marks(self, text: str) -> Iterator[str | Mark]:
        while found := [(at, -len(m), m) for m in self._by_text if (at := text.find(m)) >= 0]:
            place, _, mark = min(found)
            yield text[:place]
            yield self._by_text[mark]
            text = text[place + len(mark) :]
        sizes = [n for m in self._by_text for n in range(1, len(m)) if text.endswith(m[:n])]
        keep = len(text) - max(sizes, default=0)
        self._held = text[keep:]
        yield text[:keep]

    def _take(self, items: Iterable[str | Mark]) -> str:
        shown = ""
        for item in items:
            if isinstance(item, Mark):
                self._enter(item)
            elif item:
                shown += self._text(item)
        return shown

    def _enter(self, mark: Mark) -> None:
        if mark is Mark.CALL:
            self._raw_calls.append("")
            self._lead = ""
        elif self._mode is Mark.THINKING:
            self._strip = self._strip or "\n"  # between the thinking and the answer
        self._mode = mark

    def _text(self, text: str) -> str:
        if self._mode is Mark.CALL:
            self._raw_calls[-1] += text
            return ""
        if self._mode is Mark.THINKING:
            self.thinking += text
            return ""
        if self._bare is not None:
            self._bare += text
            if not self._bare.strip() or self._bare.lstrip().startswith("{"):
                return ""
            text, self._bare = self._bare, None
        return self._show(text)

    def _show(self, text: str) -> str:
        if self._strip and not self.content:
            text = text.lstrip(self._strip)
        if self._raw_calls:
            text = self._gap + text
            kept = len(text.rstrip())
            text, self._gap = text[:kept], text[kept:]
        text, self._lead = self._lead + text, ""
        if self._calls and self._calls.before and text.endswith(self._calls.before):
            self._lead = self._calls.before
            text = text.removesuffix(self._lead)
        self.content += text
        return text

    def _keep_lead(self) -> str:
        """No call follows any more: what stood where one might have begun is text."""
        lead, self._lead = self._lead, ""
        self.content += lead
        return lead
