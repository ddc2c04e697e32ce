"""The thread that embeds what has no embedding yet: the rest of long texts, another embedder's."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Sequence

import sqlalchemy as sa

from nanohydra.core.errors import UserError
from nanohydra.memory.database import EMBEDDINGS, PASSAGES, Database
from nanohydra.memory.embedders import Embedder
from nanohydra.memory.storage import insert_embeddings
from nanohydra.memory.types import embedded_text

RETRY_SECONDS = 2.0
log = logging.getLogger(__name__)


class EmbeddingWorker:
    """Runs while something waits for it. Each batch is stored alone, so a kill loses little.

    batch, characters: how many passages and characters one has at most, but for one passage alone.
    """

    def __init__(self, database: Database, embedder: Embedder, batch: int, characters: int) -> None:
        self._database = database
        self._embedder = embedder
        self._batch = batch
        self._characters = characters
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self) -> None:
        """Start the thread if there is work; to be called after new passages are committed."""
        with self._lock:
            if self._thread is None and self.pending():
                self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the batch at hand. What is left is done when the file is opened again."""
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def pending(self) -> int:
        """How many passages have no embedding of ours."""
        with self._database.read() as connection:
            missing = self._missing().subquery()
            return int(connection.scalar(sa.select(sa.func.count()).select_from(missing)) or 0)

    def work_for(self, source_ids: Sequence[str], seconds: float) -> None:
        """Embed the sources' passages in the caller's thread, at least one batch, then wake."""
        deadline = time.monotonic() + seconds
        last = 0
        query = self._missing().where(PASSAGES.c.source_id.in_(source_ids))
        while (last := self._embed(query, last)) and time.monotonic() < deadline:
            pass
        if last:
            self.wake()

    def _missing(self) -> sa.Select[tuple[int, str, str]]:
        done = sa.select(EMBEDDINGS.c.passage_id).where(
            EMBEDDINGS.c.embedder == self._embedder.name,
            EMBEDDINGS.c.passage_id == PASSAGES.c.id,
        )
        columns = PASSAGES.c.id, PASSAGES.c.title, PASSAGES.c.text
        return sa.select(*columns).where(~done.exists()).order_by(PASSAGES.c.id)

    def _run(self) -> None:
        last = 0  # passages up to here are done: looking at them for every batch would add up
        while not self._closing.is_set():
            try:
                last = self._embed(self._missing(), last)
                if not last and self._is_over():
                    return
            except UserError as error:  # locked for long, or the disk is full: that may pass
                log.warning("embedding goes on in %g s: %s", RETRY_SECONDS, error)
                self._closing.wait(RETRY_SECONDS)

    def _is_over(self) -> bool:
        """Whether nothing waits; looked at under the lock, or a wake meanwhile would be lost."""
        with self._lock:
            if not self.pending():
                self._thread = None
            return self._thread is None

    def _embed(self, query: sa.Select[tuple[int, str, str]], last: int) -> int:
        """Embed and store the query's first batch after passage `last`.

        Returns the last passage of the batch, 0 if there was none.
        """
        with self._database.read() as connection:
            query = query.where(PASSAGES.c.id > last).limit(self._batch)
            rows = connection.execute(query).all()
        if not rows:
            return 0
        ends = itertools.accumulate(len(row.text) for row in rows)
        rows = rows[: max(1, sum(end <= self._characters for end in ends))]
        vectors = self._embedder.encode([embedded_text(row.title, row.text) for row in rows])
        by_id = dict(zip((row.id for row in rows), vectors, strict=True))
        with self._database.write() as connection:
            still_there = sa.select(PASSAGES.c.id).where(PASSAGES.c.id.in_(by_id))
            ids = connection.scalars(still_there).all()
            insert_embeddings(connection, self._embedder.name, ids, (by_id[id] for id in ids))
        return int(rows[-1].id)
