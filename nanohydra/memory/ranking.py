"""Which passages are near: fusion of two rankings, and the probability that one is meant.

Reciprocal rank fusion (Cormack et al., 2009) orders what keywords and embeddings find; a word that
is rare among the owner's passages and stands in a passage counts as one more ranking. A logistic
score of similarity and of words says whether a passage is near at all, and orders those that are:
with all-MiniLM-L6-v2 it puts the right one first more often than the fused ranks alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

RANK_OFFSET = 60  # the usual constant of reciprocal rank fusion


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for a passage, each from 0 to 1.

    similarity: the cosine of the embeddings, None while there is none. coverage: the share of the
    query's words that stand in it, weighted by how rare they are among the owner's passages.
    names_missing: the same share of its names and numbers that do not, 0 if the query has none.
    rare: the weight of those of its words that are rare among the passages.
    """

    similarity: float | None
    coverage: float
    names_missing: float
    rare: float
    keyword: bool


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The logistic score of one embedder, fitted by benchmarks/memory.py.

    blind_*: for a passage without an embedding. threshold: the least probability of a hit.
    """

    similarity: float
    coverage: float
    names_missing: float
    bias: float
    threshold: float = 0.5
    blind_coverage: float = 8.0
    blind_bias: float = -4.0

    def probability(self, evidence: Evidence) -> float:
        """How likely it is that the passage is about the query."""
        score = self.names_missing * evidence.names_missing
        if evidence.similarity is None:
            score += self.blind_bias + self.blind_coverage * evidence.coverage
        else:
            score += self.bias + self.coverage * evidence.coverage
            score += self.similarity * evidence.similarity
        return 1.0 / (1.0 + math.exp(-score))


# by the beginning of the embedder's name; "" for those that nobody has measured
CALIBRATIONS: Mapping[str, Calibration] = {
    "all-MiniLM-L6-v2": Calibration(
        similarity=15.31, coverage=4.7, names_missing=-5.08, bias=-7.59
    ),
    "hashing": Calibration(similarity=9.51, coverage=4.9, names_missing=-5.14, bias=-4.23),
    "": Calibration(similarity=15.31, coverage=4.7, names_missing=-5.08, bias=-7.59),
}


def calibration_of(embedder: str) -> Calibration:
    """What was measured for an embedder of this name."""
    return next(c for name, c in CALIBRATIONS.items() if embedder.startswith(name))


@dataclass(frozen=True)
class WordStatistic:
    """A word of a query among the passages of an owner. holders: candidates in which it stands."""

    name: bool
    num_passages: int
    holders: frozenset[int]


def weigh(statistic: WordStatistic, total: int) -> float:
    """The inverse document frequency of BM25, from about 0 for a word of every passage."""
    count = min(statistic.num_passages, total)
    return math.log(1.0 + (total - count + 0.5) / (count + 0.5))


def evidence_of(
    id: int, similarity: float | None, words: Sequence[WordStatistic], total: int
) -> Evidence:
    """What speaks for one candidate among `total` passages of its owner."""
    weights = [weigh(word, total) for word in words]
    held = [id in word.holders for word in words]
    rare_count = max(1, total // 100)

    def share(chosen: Iterable[bool]) -> float:
        pairs = [(w, h) for w, h, c in zip(weights, held, chosen, strict=True) if c]
        whole = sum(w for w, _ in pairs)
        return sum(w for w, h in pairs if h) / whole if whole else 0.0

    named = [word.name for word in words]
    rare = [0 < word.num_passages <= rare_count for word in words]
    return Evidence(
        similarity=similarity,
        coverage=share([True] * len(words)),
        names_missing=1.0 - share(named) if any(named) else 0.0,
        rare=sum(w for w, h, r in zip(weights, held, rare, strict=True) if h and r),
        keyword=any(held),
    )


def fuse(rankings: Iterable[Sequence[int]]) -> dict[int, float]:
    """The sum of reciprocal ranks of every id that stands in a ranking."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking, 1):
            scores[id] = scores.get(id, 0.0) + 1.0 / (RANK_OFFSET + rank)
    return scores
