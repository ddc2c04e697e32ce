"""The tables of learning.db and its transactions; other packages keep tables in the same file.

Several processes meet here. Write-ahead logging lets readers go on while one writes, a writer takes
the lock at once, and what was deleted is overwritten on disk.
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
BUSY_SECONDS = 20.0

METADATA = sa.MetaData()
SCHEMA = sa.Table("learning_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
LESSONS = sa.Table(
    "lessons",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON; "null" once deleted
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("flags", sa.Text, nullable=False),  # JSON list
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("position", sa.Integer, nullable=False, unique=True),  # in the order of adding
    sa.Index("lessons_of_alias", "alias", "state", "position"),
)
JOBS = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("lessons", sa.Text, nullable=False),  # JSON list of ids
    sa.Column("details", sa.Text, nullable=False),  # JSON object of the submitter
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("position", sa.Integer, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("gate", sa.Text, nullable=False),  # JSON object
    sa.Column("version", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("cancelling", sa.Boolean, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.Float, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
)
SEEN = sa.Table(  # which version was trained on which lesson
    "seen",
    METADATA,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("lesson", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),  # "new" or "replay"
    sa.Index("seen_by_lesson", "lesson"),
)
STUDIES = sa.Table(  # what was made of a lesson: training data, and the router's keys
    "studies",
    METADATA,
    sa.Column("lesson", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("item", sa.Text, nullable=False),
)
LEDGER = sa.Table(
    "ledger",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("job", sa.Text, index=True),
    sa.Column("lesson", sa.Text, index=True),
    sa.Column("version", sa.Text, index=True),
    sa.Column("details", sa.Text, nullable=False),  # JSON object
    sqlite_autoincrement=True,  # an id never comes again, so readers may go on after the last
)
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("rating", sa.Integer, nullable=False),
    sa.Column("details", sa.Text, nullable=False),  # JSON object
)


class Database:
    """The file with the tables above, made if it is not there.

    Raises UserError, from any method, if the file is damaged, is no database, comes from a newer
    version or stays locked; the file is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
        url = sa.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        with self.write() as connection:
            METADATA.create_all(connection)
            version = connection.scalar(sa.select(SCHEMA.c.version))
            if version is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
            elif version > SCHEMA_VERSION:
                raise UserError(
                    f"{path} was written by a newer nanohydra (schema {version}, this one knows "
                    f"{SCHEMA_VERSION}); update nanohydra, or choose another folder"
                )

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

    def truncate_log(self) -> None:
        """Move the write-ahead log into the file, so that no deleted text stays in it."""
        with self._explained(), self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

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
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            problem = str(getattr(error, "orig", None) or error)
            if "malformed" in problem or "not a database" in problem:
                raise UserError(
                    f"{self.path} is damaged and was left as it is ({problem}); move it away to "
                    "start anew, or restore a backup"
                ) from error
            if "locked" in problem:
                raise UserError(
                    f"{self.path} has been locked by another program for {BUSY_SECONDS:g} s; "
                    "end that program, or try again"
                ) from error
            raise UserError(f"cannot use {self.path}: {problem}") from error


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    """Set up a new connection of the pool."""
    connection.isolation_level = None  # or the driver begins transactions of its own
    # the first thing, as setting the mode may meet another process that does the same
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    use_wal(connection, BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: upgrading a read lock later can fail at any moment."""
    connection.exec_driver_sql(connection.info["begin"])
