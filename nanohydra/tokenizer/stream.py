"""Ids that arrive one by one become text that is shown at once, never half a character."""

from __future__ import annotations

import codecs

from nanohydra.tokenizer.tokenizer import Tokenizer


class StreamDecoder:
    """All that `push` and the last `flush` return, joined, equals `tokenizer.decode` of all ids."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special: bool = True) -> None:
        self.tokenizer = tokenizer
        self.skip_special = skip_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """The text that is complete with this id; often empty inside a multi-byte character."""
        return self._decoder.decode(
            self.tokenizer.decode_bytes([id], skip_special=self.skip_special)
        )

    def flush(self) -> str:
        """End the text: U+FFFD if a character is still incomplete. The decoder can be reused."""
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
