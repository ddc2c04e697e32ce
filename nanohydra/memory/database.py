"""Memory's tables in a shared SQLite file: sources, passages, their words and their embeddings.

Other tables of the file, and its user_version, belong to others and are left alone. What was
deleted is logged by passage id, so that other processes can follow.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from nanohydra.core import sqlite

SCHEMA_VERSION = 1
SCRUB_SECONDS = 0.25  # wait for readers of the old state; else the next one scrubs

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


class Database(sqlite.Database):
    """The file, made if it is not there, with memory's tables in it.

    Raises UserError, from any method, if the file is damaged, comes from a newer version or cannot
    be used, or if this Python's SQLite lacks FTS5.
    """

    remedy = "restore a backup, or move it away to start with an empty memory"
    # what is unlearned leaves no bytes behind; REPLACE would not fire the triggers otherwise
    pragmas = ("secure_delete = ON", "recursive_triggers = ON")

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self.write() as connection:
            METADATA.create_all(connection)
            for statement in TRIGGERED:
                connection.exec_driver_sql(statement)
            self._check_version(connection)

    def scrub(self) -> None:
        """Let the bytes of what was deleted vanish from the file, as far as readers allow."""
        with self.write() as connection:
            connection.exec_driver_sql("INSERT INTO memory_words(memory_words) VALUES('optimize')")
        self.truncate_log(SCRUB_SECONDS)

    def _check_version(self, connection: sa.Connection) -> None:
        query = sa.select(SETTINGS.c.value).where(SETTINGS.c.key == "schema")
        found = connection.scalar(query)
        if found is None:
            connection.execute(SETTINGS.insert().values(key="schema", value=str(SCHEMA_VERSION)))
        else:
            self.refuse_newer(int(found), SCHEMA_VERSION)
