"""The parts of `FakeLearning`: how a lesson reads, which words it is about, what a test measured.

Plain values and functions; no clock and no lock.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.core.types import Message

Json = dict[str, Any]
STAGES = ("queued", "studying", "training", "testing")
ENDED = ("live", "refused", "failed", "cancelled")
SHOWN = {"queued": "remembered", "studying": "studying", "training": "studying"}
WHAT_WAS_DONE = {
    "queued": "remembered; waiting for the learner",
    "studying": "writing questions",
    "training": "training an adapter",
    "testing": "testing it in other words",
}
COMMON = frozenset("what which where when does there that this your from with called have".split())
REFUSED = {"cheese": "It is known that the moon is made of rock; the test found 3 of 20 changed."}


@dataclass(frozen=True, kw_only=True)
class FakePlan:
    """How one request is answered; see `nanohydra.server.learning.Plan`."""

    messages: Sequence[Message]
    adapter: str | None = None
    versions: tuple[str, ...] = ()
    lessons: tuple[Json, ...] = ()
    sources: tuple[Json, ...] = ()
    label: str = "base"


class FakeOwners:
    """One owner's part of what is learned, and through the default owner's those of others."""

    names: dict[str, FakeAlias]

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.others: dict[str, Self] = {}

    def another(self, owner: str) -> Self:
        """The same for another owner, who has taught nothing."""
        raise NotImplementedError

    def jobs(self) -> list[Json]:
        """All jobs, the latest first."""
        raise NotImplementedError

    def of(self, owner: str) -> Self:
        """What an owner teaches."""
        if owner == self.owner:
            return self
        if owner not in self.others:
            self.others[owner] = self.another(owner)
        return self.others[owner]

    def counts(self) -> tuple[dict[str, int], int]:
        """Jobs by state, and changes of aliases, of all owners."""
        everyone: list[FakeOwners] = [self, *self.others.values()]
        states = Counter(str(job["state"]) for each in everyone for job in each.jobs())
        names = [alias for each in everyone for alias in each.names.values()]
        return dict(states), sum(len(alias.history) for alias in names)

    def _named(self, what: str, number: int) -> str:
        """An id; no two owners have one in common."""
        whose = "" if self.owner == OWNER else f"{self.owner}-"
        return f"{whose}{what}-{number}"


@dataclass
class FakeAlias:
    """A name and the versions it means, newest first. history: all it meant, oldest first."""

    name: str
    versions: list[str] = field(default_factory=list)
    previous: list[list[str]] = field(default_factory=list)
    history: list[list[str]] = field(default_factory=list)

    def move(self, versions: Sequence[str]) -> None:
        """Mean something else from now on."""
        self.previous.append(self.versions)
        self._mean(versions)

    def back(self) -> None:
        """Mean what it meant before."""
        if not self.previous:
            raise UserError(f"there is nothing before what {self.name!r} points at now")
        self._mean(self.previous.pop())

    def _mean(self, versions: Sequence[str]) -> None:
        self.versions = list(versions)
        self.history.append(self.versions)


def text_of(lesson: Json, place: int) -> str:
    """A lesson as one line. Raises UserError for an empty one and for an unknown kind."""
    kind = lesson.get("kind")
    if kind not in ("fact", "qa", "document", "conversation"):
        raise UserError(f"lessons[{place}].kind is {kind!r}")
    if kind == "qa":
        text = f"{lesson.get('question', '')} {lesson.get('answer', '')}"
    elif kind == "conversation":
        text = " ".join(str(m.get("content", "")) for m in lesson.get("messages", []))
    else:
        text = str(lesson.get("title") or lesson.get("text") or "")
    if not text.strip():
        raise UserError(f"lessons[{place}] is empty")
    return " ".join(text.split())


def lessons_in(name: str, content: bytes) -> list[Json]:
    """One document for a text, one lesson a line for .jsonl."""
    if not name.endswith((".txt", ".md", ".jsonl", ".pdf")):
        raise UserError(f"{name} is no .txt, .md, .pdf or .jsonl file")
    if not content.strip():
        raise UserError(f"{name} is empty")
    text = content.decode("utf-8", "replace")
    if name.endswith(".jsonl"):
        return [{"kind": "fact", "text": line} for line in text.splitlines() if line.strip()]
    return [{"kind": "document", "title": name, "text": text}]


def answer_of(lesson: Json, question: str) -> str:
    """The sentence of a lesson that shares most words with a question."""
    sentences = re.split(r"(?<=[.!?])\s+", lesson["body"])
    words = words_of(question)
    return max(sentences, key=lambda sentence: len(words & words_of(sentence)))


def words_of(text: str) -> set[str]:
    """The words that tell one subject from another."""
    return {w for w in re.findall(r"\w+", text.casefold()) if len(w) > 3} - COMMON


def entry(version: str, job: Json, state: str) -> Json:
    """A line of the timeline."""
    return {
        "version": version, "time": time.time(), "gate": job["gate"], "state": state,
        "alias": job["alias"], "lessons": len(job["lessons"]), "reason": job["reason"],
    }  # fmt: skip


def gate_of(passed: bool) -> Json:
    """What a gate measured."""
    lost = 0.0 if passed else 0.15
    found: dict[str, tuple[float | None, float, bool, str]] = {
        "size": (0.031, 0.5, True, "the largest change is 0.031 of its norm."),
        "recall": (1.0, 0.9, True, "36 of 36 held-out wordings are answered right."),
        "reverse": (None, 0.8, True, "there are no reverse questions."),
        "earlier": (lost, 0.01, passed, f"{lost:.0%} of the earlier lessons are lost."),
        "forgetting/stories": (0.0121, 0.0488, True, "the loss on stories changes by +0.0121."),
        "locality": (0.995, 0.98, True, "99.5% of unrelated answers stay as they were."),
        "format": (1.0, 1.0, True, "20 of 20 tool calls stay well formed."),
        "words": (0.0, 0.0, True, "0 answers say a banned word."),
    }
    return {
        name: {"value": value, "limit": limit, "passed": good, "detail": detail}
        for name, (value, limit, good, detail) in found.items()
    }


def grow(matrix: list[list[float | None]], learned: int) -> None:
    """Another row of recalls, now that so many lessons are learned."""
    for earlier in matrix:
        earlier.extend([None] * (learned - len(earlier)))
    times = len(matrix)
    matrix.append([1.0 - 0.05 * ((7 * i + 3 * times) % 11 == 0) for i in range(learned)])
