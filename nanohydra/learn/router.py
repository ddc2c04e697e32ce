"""Which lessons a question is about, or none: the decision that keeps the base what it was.

Every live lesson is known by its study questions. A question is near a lesson if one of them is
near in meaning (embeddings) and if the words that name things are the lesson's own: "Where does
Ana live?" is, in meaning alone, nearly the same question for every name. Knows nothing of models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
WORD = re.compile(r"[^\W_]+")
# Words of grammar and of asking, which name nothing.
PLAIN = frozenset(
    """a an the this that these those it its he she they we you i me my mine your yours our his her
    their them us him and or but if of in on at to for from with by about as into over under is are
    was were be been being am do does did done has have had can could will would shall should may
    might must not no yes what which who whom whose when where why how much many any some there
    here now then please tell say know want like remember remind forgot forget hear heard help let
    give name called thing one ones so too also just ever still again me s t m re ve ll d""".split()
)


@dataclass(frozen=True, kw_only=True)
class RouterConfig:
    """What is near enough.

    A question belongs to a lesson if the probability of a logistic score of the similarity, of the
    share of its naming words that the lesson has, and of the share of other words is at least
    `threshold`. The weights were fitted on held-out wordings against questions about other names
    and about other things (benchmarks/routing.py). A second lesson needs a similarity of `second`.
    """

    similarity: float = 14.1
    naming: float = 9.7
    wording: float = 0.2
    bias: float = -19.6
    threshold: float = 0.7
    second: float = 0.5
    margin: float = 0.02  # of probability, within which the newer lesson wins


@dataclass(frozen=True, kw_only=True)
class Known:
    """A live lesson as the router knows it.

    version: the adapter that holds it. created: seconds since 1970. questions: of its study;
    text: what it says. The words of both are the lesson's own.
    """

    lesson: str
    version: str
    created: float
    questions: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a question goes. versions, lessons: the best first, at most two."""

    versions: tuple[str, ...]
    lessons: tuple[str, ...]
    probability: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A lesson with its features for one question and the probability that follows."""

    known: Known
    similarity: float
    naming: float
    wording: float
    probability: float = 0.0


def words_of(text: str) -> list[str]:
    """Words in small letters; a plural or possessive s is dropped, so that forms meet."""
    found = []
    for word in WORD.findall(text.lower().replace("’", "'").replace("'s", "")):
        found.append(word[:-1] if len(word) > 3 and word.endswith("s") else word)
    return found


class Router:
    """Chooses among known lessons. Not safe for threads; `set` replaces what is known.

    encode: texts to unit vectors (N, D). common: words that many questions share (of the study's
    templates, of general prompts): they tell relations apart, but name nothing.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        common: Collection[str] = (),
        config: RouterConfig | None = None,
    ) -> None:
        self.encode = encode
        self.config = config or RouterConfig()
        self.common = PLAIN | {word for text in common for word in words_of(text)}
        self._known: dict[str, Known] = {}
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._words: dict[str, frozenset[str]] = {}

    def set(self, lessons: Iterable[Known]) -> None:
        """Know these lessons and no others; only new ones are embedded."""
        wanted = {known.lesson: known for known in lessons}
        for lesson in set(self._known) - set(wanted):
            del self._known[lesson], self._vectors[lesson], self._words[lesson]
        fresh = [k for k in wanted.values() if self._known.get(k.lesson) != k and k.questions]
        texts = [question for known in fresh for question in (*known.questions, known.text)]
        vectors = self.encode(texts) if texts else None
        place = 0
        for known in fresh:
            count = len(known.questions) + 1
            assert vectors is not None
            self._known[known.lesson] = known
            self._vectors[known.lesson] = vectors[place : place + count]
            self._words[known.lesson] = frozenset(
                word for text in (*known.questions, known.text) for word in words_of(text)
            )
            place += count

    def choose(
        self,
        question: str,
        versions: Collection[str] | None = None,
        lessons: Collection[str] | None = None,
    ) -> Route | None:
        """The lessons and versions for a question, or None: then the base answers.

        versions, lessons: those that may be chosen; None = all.
        """
        ranked = self.rank(question, versions, lessons)
        if not ranked:
            return None
        top = ranked[0].probability - self.config.margin
        best = max(
            (c for c in ranked if c.probability >= top), key=lambda c: (c.naming, c.known.created)
        )
        chosen = [best]
        probability = best.probability
        second = self._second(question, best, ranked)
        if second is not None:
            chosen.append(second)
            together = replace(best, naming=1.0, wording=max(best.wording, second.wording))
            probability = self._probability(together)
        if probability < self.config.threshold:
            return None
        return Route(
            versions=tuple(dict.fromkeys(c.known.version for c in chosen)),
            lessons=tuple(c.known.lesson for c in chosen),
            probability=probability,
        )

    def rank(
        self,
        question: str,
        versions: Collection[str] | None = None,
        lessons: Collection[str] | None = None,
    ) -> list[Candidate]:
        """All candidates with their features, the likeliest first."""
        known = [
            each
            for each in self._known.values()
            if (versions is None or each.version in versions)
            and (lessons is None or each.lesson in lessons)
        ]
        if not known or not question.strip():
            return []
        vector = self.encode([question])[0]
        words = words_of(question)
        candidates = [self._judge(each, vector, words) for each in known]
        return sorted(candidates, key=lambda c: -c.probability)

    def _judge(self, known: Known, vector: NDArray[np.float32], words: Sequence[str]) -> Candidate:
        own = self._words[known.lesson]
        naming = [word for word in words if word not in self.common]
        other = [word for word in words if word in self.common and word not in PLAIN]
        candidate = Candidate(
            known=known,
            similarity=float((self._vectors[known.lesson] @ vector).max()),
            naming=_share(naming, own),
            wording=_share(other, own),
        )
        return replace(candidate, probability=self._probability(candidate))

    def _probability(self, candidate: Candidate) -> float:
        c = self.config
        score = c.bias + c.similarity * candidate.similarity
        score += c.naming * candidate.naming + c.wording * candidate.wording
        return 1 / (1 + math.exp(-score))

    def _second(
        self, question: str, best: Candidate, ranked: Sequence[Candidate]
    ) -> Candidate | None:
        """Another version's lesson that has all the naming words which the best one lacks."""
        own = self._words[best.known.lesson]
        naming = {word for word in words_of(question) if word not in self.common}
        missing = naming - own
        if not missing or not naming & own:
            return None
        others = [
            candidate
            for candidate in ranked
            if candidate.known.version != best.known.version
            and candidate.similarity >= self.config.second
            and missing <= self._words[candidate.known.lesson]
        ]
        return others[0] if others else None


def _share(words: Sequence[str], own: Collection[str]) -> float:
    """The share of words that are the lesson's own; 1 if there are none to judge by."""
    return sum(word in own for word in words) / len(words) if words else 1.0
