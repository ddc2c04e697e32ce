"""Embeddings without a model: character n-grams and words, hashed into a vector.

It finds the same words and their other forms, not the same meaning. For tests, and for machines on
which no embedding model is installed.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from nanohydra.memory.embedders import Vectors
from nanohydra.memory.words import PLAIN

WORD = re.compile(r"[^\W_]+")
SIZES = (3, 4)
WORD_WEIGHT, PLAIN_WEIGHT = 2.0, 0.1


class Hashing:
    """Each n-gram of a word adds to one place of the vector, with a sign, both from its hash."""

    def __init__(self, dimension: int | str = 512) -> None:
        self.dimension = int(dimension)
        self.name = f"hashing-{self.dimension}"

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (N, dimension); of a text without any word, the first unit vector."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word, count in Counter(WORD.findall(text.casefold())).items():
                weight = (PLAIN_WEIGHT if word in PLAIN else 1.0) * np.sqrt(count)
                for gram, share in _grams(word):
                    code = zlib.crc32(gram.encode("utf-8", "replace"))  # hash() is salted
                    sign = 1.0 if code & 1 else -1.0
                    vector[(code >> 1) % self.dimension] += sign * share * weight
            if not vector.any():
                vector[0] = 1.0
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def is_common(self, word: str) -> bool:
        """Always: without a vocabulary there is no telling."""
        return True


def _grams(word: str) -> Iterator[tuple[str, float]]:
    """A word and its n-grams with marks at its ends; the weights do not grow with its length."""
    marked = f"<{word}>"
    grams = [marked[i : i + size] for size in SIZES for i in range(len(marked) - size + 1)]
    yield marked, WORD_WEIGHT
    for gram in grams:
        yield gram, WORD_WEIGHT / np.sqrt(len(grams))
