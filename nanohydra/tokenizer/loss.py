"""Which part of a rendered conversation the assistant wrote, for templates that do not say so.

A turn begins where the prompt for it ends, and ends with the first end-of-turn token after that.
Where a later message changes what stands before a turn, the turn is found by marks around what it
says. A turn that neither way finds carries no loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from nanohydra.core.errors import UserError
from nanohydra.tokenizer.calls import CallFormat
from nanohydra.tokenizer.conversation import Conversation, Text
from nanohydra.tokenizer.reader import THINK


class Turns:
    """The assistant's turns in the text of the whole conversation.

    end: the text of the token that ends a turn; empty where the template has none.
    """

    def __init__(
        self,
        conversation: Conversation,
        text: Text,
        end: str,
        calls: CallFormat | None,
    ) -> None:
        self.conversation, self.rendered, self.text = conversation, text, text.whole
        self.end, self.calls = end, calls

    def spans(self) -> Iterator[tuple[int, int]]:
        """Begin and end of every turn that is found; ends include the end-of-turn token."""
        for number, message in enumerate(self.conversation.messages):
            if message.role == "assistant" and (span := self.span(number)):
                yield span

    def span(self, number: int) -> tuple[int, int] | None:
        """Begin and end of the assistant's turn that is the message of this number."""
        start = self._after_prompt(number)
        if start is None:
            start = self._after_marks(number)
        if start is None:
            return None
        if not self.end:
            whole = self.conversation.try_render(number + 1, generation=False)
            fits = whole is not None and self.text.startswith(whole)
            return start, len(whole) if whole and fits else len(self.text)
        found = self.rendered.find(self.end, start)
        return start, found + len(self.end) if found >= 0 else len(self.text)

    def _after_prompt(self, number: int) -> int | None:
        prompt = self.conversation.try_render(number, generation=True)
        if prompt is None:
            return None
        # A prompt may end with thinking that is empty, which a finished turn leaves out.
        for head in (prompt, prompt[: prompt.rfind(THINK)] if THINK in prompt else prompt):
            if self.text.startswith(head):
                break
        else:
            return None
        content = self.conversation.messages[number].content.strip()
        place = self.text.find(content, len(head))
        header = self.text[len(head) : max(place, 0)] if content else ""
        if header.strip() and prompt == self.conversation.try_render(number, generation=False):
            return place  # the template has no prompt, so that the header is in the turn
        return len(head)

    def _after_marks(self, number: int) -> int | None:
        place = self._marked.get(number)
        message = self.conversation.messages[number]
        if place is not None and message.content.strip():
            return len(self.text[:place].rstrip(" "))  # the model writes the space, too
        if place is None or self.calls is None:
            return None
        begins = [self.text.rfind(each, 0, place) for each in (self.calls.begin, "{")]
        return next((begin for begin in begins if begin >= 0), None)

    @cached_property
    def _marked(self) -> dict[int, int]:
        """Where each turn's text, or the name of its first call, begins."""
        messages = self.conversation.messages
        speaking = [
            n
            for n, message in enumerate(messages)
            if message.role == "assistant" and (message.content.strip() or message.tool_calls)
        ]
        try:
            text, spans = self.conversation.marked()
        except UserError:
            return {}
        if text != self.text or len(spans) != len(speaking):
            return {}
        return {n: start for n, (start, _) in zip(speaking, spans, strict=True)}
