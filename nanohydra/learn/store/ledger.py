"""Rows that are only ever added: what happened to lessons, jobs and versions, and feedback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from nanohydra.core.owners import OWNER
from nanohydra.learn.store.tables import FEEDBACK, JOBS, LEDGER, LESSONS, Database


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """One event. `time` is seconds since 1970; `details` are the numbers that belong to it."""

    id: int
    time: float
    event: str
    owner: str = OWNER
    job: str | None = None
    lesson: str | None = None
    version: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a user thought of an answer: rating 1, 0 or -1, and details such as which answer."""

    id: int
    time: float
    owner: str
    rating: int
    details: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The append-only part of a learning home. `clock` is for tests."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        event: str,
        *,
        owner: str | None = None,
        job: str | None = None,
        lesson: str | None = None,
        version: str | None = None,
        **details: Any,
    ) -> int:
        """Add a row; returns its id. `details` must be plain JSON types.

        owner: whose event it is; None = whose the job is, or else the lesson.
        Never put a lesson's words in it, except in rows that name the lesson: those are emptied
        when the lesson is deleted.
        """
        row = {"event": event, "job": job, "lesson": lesson, "version": version}
        with self._database.write() as connection:
            row["owner"] = owner or _owner_of(connection, job, lesson)
            done = connection.execute(
                LEDGER.insert().values(**row, time=self._clock(), details=json.dumps(details))
            )
            return int(done.lastrowid)

    def ledger(
        self,
        *,
        owner: str | None = None,
        event: str | None = None,
        job: str | None = None,
        lesson: str | None = None,
        version: str | None = None,
        after: int = 0,
        limit: int = 1000,
        newest: bool = False,
    ) -> list[LedgerRow]:
        """Rows that match all that is given, with ids above `after`.

        In the order of adding, or with `newest` the last first; `limit` counts from there.
        """
        order = LEDGER.c.id.desc() if newest else LEDGER.c.id
        query = LEDGER.select().where(LEDGER.c.id > after).order_by(order).limit(limit)
        wanted = {"owner": owner, "event": event, "job": job, "lesson": lesson, "version": version}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(LEDGER.c[name] == value)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [LedgerRow(**_plain(row)) for row in rows]

    def add_feedback(self, rating: int, *, owner: str = OWNER, **details: Any) -> int:
        """Keep what a user thought of an answer; returns its id."""
        assert rating in (-1, 0, 1), rating
        with self._database.write() as connection:
            done = connection.execute(
                FEEDBACK.insert().values(
                    time=self._clock(), owner=owner, rating=rating, details=json.dumps(details)
                )
            )
            return int(done.lastrowid)

    def feedback(self, *, owner: str | None = None, limit: int = 100) -> list[Feedback]:
        """Feedback, the newest first."""
        query = FEEDBACK.select().order_by(FEEDBACK.c.id.desc()).limit(limit)
        if owner is not None:
            query = query.where(FEEDBACK.c.owner == owner)
        with self._database.read() as connection:
            return [Feedback(**_plain(row)) for row in connection.execute(query)]


def _owner_of(connection: sa.Connection, job: str | None, lesson: str | None) -> str:
    for table, id in ((JOBS, job), (LESSONS, lesson)):
        found = connection.scalar(sa.select(table.c.owner).where(table.c.id == id)) if id else None
        if found is not None:
            return str(found)
    return OWNER


def _plain(row: sa.Row[Any]) -> dict[str, Any]:
    values = dict(row._mapping)
    return values | {"details": json.loads(values["details"])}
