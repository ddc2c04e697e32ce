"""Questions to the database about passages and their words; every one is about a single owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from nanohydra.memory.database import PASSAGES, SOURCES
from nanohydra.memory.ranking import WordStatistic
from nanohydra.memory.words import Word

# bm25 weighs the title less: every passage of a document has it. A CROSS JOIN keeps its order: the
# planner would rather go through the owner's passages and ask the index about each.
MATCHING = sa.text(
    """SELECT memory_words.rowid FROM memory_words
       CROSS JOIN memory_passages ON memory_passages.id = memory_words.rowid
       WHERE memory_words MATCH :match AND memory_passages.owner = :owner
       ORDER BY bm25(memory_words, 0.5, 1.0) LIMIT :limit"""
)
COUNTING = sa.text(
    """SELECT count(*) FROM (SELECT 1 FROM memory_words
       CROSS JOIN memory_passages ON memory_passages.id = memory_words.rowid
       WHERE memory_words MATCH :match AND memory_passages.owner = :owner LIMIT :limit)"""
)
# the plus keeps SQLite from asking the index once for each id, which is slow
HOLDING = sa.text(
    "SELECT rowid FROM memory_words WHERE memory_words MATCH :match AND +rowid IN :ids"
).bindparams(sa.bindparam("ids", expanding=True))
COUNT_LIMIT = 2_000  # beyond it a word is common, however many passages there are


@dataclass(frozen=True, kw_only=True)
class Row:
    """A passage as it is stored, with its source."""

    id: int
    source_id: str
    start: int
    end: int
    title: str
    text: str
    kind: str
    added: float


def count_passages(connection: sa.Connection, owner: str | None = None) -> int:
    """How many passages an owner has, or all owners together."""
    query = sa.select(sa.func.coalesce(sa.func.sum(SOURCES.c.num_passages), 0))
    if owner is not None:
        query = query.where(SOURCES.c.owner == owner)
    return int(connection.scalar(query) or 0)


def rank_by_words(
    connection: sa.Connection, words: Sequence[Word], owner: str, limit: int
) -> list[int]:
    """The ids of the passages with any of the words, the best by BM25 first."""
    if not words:
        return []
    match = " OR ".join(word.match for word in words)
    found = connection.execute(MATCHING, {"match": match, "owner": owner, "limit": limit})
    return [row[0] for row in found]


def word_statistics(
    connection: sa.Connection, words: Sequence[Word], owner: str, candidates: Iterable[int]
) -> list[WordStatistic]:
    """How many of the owner's passages have each word, and which of the candidates."""
    ids = list(candidates)
    statistics = []
    for word in words:
        asked = {"match": word.match, "owner": owner, "limit": COUNT_LIMIT}
        count = connection.scalar(COUNTING, asked) or 0
        found = connection.execute(HOLDING, {"match": word.match, "ids": ids}) if count else ()
        holders = frozenset(row[0] for row in found)
        statistics.append(WordStatistic(word.name, int(count), holders))
    return statistics


def read_rows(connection: sa.Connection, ids: Iterable[int], owner: str) -> dict[int, Row]:
    """The passages of these ids that the owner has."""
    query = (
        sa.select(PASSAGES, SOURCES.c.kind, SOURCES.c.added)
        .join(SOURCES, SOURCES.c.id == PASSAGES.c.source_id)
        .where(PASSAGES.c.id.in_(list(ids)), PASSAGES.c.owner == owner)
    )
    return {
        row.id: Row(
            id=row.id, source_id=row.source_id, start=row.start, end=row.end, title=row.title,
            text=row.text, kind=row.kind, added=row.added,
        )
        for row in connection.execute(query)
    }  # fmt: skip
