"""Changes to memory's tables: a source with its passages comes and goes as a whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects.sqlite import insert

from nanohydra.memory.database import EMBEDDINGS, PASSAGES, SOURCES
from nanohydra.memory.types import Passage, Source


def owner_of(connection: sa.Connection, source_id: str) -> str | None:
    """Whose source this is, None if there is none."""
    return connection.scalar(sa.select(SOURCES.c.owner).where(SOURCES.c.id == source_id))


def insert_source(
    connection: sa.Connection, source: Source, title: str, passages: Sequence[Passage]
) -> None:
    """Store a source and its passages; a trigger indexes their words."""
    connection.execute(
        SOURCES.insert().values(
            id=source.id, owner=source.owner, title=title, kind=source.kind, added=time.time(),
            num_passages=len(passages),
        )
    )  # fmt: skip
    connection.execute(
        PASSAGES.insert(),
        [
            {
                "source_id": source.id, "owner": source.owner, "start": p.start,
                "end": p.end, "title": title, "text": p.text,
            }
            for p in passages
        ],
    )  # fmt: skip


def insert_embeddings(
    connection: sa.Connection,
    embedder: str,
    ids: Sequence[int],
    vectors: Iterable[NDArray[np.float32]],
) -> None:
    """Store vectors of passages; one that another process has stored meanwhile stays."""
    rows = [
        {"passage_id": id, "embedder": embedder, "vector": vector.astype("<f4").tobytes()}
        for id, vector in zip(ids, vectors, strict=True)
    ]
    if rows:
        connection.execute(insert(EMBEDDINGS).on_conflict_do_nothing(), rows)


def delete_source(connection: sa.Connection, source_id: str) -> bool:
    """Delete a source; triggers delete its words and embeddings and log what went."""
    connection.execute(PASSAGES.delete().where(PASSAGES.c.source_id == source_id))
    return connection.execute(SOURCES.delete().where(SOURCES.c.id == source_id)).rowcount > 0
