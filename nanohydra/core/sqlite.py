"""The SQLite files of the project: transactions across processes, and what can be wrong with them.

Write-ahead logging lets readers go on while one writes, a writer takes the lock at once, and what
SQLite finds wrong is said with the way out.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER


class Database:
    """An SQLite file for several processes, made if it is not there; subclasses add the tables.

    Raises UserError, from any method, if the file is damaged, is no database, stays locked for
    `busy_seconds` or cannot be used; the file is left as it is.
    """

    busy_seconds = 10.0
    remedy = "move it away to start anew, or restore a backup"  # what helps a damaged file
    pragmas: tuple[str, ...] = ()  # of each connection, beside those that all files have

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot use {path}: {error}") from error
        url = sa.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": self.busy_seconds})
        event.listen(self._engine, "connect", self._prepare)
        event.listen(self._engine, "begin", _begin)

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

    def truncate_log(self, seconds: float | None = None) -> None:
        """Move the write-ahead log into the file, so that no deleted text stays in it.

        Waits at most `seconds` for those who still read an older state; the next call moves what
        is left then.
        """
        with self._explained(), contextlib.closing(self._engine.raw_connection()) as raw:
            cursor = raw.cursor()
            if seconds is not None:
                cursor.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            cursor.execute(f"PRAGMA busy_timeout = {int(1000 * self.busy_seconds)}")

    def _prepare(self, connection: sqlite3.Connection, _: object) -> None:
        """Set up a new connection of the pool."""
        connection.isolation_level = None  # or the driver begins transactions of its own
        use_wal(connection, self.busy_seconds)
        for pragma in ("synchronous = NORMAL", *self.pragmas):
            connection.execute(f"PRAGMA {pragma}")

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
                raise self.damaged(problem) from error
            if "locked" in problem:
                raise UserError(
                    f"{self.path} has been locked by another program for {self.busy_seconds:g} s; "
                    "end that program, or try again"
                ) from error
            raise UserError(f"cannot use {self.path}: {problem}") from error

    def damaged(self, problem: str) -> UserError:
        """The error that says so."""
        return UserError(f"{self.path} is damaged and was left as it is ({problem}); {self.remedy}")

    def add_owner(self, connection: sa.Connection, table: str) -> None:
        """Give a table of an older file a column that says whose a row is: the default owner's."""
        column = f"owner TEXT NOT NULL DEFAULT '{OWNER}'"
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column}")

    def refuse_newer(self, found: int, known: int) -> None:
        """Raise UserError if the file's schema is newer than the one known here."""
        if found > known:
            raise UserError(
                f"{self.path} was written by a newer nanohydra (schema {found}, this one knows "
                f"{known}); update nanohydra, or choose another place"
            )


def use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch a file to write-ahead logging, waiting for others that are just doing the same.

    SQLite does not wait by itself for this: the switch fails at once where it meets another.
    Raises sqlite3.OperationalError when the file stays locked.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: upgrading a read lock later can fail at any moment."""
    connection.exec_driver_sql(connection.info["begin"])
