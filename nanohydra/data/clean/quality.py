"""Heuristics that tell running text from menus, lists and spam, with their thresholds named.

After Gopher (Rae et al. 2021, 2112.11446, table A1) and C4 (Raffel et al. 2020, 1910.10683). They
were made for web pages in English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from nanohydra.data.config import QualityConfig

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
_BULLETS = ("-", "*", "•", "‣", "▪", "●", "–")
_ELLIPSIS = re.compile(r"\.\.\.|…")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)]*(?=\s|$)")
_EDGES = "\"'“”‘’.,;:!?()[]"


class QualityFilter:
    """Judges a text by the thresholds of a QualityConfig."""

    def __init__(self, config: QualityConfig) -> None:
        self.config = config
        self._checks: tuple[Callable[[str], str | None], ...] = (
            self._words,
            self._lines,
            self._phrases,
            self._repeated_lines,
            self._repeated_ngrams,
        )

    def reason(self, text: str) -> str | None:
        """The first threshold that the text misses, or None."""
        for check in self._checks:
            why = check(text)
            if why:
                return f"quality: {why}"
        return None

    def _words(self, text: str) -> str | None:
        config, words = self.config, text.split()
        if len(words) < config.min_words:
            return "too few words"
        if len(words) > config.max_words:
            return "too many words"
        mean = sum(len(word.strip(_EDGES)) for word in words) / max(len(words), 1)
        if not config.min_mean_word_length <= mean <= config.max_mean_word_length:
            return "mean word length"
        if len(words) * config.max_symbols_per_word < max(
            text.count("#"), len(_ELLIPSIS.findall(text))
        ):
            return "symbols"
        alphabetic = sum(any(map(str.isalpha, word)) for word in words)
        if alphabetic < config.min_alphabetic_words * len(words):
            return "words without letters"
        if len(STOP_WORDS.intersection(w.strip(_EDGES).lower() for w in words)) < (
            config.min_stop_words
        ):
            return "too few stop words"
        return None

    def _lines(self, text: str) -> str | None:
        config = self.config
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if sum(line.startswith(_BULLETS) for line in lines) > config.max_bullet_lines * len(lines):
            return "bullet lines"
        ends = sum(line.endswith(("...", "…")) for line in lines)
        if ends > config.max_ellipsis_lines * len(lines):
            return "lines ending in an ellipsis"
        if len(_SENTENCE_END.findall(text)) < config.min_sentences:
            return "too few sentences"
        return None

    def _phrases(self, text: str) -> str | None:
        lower = text.lower()
        if any(phrase.lower() in lower for phrase in self.config.banned_phrases):
            return "banned phrase"
        if not self.config.allow_curly_bracket and "{" in text:
            return "curly bracket"
        return None

    def _repeated_lines(self, text: str) -> str | None:
        config = self.config
        for noun, parts, most, most_characters in (
            (
                "lines",
                text.split("\n"),
                config.max_duplicate_lines,
                config.max_duplicate_line_characters,
            ),
            (
                "paragraphs",
                text.split("\n\n"),
                config.max_duplicate_paragraphs,
                config.max_duplicate_paragraph_characters,
            ),
        ):
            counts = Counter(part.strip() for part in parts if part.strip())
            again = sum(count - 1 for count in counts.values())
            if again > most * counts.total():
                return f"duplicate {noun}"
            characters = sum(len(part) * (count - 1) for part, count in counts.items())
            if characters > most_characters * len(text):
                return f"characters in duplicate {noun}"
        return None

    def _repeated_ngrams(self, text: str) -> str | None:
        words = text.lower().split()
        lengths = [len(word) for word in words]
        total = max(sum(lengths), 1)
        for size, most in enumerate(self.config.max_top_ngram_characters, 2):
            counts = Counter(zip(*(words[i:] for i in range(size)), strict=False))
            gram, count = max(
                counts.items(), key=lambda item: (item[1], sum(map(len, item[0]))), default=((), 0)
            )
            if count > 1 and count * sum(map(len, gram)) > most * total:
                return f"top {size}-gram"
        for size, most in enumerate(self.config.max_duplicate_ngram_characters, 5):
            if _covered(words, lengths, size) > most * total:
                return f"duplicate {size}-grams"
        return None


def _covered(words: Sequence[str], lengths: Sequence[int], size: int) -> int:
    """Characters of the words that lie in a run of `size` words which occurs more than once."""
    runs = list(zip(*(words[i:] for i in range(size)), strict=False))
    counts = Counter(runs)
    covered, end = 0, 0
    for start, run in enumerate(runs):
        if counts[run] > 1:
            covered += sum(lengths[max(start, end) : start + size])
            end = start + size
    return covered
