"""Memory's tables in a shared SQLite file: sources, passages, their words and their embeddings.

Write-ahead logging lets several processes read while one writes. Other tables of the file, and its
user_version, belong to others and are left alone. What was deleted is logged by passage id, so that
other processes can follow.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from nanohydra.core.errors import UserError
from nanohydra.core.sqlite import use_wal

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0
SCRUB_MILLISECONDS = 250  # wait for readers of the old state; else the next one scrubs

METADATA = sa.MetaData()
SETTINGS = sa.Table(
    "memory_settings",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
SOURCES = sa.Table(
    "memory_sources",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("added", sa.Float, nullable=False),
    sa.Column("num_passages", sa.Integer, nullable=False),
)
# The numbers of the next three are never used again (AUTOINCREMENT) and grow in the order of
# commits, as there is one writer at a time: "greater than the last one seen" is what is new.
PASSAGES = sa.Table(
    "memory_passages",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("source_id", sa.Text, nullable=False, index=True),
    sa.Column("owner", sa.Text, nullable=False, index=True),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("end", sa.Integer, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
EMBEDDINGS = sa.Table(
    "memory_embeddings",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("passage_id", sa.Integer, nullable=False),
    sa.Column("embedder", sa.Text, nullable=False),
    sa.Column("vector", sa.LargeBinary, nullable=False),  # little-endian float32
    sa.UniqueConstraint("passage_id", "embedder"),
    sqlite_autoincrement=True,
)
REMOVED = sa.Table(
    "memory_removed",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("passage_id", sa.Integer, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
# The index holds no text of its own; the triggers keep it and the log in step with the passages.
TRIGGERED = (
    """CREATE VIRTUAL TABLE IF NOT EXISTS memory_words USING fts5(title, text,
       content='memory_passages', content_rowid='id',
       tokenize='porter unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER IF NOT EXISTS memory_passage_added AFTER INSERT ON memory_passages BEGIN
       INSERT INTO memory_words(rowid, title, text) VALUES (new.id, new.title, new.text);
       END""",
    """CREATE TRIGGER IF NOT EXISTS memory_passage_removed AFTER DELETE ON memory_passages BEGIN
       INSERT INTO memory_words(memory_words, rowid, title, text)
       VALUES ('delete', old.id, old.title, old.text);
       DELETE FROM memory_embeddings WHERE passage_id = old.id;
       INSERT INTO memory_removed(passage_id, owner) VALUES (old.id, old.owner);
       END""",
)


class Database:
    """The file, made if it is not there, with memory's tables in it.

    Raises UserError, from any method, if the file is damaged, comes from a newer version or cannot
    be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot use {path}: {error}") from error
        url = sa.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        with self.write() as connection:
            METADATA.create_all(connection)
            for statement in TRIGGERED:
                connection.exec_driver_sql(statement)
            self._check_version(connection)

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that may change things; others that want to wait for it."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    def scrub(self) -> None:
        """Let the bytes of what was deleted vanish from the file, as far as readers allow."""
        with self.write() as connection:
            connection.exec_driver_sql("INSERT INTO memory_words(memory_words) VALUES('optimize')")
        with self._explained(), contextlib.closing(self._engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA busy_timeout = {SCRUB_MILLISECONDS}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as connection:
            connection.info["begin"] = begin
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What SQLite finds wrong becomes a UserError with the way out."""
        try:
            yield
        except (sa.exc.ProgrammingError, sa.exc.IntegrityError):
            raise  # a mistake of ours
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            problem = str(getattr(error, "orig", None) or error)
            if "malformed" in problem or "not a database" in problem:
                raise UserError(
                    f"{self.path} is damaged and was left as it is ({problem}); restore a backup, "
                    "or move it away to start with an empty memory"
                ) from error
            if "locked" in problem:
                raise UserError(
                    f"{self.path} has been locked by another program for {BUSY_SECONDS:g} s; "
                    "end that program, or try again"
                ) from error
            if "fts5" in problem:
                raise UserError(f"this Python's SQLite lacks FTS5 ({problem})") from error
            raise UserError(f"cannot use {self.path}: {problem}") from error

    def _check_version(self, connection: sa.Connection) -> None:
        query = sa.select(SETTINGS.c.value).where(SETTINGS.c.key == "schema")
        found = connection.scalar(query)
        if found is None:
            connection.execute(SETTINGS.insert().values(key="schema", value=str(SCHEMA_VERSION)))
        elif int(found) > SCHEMA_VERSION:
            raise UserError(
                f"the memory in {self.path} was written by a newer nanohydra (schema {found}, "
                f"this one knows {SCHEMA_VERSION}); update nanohydra, or choose another file"
            )


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    """Set up a new connection of the pool."""
    connection.isolation_level = None  # or the driver begins transactions of its own
    use_wal(connection, BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")  # what is unlearned leaves no bytes behind
    connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE would not fire them otherwise


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: upgrading a read lock later can fail at any moment."""
    connection.exec_driver_sql(connection.info["begin"])
