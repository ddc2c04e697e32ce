"""Texts that were seen before: the same, by hash, or nearly the same, by MinHash-LSH.

The first of several is kept. Near duplicates after Broder 1997 and Lee et al. 2022 (2107.06499).
"""

from __future__ import annotations

import hashlib
from typing import Any

from nanohydra.core.errors import UserError


class ExactDuplicates:
    """Remembers a 128-bit hash of each text, white space at its ends apart."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def reason(self, text: str) -> str | None:
        """Why to drop the text, or None, and from now on it has been seen."""
        key = hashlib.blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()
        if key in self._seen:
            return "exact duplicate"
        self._seen.add(key)
        return None


class NearDuplicates:
    """Remembers a MinHash signature of each text; needs the package datasketch.

    threshold: estimated Jaccard similarity of two texts' runs of `ngram_words` words at which
        the later one is a duplicate. num_perm: length of a signature; the estimate's standard
        error is about 1 / sqrt(num_perm).
    """

    def __init__(self, *, threshold: float, ngram_words: int, num_perm: int) -> None:
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError:
            raise UserError("near_duplicates needs datasketch: pip install nanohydra[hf]") from None
        self.threshold = threshold
        self.ngram_words = ngram_words
        self._empty = MinHash(num_perm=num_perm, seed=1)
        self._index = MinHashLSH(threshold=threshold, num_perm=num_perm)
        self._signatures: list[Any] = []

    def reason(self, text: str) -> str | None:
        """Why to drop the text, or None, and from now on it has been seen."""
        signature = self._empty.copy()
        signature.update_batch(self._shingles(text))
        for key in self._index.query(signature):  # candidates, which also hold less similar ones
            if signature.jaccard(self._signatures[key]) >= self.threshold:
                return "near duplicate"
        self._index.insert(len(self._signatures), signature)
        self._signatures.append(signature)
        return None

    def _shingles(self, text: str) -> list[bytes]:
        words = text.lower().split()
        last = max(len(words) - self.ngram_words, 0)
        runs = {" ".join(words[i : i + self.ngram_words]) for i in range(last + 1)}
        return [run.encode("utf-8", "replace") for run in sorted(runs)]
