"""Whether a training text shares a long run of words with an evaluation text.

After Brown et al. 2020 (2005.14165, appendix C): runs of 13 words, and evaluation texts of 8 to
12 words as a whole. Shorter ones would match by chance and cannot be checked; they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")
_FEWEST_WORDS = 8


class Overlap:
    """Remembers the runs of `ngram_words` words of the evaluation texts.

    num_texts and num_too_short count the evaluation texts that can and cannot be checked.
    """

    def __init__(self, texts: Iterable[str], *, ngram_words: int = 13) -> None:
        self.num_texts = 0
        self.num_too_short = 0
        self._runs: dict[int, set[int]] = {}  # number of words -> hashes of the runs
        for text in texts:
            words = _words(text)
            if len(words) < min(_FEWEST_WORDS, ngram_words):
                self.num_too_short += 1
                continue
            self.num_texts += 1
            size = min(len(words), ngram_words)
            self._runs.setdefault(size, set()).update(_hashes(words, size))

    def reason(self, text: str) -> str | None:
        """Why to drop the text, or None."""
        words = _words(text)
        for size, runs in self._runs.items():
            if any(run in runs for run in _hashes(words, size)):
                return "overlaps an evaluation set"
        return None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _hashes(words: list[str], size: int) -> Iterator[int]:
    return (hash(tuple(words[i : i + size])) for i in range(len(words) - size + 1))
