"""Embeddings of what lessons are known by, kept so that a restart need not make them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from nanohydra.learn.store.tables import LESSONS, VECTORS, Database

Kept = tuple[str, bytes]


class Vectors:
    """The vectors of a learning home: of a lesson a key, which says of what they are, and bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def vectors(self, lesson_ids: Sequence[str]) -> dict[str, Kept]:
        """What is kept of these lessons, by their ids."""
        found: dict[str, Kept] = {}
        with self._database.read() as connection:
            for start in range(0, len(lesson_ids), 500):  # SQLite bounds the values of one query
                part = lesson_ids[start : start + 500]
                rows = connection.execute(VECTORS.select().where(VECTORS.c.lesson.in_(part)))
                found |= {row.lesson: (row.key, row.vectors) for row in rows}
        return found

    def keep_vectors(self, kept: Mapping[str, Kept]) -> None:
        """Keep these in place of what was kept of the same lessons; nothing of deleted ones."""
        ids = list(kept)
        with self._database.write() as connection:
            for start in range(0, len(ids), 500):
                part = ids[start : start + 500]
                there = LESSONS.c.id.in_(part) & (LESSONS.c.state != "deleted")
                alive = connection.scalars(sa.select(LESSONS.c.id).where(there)).all()
                connection.execute(VECTORS.delete().where(VECTORS.c.lesson.in_(part)))
                rows = [{"lesson": i, "key": kept[i][0], "vectors": kept[i][1]} for i in alive]
                if rows:
                    connection.execute(VECTORS.insert(), rows)
