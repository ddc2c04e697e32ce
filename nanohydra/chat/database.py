"""The journal's database file: its tables, its transactions, and what can be wrong with it.

Write-ahead logging lets readers go on while one writes, also from other processes.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from nanohydra.core.errors import UserError
from nanohydra.core.sqlite import use_wal

SCHEMA_VERSION = 1
BUSY_SECONDS = 10.0

METADATA = sa.MetaData()
CONVERSATIONS = sa.Table(
    "conversations",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False, index=True),
    sa.Column("settings", sa.Text, nullable=False),
)
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column(
        "conversation_id",
        sa.Text,
        sa.ForeignKey(CONVERSATIONS.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("meta", sa.Text, nullable=False),
    sa.Column("folded", sa.Text, nullable=False),  # case-folded content: LIKE folds ASCII alone
)


class Database:
    """An SQLite file with the journal's tables, made if it is not there.

    Raises UserError, from any method, if the file is damaged, is something else, comes from a
    newer version or cannot be used; the file is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            exists = path.is_file() and path.stat().st_size > 0
        except OSError as error:
            raise UserError(f"cannot use {path}: {error}") from error
        if exists:
            self._check()
        url = sa.URL.create("sqlite", database=str(path))
        self._engine = sa.create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)
        with self.write() as connection:
            METADATA.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

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
                raise self._damaged(problem) from error
            if "locked" in problem:
                raise UserError(
                    f"{self.path} has been locked by another program for {BUSY_SECONDS:g} s; "
                    "end that program, or try again"
                ) from error
            raise UserError(f"cannot use {self.path}: {problem}") from error

    def _check(self) -> None:
        """Refuse a file that is not a whole journal of a version that we know; only reads it."""
        with self._explained(), contextlib.closing(sqlite3.connect(self.path)) as connection:

            def ask(question: str) -> Any:
                return connection.execute(question).fetchone()[0]

            version = ask("PRAGMA user_version")
            if version == 0 and ask("SELECT count(*) FROM sqlite_master"):
                raise UserError(
                    f"{self.path} is a database of another program; choose another file"
                )
            if version > SCHEMA_VERSION:
                raise UserError(
                    f"{self.path} was written by a newer nanohydra (schema {version}, this one "
                    f"knows {SCHEMA_VERSION}); update nanohydra, or choose another file"
                )
            if (found := ask("PRAGMA quick_check(1)")) != "ok":
                raise self._damaged(found)

    def _damaged(self, problem: str) -> UserError:
        return UserError(
            f"{self.path} is damaged and was left as it is ({problem}); move it away to start "
            "with an empty journal, or restore a backup"
        )


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    """Set up a new connection of the pool."""
    connection.isolation_level = None  # or the driver begins transactions of its own
    use_wal(connection, BUSY_SECONDS)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: upgrading a read lock later can fail at any moment."""
    connection.exec_driver_sql(connection.info["begin"])
