"""Memory: add a text, find its passages by words and by meaning a moment later, forget it.

Passages and their embeddings live in one SQLite file that several processes share. Knows nothing of
prompts and models that answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from nanohydra.core.errors import UserError
from nanohydra.memory import catalog, storage
from nanohydra.memory.chunking import ChunkConfig, split_passages
from nanohydra.memory.database import SOURCES, Database
from nanohydra.memory.embedders import Embedder
from nanohydra.memory.owners import OwnerIndexes
from nanohydra.memory.ranking import Calibration, Evidence, calibration_of, evidence_of, fuse
from nanohydra.memory.text import clean_text
from nanohydra.memory.types import Hit, Passage, Source, SourceInfo
from nanohydra.memory.words import query_words
from nanohydra.memory.worker import EmbeddingWorker

SCRUB_LIMIT = 20_000  # passages; above it the keyword index forgets bytes as it merges, not at once
MAX_QUERY = 1_000  # characters; of a longer query its two ends, where questions stand, are searched


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """How texts are cut and what counts as found.

    eager_seconds: how long `add` goes on embedding; the rest of a long text gets its embeddings in
    the background, and is found by its words until then. batch: passages embedded at a time, and
    batch_characters what they may come to, but for one alone.
    candidates: taken from either ranking.
    calibration, threshold: the score and its least value for a hit; None for what was measured for
    the embedder. For another model, benchmarks/memory.py fits the calibration.
    """

    chunk: ChunkConfig = field(default_factory=ChunkConfig)
    eager_seconds: float = 0.4
    batch: int = 32
    batch_characters: int = 2000
    candidates: int = 30
    calibration: Calibration | None = None
    threshold: float | None = None
    max_characters: int = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A passage that was considered, with what speaks for it.

    order: the fused score. by_words, by_meaning: its place in either ranking, from 1, or None.
    """

    row: catalog.Row
    evidence: Evidence
    order: float
    by_words: int | None
    by_meaning: int | None


class Memory:
    """The passages of all owners in a database file; safe for threads and for processes.

    database: a path, or the SQLAlchemy engine of an SQLite file, whose path alone is used.
    """

    def __init__(
        self,
        database: Path | str | sa.Engine,
        embedder: Embedder,
        config: MemoryConfig | None = None,
    ) -> None:
        self.embedder = embedder
        self.config = config or MemoryConfig()
        self.calibration = self.config.calibration or calibration_of(embedder.name)
        self._database = Database(_path_of(database))
        self._indexes = OwnerIndexes(embedder.name, embedder.dimension)
        self._worker = EmbeddingWorker(
            self._database, embedder, self.config.batch, self.config.batch_characters
        )
        self._worker.wake()

    def close(self) -> None:
        """Stop embedding, which goes on at the next start, and let go of the file."""
        self._worker.close()
        self._database.close()

    def add(self, source: Source) -> int:
        """Remember a text; returns its number of passages. It can be found when this returns.

        A source of the same id and owner is replaced. Raises UserError for a blank text, one that
        is too long, and an id of another owner's.
        """
        return self.add_all([source])[0]

    def add_all(self, sources: Sequence[Source]) -> list[int]:
        """Remember several texts, all or, where `add` would raise for one, none."""
        cut = [self._cut(source) for source in sources]
        replaced = False
        with self._database.write() as connection:
            for source, (title, passages) in zip(sources, cut, strict=True):
                if storage.owner_of(connection, source.id) not in (None, source.owner):
                    raise UserError(f"there is a source {source.id!r} already; choose another id")
                replaced |= storage.delete_source(connection, source.id)
                storage.insert_source(connection, source, title, passages)
        # From here on they are found by their words; by meaning, short texts before we return.
        self._worker.work_for([source.id for source in sources], self.config.eager_seconds)
        if replaced:
            self._scrub()
        return [len(passages) for _, passages in cut]

    def _cut(self, source: Source) -> tuple[str, list[Passage]]:
        """A source's title and passages. Raises UserError for one that cannot be taken."""
        if len(source.text) > self.config.max_characters:
            raise UserError(
                f"{source.title or source.id!r} has {len(source.text):,} characters; the limit is "
                f"{self.config.max_characters:,}: split it"
            )
        text, title = clean_text(source.text), " ".join(clean_text(source.title).split())
        passages = split_passages(text, self.config.chunk)
        if not passages:
            raise UserError(f"{source.title or source.id!r} has no text to remember")
        return title, passages

    def remove(self, source_id: str) -> bool:
        """Forget a source, also its bytes in the file; False if there is none of that id."""
        with self._database.write() as connection:
            if not storage.delete_source(connection, source_id):
                return False
        self._scrub()
        return True

    def _scrub(self) -> None:
        """Let the bytes of what was forgotten vanish, unless that takes long."""
        if self.count() < SCRUB_LIMIT:
            self._database.scrub()

    def search(self, query: str, *, owner: str, limit: int = 4) -> list[Hit]:
        """The owner's passages that are near the query, the best first; none if nothing is near."""
        least = self.config.threshold
        least = self.calibration.threshold if least is None else least
        hits = []
        for candidate in self.candidates(query, owner=owner):
            probability = self.calibration.probability(candidate.evidence)
            if probability >= least:
                hits.append(_hit(candidate, probability))
        hits.sort(key=lambda hit: -hit.score)  # equals stay in the order of the fused ranks
        return hits[: max(0, limit)]

    def candidates(self, query: str, *, owner: str) -> list[Candidate]:
        """What `search` chooses from, by fused rank: the basis of measurements."""
        query = clean_text(query).strip()
        if len(query) > MAX_QUERY:
            query = f"{query[: MAX_QUERY // 2]}\n{query[-MAX_QUERY // 2 :]}"
        if not query:
            return []
        words = query_words(query, self.embedder.is_common)
        vector = self.embedder.encode([query])[0]
        wanted = self.config.candidates
        with self._database.read() as connection:
            by_words = catalog.rank_by_words(connection, words, owner, wanted)
            nearest = self._indexes.search(connection, owner, vector, wanted)
            rows = catalog.read_rows(connection, {*by_words, *(i for i, _ in nearest)}, owner)
            statistics = catalog.word_statistics(connection, words, owner, rows)
            total = catalog.count_passages(connection, owner)
        near = self._indexes.similarities(owner, list(rows), vector)
        evidence = {id: evidence_of(id, near.get(id), statistics, total) for id in rows}
        rare = sorted((i for i in rows if evidence[i].rare), key=lambda i: -evidence[i].rare)
        by_meaning = [id for id, _ in nearest]
        scores = fuse([by_words, by_meaning, rare])
        places = [{id: place for place, id in enumerate(r, 1)} for r in (by_words, by_meaning)]
        found = [
            Candidate(
                row=row, evidence=evidence[id], order=scores[id],
                by_words=places[0].get(id), by_meaning=places[1].get(id),
            )
            for id, row in rows.items()
        ]  # fmt: skip
        return sorted(found, key=lambda c: (-c.order, -c.row.id))  # the newer one of equals

    def sources(self, owner: str) -> list[SourceInfo]:
        """What an owner has, the newest first."""
        query = sa.select(SOURCES).where(SOURCES.c.owner == owner)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(SOURCES.c.added.desc(), SOURCES.c.id)).all()
        return [SourceInfo(**row._mapping) for row in rows]

    def count(self, owner: str | None = None) -> int:
        """How many passages there are, of one owner or of all."""
        with self._database.read() as connection:
            return catalog.count_passages(connection, owner)

    def pending(self) -> int:
        """How many passages have no embedding yet and are found by their words alone."""
        return self._worker.pending()


def _hit(candidate: Candidate, probability: float) -> Hit:
    row, evidence = candidate.row, candidate.evidence
    return Hit(
        source_id=row.source_id, title=row.title, text=row.text, start=row.start, end=row.end,
        score=probability, keyword=evidence.keyword, similarity=evidence.similarity,
        kind=row.kind, added=row.added,
    )  # fmt: skip


def _path_of(database: Path | str | sa.Engine) -> Path:
    """The file of a path or of an engine. Raises UserError for what is not an SQLite file."""
    if not isinstance(database, sa.Engine):
        return Path(database)
    name = database.url.database
    if database.dialect.name != "sqlite" or name in (None, "", ":memory:"):
        raise UserError(f"memory needs an SQLite file, not {database.url}")
    return Path(str(name))
