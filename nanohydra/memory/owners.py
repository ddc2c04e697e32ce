"""The vector index of each owner, brought up to the state of the database before it is asked.

New embeddings and the log of removed passages are numbered in the order of commits, so following
another process costs what has changed since, and nothing if nothing has.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from nanohydra.memory.database import EMBEDDINGS, PASSAGES, REMOVED
from nanohydra.memory.embedders import Vectors
from nanohydra.memory.vectors import VectorIndex, make_index

MAX_OWNERS = 256  # indexes held at once; those unused longest are dropped and read again


@dataclass
class _Owned:
    """An index and the numbers up to which it knows what was added and removed."""

    index: VectorIndex
    added: int = 0
    removed: int = 0


class OwnerIndexes:
    """Indexes by owner for the vectors of one embedder. Safe for threads."""

    def __init__(self, embedder: str, dimension: int) -> None:
        self._embedder = embedder
        self._dimension = dimension
        self._owned: OrderedDict[str, _Owned] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self, connection: sa.Connection, owner: str, vector: Vectors, limit: int
    ) -> list[tuple[int, float]]:
        """The owner's nearest passages (id, similarity), the best first."""
        with self._lock:
            return self._current(connection, owner).search(vector, limit)

    def similarities(self, owner: str, ids: list[int], vector: Vectors) -> dict[int, float]:
        """The similarities of some of the owner's passages, as of the last search."""
        with self._lock:
            owned = self._owned.get(owner)
            if owned is None:
                return {}
            found = ((id, owned.index.similarity(id, vector)) for id in ids)
            return {id: similarity for id, similarity in found if similarity is not None}

    def _current(self, connection: sa.Connection, owner: str) -> VectorIndex:
        """The owner's index, having caught up with what the connection sees."""
        newest = connection.execute(
            sa.select(
                sa.select(sa.func.max(EMBEDDINGS.c.number)).scalar_subquery(),
                sa.select(sa.func.max(REMOVED.c.number)).scalar_subquery(),
            )
        ).one()
        added, removed = newest[0] or 0, newest[1] or 0
        if owner not in self._owned:
            # what was removed already is not among the embeddings any more
            self._owned[owner] = _Owned(make_index(self._dimension), removed=removed)
        self._owned.move_to_end(owner)
        if len(self._owned) > MAX_OWNERS:
            self._owned.popitem(last=False)
        owned = self._owned[owner]
        if added > owned.added:
            self._read_added(connection, owner, owned)
            owned.added = added
        if removed > owned.removed:
            self._read_removed(connection, owner, owned)
            owned.removed = removed
        return owned.index

    def _read_added(self, connection: sa.Connection, owner: str, owned: _Owned) -> None:
        query = (
            sa.select(EMBEDDINGS.c.passage_id, EMBEDDINGS.c.vector)
            .join(PASSAGES, PASSAGES.c.id == EMBEDDINGS.c.passage_id)
            .where(
                EMBEDDINGS.c.number > owned.added,
                EMBEDDINGS.c.embedder == self._embedder,
                PASSAGES.c.owner == owner,
            )
            .order_by(EMBEDDINGS.c.number)
        )
        rows = connection.execute(query).all()
        size = 4 * self._dimension
        rows = [row for row in rows if len(row.vector) == size]  # never trust a file's bytes
        ids = np.array([row.passage_id for row in rows], dtype=np.int64)
        vectors = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f4")
        owned.index.add(ids, vectors.reshape(-1, self._dimension).astype(np.float32))

    def _read_removed(self, connection: sa.Connection, owner: str, owned: _Owned) -> None:
        query = sa.select(REMOVED.c.passage_id).where(
            REMOVED.c.number > owned.removed, REMOVED.c.owner == owner
        )
        owned.index.remove(np.array(connection.scalars(query).all(), dtype=np.int64))
