"""The tables of learning.db, where several processes meet; others keep tables in the same file.

What was deleted is overwritten on disk.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from nanohydra.core import sqlite
from nanohydra.core.owners import OWNER

SCHEMA_VERSION = 2  # since 2 jobs and the ledger have owners

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
    sa.Column("owner", sa.Text, nullable=False, server_default=OWNER),
)
SEEN = sa.Table(  # which version was trained on which lesson
    "seen",
    METADATA,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("lesson", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),  # "new", "replay" or "unproven"
    sa.Index("seen_by_lesson", "lesson"),
)
STUDIES = sa.Table(  # what was made of a lesson: training data, and the router's keys
    "studies",
    METADATA,
    sa.Column("lesson", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("item", sa.Text, nullable=False),
)
VECTORS = sa.Table(  # what the router compares questions with
    "router_vectors",
    METADATA,
    sa.Column("lesson", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("vectors", sa.LargeBinary, nullable=False),
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
    sa.Column("owner", sa.Text, nullable=False, server_default=OWNER),
    sqlite_autoincrement=True,  # an id never comes again, so readers may go on after the last
)
LEDGER_OF_OWNER = sa.Index("ledger_of_owner", LEDGER.c.owner, LEDGER.c.id)
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("rating", sa.Integer, nullable=False),
    sa.Column("details", sa.Text, nullable=False),  # JSON object
)


class Database(sqlite.Database):
    """The file with the tables above, made if it is not there.

    Raises UserError, from any method, if the file is damaged, is no database, comes from a newer
    version or stays locked; the file is left as it is.
    """

    busy_seconds = 20.0
    pragmas = ("secure_delete = ON",)

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self.write() as connection:
            METADATA.create_all(connection)
            version = connection.scalar(sa.select(SCHEMA.c.version))
            if version is None:
                connection.execute(SCHEMA.insert().values(version=SCHEMA_VERSION))
                return
            self.refuse_newer(version, SCHEMA_VERSION)
            if version < 2:
                for table in (JOBS, LEDGER):
                    self.add_owner(connection, table.name)
                LEDGER_OF_OWNER.create(connection)
                connection.execute(SCHEMA.update().values(version=SCHEMA_VERSION))
