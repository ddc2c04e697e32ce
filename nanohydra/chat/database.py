"""The journal's database file: its tables, and what is checked before it is used."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from nanohydra.core import sqlite
from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER

SCHEMA_VERSION = 2  # since 2 conversations have owners

METADATA = sa.MetaData()
CONVERSATIONS = sa.Table(
    "conversations",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False, index=True),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, server_default=OWNER),
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


class Database(sqlite.Database):
    """An SQLite file with the journal's tables, made if it is not there.

    Raises UserError, from any method, if the file is damaged, is something else, comes from a
    newer version or cannot be used; the file is left as it is.
    """

    remedy = "move it away to start with an empty journal, or restore a backup"
    pragmas = ("foreign_keys = ON",)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if path.is_file() and path.stat().st_size > 0:
            self._check()
        with self.write() as connection:
            METADATA.create_all(connection)
            if connection.exec_driver_sql("PRAGMA user_version").scalar() == 1:
                self.add_owner(connection, CONVERSATIONS.name)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _prepare(self, connection: sqlite3.Connection, record: object) -> None:
        super()._prepare(connection, record)
        connection.create_function("casefold", 1, str.casefold, deterministic=True)

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
            self.refuse_newer(version, SCHEMA_VERSION)
            if (found := ask("PRAGMA quick_check(1)")) != "ok":
                raise self.damaged(found)
