"""Which lessons a question is about, or none: the decision that keeps the base what it was.

Every live lesson is known by its study questions. A question is near a lesson if one of them is
near in meaning (embeddings) and if the words that name things are the lesson's own: "Where does
Ana live?" is, in meaning alone, nearly the same question for every name. Knows nothing of models.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.files import sha256

Floats = NDArray[np.floating[Any]]
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
WORD = re.compile(r"[^\W_]+")
# a word with a capital after one without: "Where does Will live?"
CAPITAL = re.compile(r"\b[a-z][\w']*,? (?=([A-Z]\w+))")
FEW = 2  # lessons that may share a word which names a thing, or one in a hundred
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
    share of its naming words that the lesson has (of all but grammar's where it has no rare ones),
    and of the share of other words is at least
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


class Shelf(Protocol):
    """Keeps vectors for the next start: of a lesson a key that says what they are of, and bytes."""

    def vectors(self, lesson_ids: Sequence[str]) -> Mapping[str, tuple[str, bytes]]:
        """What is kept of these lessons."""

    def keep_vectors(self, kept: Mapping[str, tuple[str, bytes]]) -> None:
        """Keep these, in place of what was kept of the same lessons."""


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

    @property
    def texts(self) -> tuple[str, ...]:
        """All that questions are compared with."""
        return (*self.questions, self.text)


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
    probability: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Features of all L lessons for one question, each (L,), as in Candidate.

    names: what the question names, neighbouring words together. allowed_L: whether the lesson may
    be chosen.
    """

    names: tuple[frozenset[str], ...]
    similarity_L: Floats
    naming_L: Floats
    wording_L: Floats
    probability_L: Floats
    allowed_L: NDArray[np.bool_]


class Index:
    """What lessons are known by, arranged to be compared with a question all at once.

    known: the lessons, at their places. vectors_ND: of all their texts, those of a lesson together.
    """

    def __init__(self, known: Sequence[Known], vectors: Sequence[Floats]) -> None:
        self.known = known
        self.vectors_ND = np.concatenate(vectors)
        self.starts_L = np.cumsum([0, *map(len, vectors[:-1])])
        self.created_L = np.array([each.created for each in known])
        self.places: dict[str, list[int]] = {}  # word -> the lessons that have it
        for place, each in enumerate(known):
            for word in {word for text in each.texts for word in words_of(text)}:
                self.places.setdefault(word, []).append(place)

    def similarity(self, vector_D: Floats) -> Floats:
        """Of the text of each lesson that is most like a vector, (L,)."""
        return np.maximum.reduceat(self.vectors_ND @ vector_D, self.starts_L)

    def share(self, words: Sequence[str]) -> Floats:
        """The share of words that each lesson has, (L,); 1 if there are none to judge by."""
        if not words:
            return np.ones(len(self.known))
        count_L = np.zeros(len(self.known))
        for word in words:
            count_L[self.places.get(word, [])] += 1
        return count_L / len(words)


def words_of(text: str) -> list[str]:
    """Words in small letters; a plural or possessive s is dropped, so that forms meet."""
    found = []
    for word in WORD.findall(text.lower().replace("’", "'").replace("'s", "")):
        found.append(word[:-1] if len(word) > 3 and word.endswith("s") else word)
    return found


class Router:
    """Chooses among known lessons. Not safe for threads; `set` replaces what is known.

    encode: texts to unit vectors (N, D). common: words that many questions share (of the study's
    templates, of general prompts): they tell relations apart, but name nothing. shelf: keeps what
    was encoded; embedder: its name, as vectors of another are of no use.
    """

    def __init__(
        self,
        encode: Encode,
        *,
        common: Collection[str] = (),
        config: RouterConfig | None = None,
        shelf: Shelf | None = None,
        embedder: str = "",
    ) -> None:
        self.encode, self.shelf, self.embedder = encode, shelf, embedder
        self.config = config or RouterConfig()
        self.common = PLAIN | {word for text in common for word in words_of(text)}
        self._vectors: dict[Known, Floats] = {}
        self._index: Index | None = None

    def empty(self) -> Router:
        """Another one that judges in the same way and knows no lesson yet."""
        made = copy.copy(self)
        made._vectors, made._index = {}, None
        return made

    def set(self, lessons: Iterable[Known]) -> None:
        """Know these lessons and no others; only new ones are embedded."""
        wanted = [known for known in lessons if known.questions]
        if set(wanted) == set(self._vectors):
            return
        kept = {known: self._vectors[known] for known in wanted if known in self._vectors}
        kept |= self._read([known for known in wanted if known not in kept])
        kept |= self._embed([known for known in wanted if known not in kept])
        self._vectors = {known: kept[known] for known in wanted}
        self._index = Index(wanted, list(self._vectors.values())) if wanted else None

    def prepare(self, lessons: Iterable[Known]) -> None:
        """Embed what is new and put it on the shelf, for a `set` to come; safe from any thread."""
        wanted = [known for known in lessons if known.questions and known not in self._vectors]
        kept = self._read(wanted)
        self._embed([known for known in wanted if known not in kept])

    def _read(self, wanted: Sequence[Known]) -> dict[Known, Floats]:
        """Vectors from the shelf."""
        rows = self.shelf.vectors([known.lesson for known in wanted]) if self.shelf else {}
        return {
            known: np.frombuffer(rows[known.lesson][1], np.float32).reshape(len(known.texts), -1)
            for known in wanted
            if known.lesson in rows and rows[known.lesson][0] == self._key(known)
        }

    def _embed(self, wanted: Sequence[Known]) -> dict[Known, Floats]:
        """Vectors from the embedder, put on the shelf."""
        if not wanted:
            return {}
        vectors_ND = self.encode([text for known in wanted for text in known.texts])
        ends = np.cumsum([len(known.texts) for known in wanted])
        made = dict(zip(wanted, np.split(vectors_ND, ends[:-1]), strict=True))
        if self.shelf is not None:
            self.shelf.keep_vectors(
                {k.lesson: (self._key(k), v.astype(np.float32).tobytes()) for k, v in made.items()}
            )
        return made

    def _key(self, known: Known) -> str:
        return sha256(json.dumps([self.embedder, *known.texts]).encode())

    def choose(
        self,
        question: str,
        versions: Collection[str] | None = None,
        lessons: Collection[str] | None = None,
    ) -> Route | None:
        """The lessons and versions for a question, or None: then the base answers.

        versions, lessons: those that may be chosen; None = all.
        """
        scores, index = self._scores(question, versions, lessons), self._index
        if scores is None or index is None:
            return None
        top = scores.probability_L.max() - self.config.margin
        near: list[int] = np.flatnonzero(scores.probability_L >= top).tolist()
        best = max(near, key=lambda place: (scores.naming_L[place], index.created_L[place]))
        chosen, probability = [best], float(scores.probability_L[best])
        second = self._second(scores, index, best)
        if second is not None:
            chosen.append(second)
            wording = max(scores.wording_L[best], scores.wording_L[second])
            probability = float(self._probability(scores.similarity_L[best], 1.0, wording))
        if probability < self.config.threshold:
            return None
        found = [index.known[place] for place in chosen]
        return Route(
            versions=tuple(dict.fromkeys(known.version for known in found)),
            lessons=tuple(known.lesson for known in found),
            probability=probability,
        )

    def rank(
        self,
        question: str,
        versions: Collection[str] | None = None,
        lessons: Collection[str] | None = None,
    ) -> list[Candidate]:
        """All candidates with their features, the likeliest first."""
        scores, index = self._scores(question, versions, lessons), self._index
        if scores is None or index is None:
            return []
        order = np.argsort(-scores.probability_L, kind="stable")
        return [
            Candidate(
                known=index.known[place],
                similarity=float(scores.similarity_L[place]),
                naming=float(scores.naming_L[place]),
                wording=float(scores.wording_L[place]),
                probability=float(scores.probability_L[place]),
            )
            for place in order
            if scores.allowed_L[place]
        ]

    def _scores(
        self, question: str, versions: Collection[str] | None, lessons: Collection[str] | None
    ) -> Scores | None:
        index = self._index
        if index is None or not question.strip():
            return None
        allowed_L = np.array(
            [
                (versions is None or known.version in versions)
                and (lessons is None or known.lesson in lessons)
                for known in index.known
            ]
        )
        if not allowed_L.any():
            return None
        names = self._names(question)
        naming = [word for name in names for word in name]
        other = [w for w in words_of(question) if w in self.common and w not in PLAIN]
        similarity_L = index.similarity(self.encode([question])[0])
        # "What color is the house?": where no word is rare, all that are not grammar's name it
        naming_L, wording_L = index.share(naming or other), index.share(other)
        probability_L = self._probability(similarity_L, naming_L, wording_L)
        return Scores(
            names=tuple(map(frozenset, names)),
            similarity_L=similarity_L,
            naming_L=naming_L,
            wording_L=wording_L,
            probability_L=np.where(allowed_L, probability_L, -1.0),
            allowed_L=allowed_L,
        )

    def _names(self, question: str) -> list[list[str]]:
        """The words that name something, those of one name together: "the leva bell, in Fulby"."""
        capital = {match.start(1) for match in CAPITAL.finditer(question)}
        found: list[list[str]] = []
        end = 0  # of the name before
        for match in WORD.finditer(question):
            for word in words_of(match[0]):
                if word in self.common and not (word in PLAIN and match.start() in capital):
                    continue
                if not found or question[end : match.start()] not in (" ", "-"):
                    found.append([])
                found[-1].append(word)
                end = match.end()
        return found

    def _probability(self, similarity: Any, naming: Any, wording: Any) -> Any:
        """Of a lesson's features, or of many lessons' at once."""
        c = self.config
        score = c.bias + c.similarity * similarity + c.naming * naming + c.wording * wording
        return 1 / (1 + np.exp(-score))

    def _second(self, scores: Scores, index: Index, best: int) -> int | None:
        """Another version's lesson that has all the names which the best one lacks.

        Each of the two must bring a word that few lessons have, and no name is put together from
        both: "the mayor of Kilfield" is not asked of one lesson about any mayor and another about
        Kilfield, nor "the leva bell" of one about the gada bell and another about Leva.
        """
        has = {word: index.places.get(word, []) for name in scores.names for word in name}
        few = max(FEW, len(index.known) // 100)
        rare = {word for word in has if len(has[word]) <= few}
        own = [name for name in scores.names if all(best in has[word] for word in name)]
        lacks = [name for name in scores.names if name not in own]
        if not all(any(rare & name for name in names) for names in (own, lacks)):
            return None
        places = set.intersection(*(set(has[word]) for name in lacks for word in name))
        others = [
            place
            for place in places
            if scores.allowed_L[place]
            and index.known[place].version != index.known[best].version
            and scores.similarity_L[place] >= self.config.second
        ]
        return max(others, key=lambda place: scores.probability_L[place], default=None)
