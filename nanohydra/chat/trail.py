"""The tokens behind a text that is shown piece by piece, with their probabilities.

A token is given with the piece that completes it: what is held back as a possible stop string, or
as half a character, holds its tokens back too.
"""

from __future__ import annotations

from collections import deque

from nanohydra.chat.events import Token
from nanohydra.engine import Event
from nanohydra.tokenizer import Tokenizer


class Trail:
    """Push each token with the text it gave, and take those that the text shown is made of."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._silent: list[Token] = []  # that have given no text yet
        self._pending: deque[tuple[Token, int, int]] = deque()  # with their place in the text
        self._length = 0
        self._shown = 0

    def push(self, event: Event, text: str) -> None:
        """A token of the text, and the characters that became whole with it."""
        assert event.token_id is not None
        if not self.tokenizer.is_special(event.token_id):
            self._silent.append(token_of(self.tokenizer, event))
        self.flush(text)

    def flush(self, text: str) -> None:
        """Characters that became whole with the tokens so far."""
        if not text:
            return
        start, self._length = self._length, self._length + len(text)
        self._pending += [(token, start, self._length) for token in self._silent]
        self._silent.clear()

    def skip(self) -> None:
        """The tokens that have given no text are none of it: they were a mark."""
        self._silent.clear()

    def take(self, num_shown: int, *, last: bool = False) -> tuple[Token, ...]:
        """The tokens that are complete once so many more characters are shown.

        last: nothing more will be shown; a token of which only the start was shown counts.
        """
        self._shown += num_shown
        taken = []
        while self._pending:
            token, start, end = self._pending[0]
            if end > self._shown and not (last and start < self._shown):
                break
            taken.append(token)
            self._pending.popleft()
        return tuple(taken)


def token_of(tokenizer: Tokenizer, event: Event) -> Token:
    """An event's token with its bytes, and those of its rivals."""

    def data(id: int) -> bytes:
        return tokenizer.token(id) if id < tokenizer.vocab_size else b""

    assert event.token_id is not None
    top = tuple((data(id), logprob) for id, logprob in event.top_logprobs)
    return Token(id=event.token_id, data=data(event.token_id), logprob=event.logprob, top=top)
