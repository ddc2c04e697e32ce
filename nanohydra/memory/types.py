"""The values of memory: a source that is remembered, a passage of it, and a hit with its span."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A text to remember.

    id: chosen by the caller, unique among all owners; adding it again replaces what was there.
    owner: who may find it. title: how it is cited; searched as well, may be empty.
    kind: a word of the caller's, given back with every hit.
    """

    id: str
    owner: str
    title: str
    text: str
    kind: str = "document"


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A piece of a text: `text == whole[start:end]`, counted in Unicode characters."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that was found, with what is needed to cite it.

    start, end: the span in the source's text. score: the estimated probability that the passage is
    about the query. similarity: the cosine of the two embeddings, or None while the passage has
    none yet. keyword: whether a word of the query stands in the passage or in its title.
    added: when the source was remembered, in seconds since 1970.
    """

    source_id: str
    title: str
    text: str
    start: int
    end: int
    score: float
    keyword: bool
    similarity: float | None
    kind: str
    added: float


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of a remembered source without its text."""

    id: str
    owner: str
    title: str
    kind: str
    added: float
    num_passages: int


def embedded_text(title: str, text: str) -> str:
    """What is embedded of a passage: the title says what "it" is in the middle of a document."""
    return f"{title}\n{text}" if title else text
