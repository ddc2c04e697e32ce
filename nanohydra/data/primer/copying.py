"""Copying: long lists of random words to be said again, so that every token but one can be found.

The first thing a run trains on. A few hundred thousand tokens of it form the attention heads that
look for what followed the same words before, on which lookup and reading build.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Record
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Example, Split, dialogue, user

LEAST, MOST = 8, 30  # words of a list


class Copying:
    """The domain `copying`."""

    source = "primer/copying"

    def record(self, rng: Random, split: Split) -> Record:
        """A list as the user's turn and the same list as the answer; nothing says what to do."""
        text = self._text(rng, split)
        return dialogue([text, text], self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A list to repeat."""
        text = self._text(rng, split)
        meta = {"kind": "copying", "reference": text}
        return Example(prompt=(user(text),), answer=text, domain="copying", meta=meta)

    def _text(self, rng: Random, split: Split) -> str:
        return " ".join(self._word(rng, split) for _ in range(rng.randint(LEAST, MOST)))

    def _word(self, rng: Random, split: Split) -> str:
        kind = rng.random()
        if kind < 0.4:
            return names.made_word(rng, split)
        if kind < 0.75:
            return rng.choice(words.EVERYDAY)
        # numbers of one to six digits; of few kinds of digits, since 8888 is easily miscounted
        digits = rng.sample("0123456789", 2) if rng.random() < 0.3 else "0123456789"
        return "".join(rng.choice(digits) for _ in range(rng.randint(1, 6)))
