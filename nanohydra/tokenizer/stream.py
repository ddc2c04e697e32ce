"""Ids that arrive one by one become text that is shown at once, never half a character."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanohydra.tokenizer.tokenizer import Tokenizer


class StreamDecoder:
    """All that `push` and the last `flush` return, joined, equals `tokenizer.decode` of all ids.

    continues: the ids stand behind a text, so that a space before the first one is kept.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, skip_special: bool = True, continues: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.skip_special = skip_special
        self.continues = continues
        self._inside = continues
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """The text that is complete with this id; often empty inside a multi-byte character."""
        return self.push_all([id])

    def push_all(self, ids: Sequence[int]) -> str:
        """The text that is complete with these ids, which arrived together."""
        skip, inside = self.skip_special, self._inside
        data = self.tokenizer.decode_bytes(ids, skip_special=skip, continues=inside)
        if not inside:
            self._inside = any(not (skip and self.tokenizer.is_special(id)) for id in ids)
        return self._decoder.decode(data)

    def flush(self) -> str:
        """End the text: U+FFFD if a character is still incomplete. The decoder can be reused."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._inside = self.continues
        return rest
