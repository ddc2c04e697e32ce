"""The queue of jobs: priorities, leases with a heartbeat, cancelling, taking up what was left.

A learner holds a job only as long as it renews its lease. One that was killed stops doing so, and
the next one to ask is given its job; one that only slept finds that its word no longer counts.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import sqlalchemy as sa

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER
from nanohydra.learn.store.tables import JOBS, LESSONS, Database

JobState = Literal[
    "queued", "studying", "training", "testing", "live", "refused", "failed", "cancelled"
]
JobKind = Literal["learn", "consolidate"]
ACTIVE: tuple[JobState, ...] = ("studying", "training", "testing")
FINAL: tuple[JobState, ...] = ("live", "refused", "failed", "cancelled")
LEASE_SECONDS = 60.0
MAX_ATTEMPTS = 3
# what a learning job makes of those of its lessons that are not live, deleted or memory only
LESSON_STATES: Mapping[str, str] = {
    "queued": "remembered", "studying": "studying", "training": "studying", "testing": "studying",
    "live": "live", "refused": "refused", "failed": "remembered", "cancelled": "remembered",
}  # fmt: skip


class UnknownJob(UserError):
    """There is no job with this id."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as it stands. Times are seconds since 1970.

    kind: "learn" trains lessons; "consolidate" trains those of many versions again, into one.
    gate: check -> {"value", "limit", "passed"}. version: the adapter that came of it.
    cancelling: asked to stop, which its worker has not done yet.
    attempts: how often a worker has begun it.
    """

    id: str
    alias: str
    lesson_ids: tuple[str, ...]
    owner: str = OWNER
    kind: JobKind = "learn"
    details: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    state: JobState = "queued"
    progress: float = 0.0
    gate: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    reason: str = ""
    cancelling: bool = False
    worker: str | None = None
    attempts: int = 0
    lease_until: float = 0.0
    created: float = 0.0
    updated: float = 0.0

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL


class Jobs:
    """The jobs of a learning home. `clock` is for tests."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def submit(
        self,
        alias: str,
        lesson_ids: Sequence[str],
        *,
        owner: str = OWNER,
        priority: int = 0,
        kind: JobKind = "learn",
        details: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a job; higher priorities first, then the order of submitting. Returns its id."""
        assert kind in get_args(JobKind), kind
        job, now = secrets.token_hex(6), self._clock()
        with self._database.write() as connection:
            last = connection.scalar(sa.select(sa.func.max(JOBS.c.position))) or 0
            connection.execute(
                JOBS.insert().values(
                    id=job, owner=owner, kind=kind, alias=alias,
                    lessons=json.dumps(list(lesson_ids)),
                    details=json.dumps(dict(details or {})), priority=priority, position=last + 1,
                    state="queued", progress=0.0, gate="{}", version=None, reason="",
                    cancelling=False, worker=None, attempts=0, lease_until=0.0, created=now,
                    updated=now,
                )
            )  # fmt: skip
        return job

    def claim(self, worker: str, *, lease_s: float = LEASE_SECONDS) -> Job | None:
        """The next job, now this worker's until its lease runs out; None if there is none to do.

        One job runs at a time: while another worker renews its lease there is none to do. A job
        whose worker is gone comes first; after MAX_ATTEMPTS workers it fails instead, since it
        may be what ended them. Its state stays what it was, so that the worker can see how far
        the last one came.
        """
        now = self._clock()
        order = (JOBS.c.priority.desc(), JOBS.c.position)
        with self._database.write() as connection:
            active = JOBS.select().where(JOBS.c.state.in_(ACTIVE)).order_by(*order)
            for row in connection.execute(active).all():
                job = _job(row)
                if job.lease_until > now and job.worker != worker:
                    return None
                if job.cancelling:
                    self._change(connection, job, {"state": "cancelled"})
                elif job.attempts >= MAX_ATTEMPTS:
                    reason = f"the learner ended {job.attempts} times while it worked on this"
                    self._change(connection, job, {"state": "failed", "reason": reason})
                else:
                    return self._give(connection, job, worker, now + lease_s)
            queued = JOBS.select().where(JOBS.c.state == "queued").order_by(*order).limit(1)
            next_row = connection.execute(queued).first()
            if next_row is None:
                return None
            job = _job(next_row)
            self._change(connection, job, {"state": "studying"})
            return self._give(connection, job, worker, now + lease_s)

    def heartbeat(self, job_id: str, worker: str, *, lease_s: float = LEASE_SECONDS) -> bool:
        """Renew the lease. False means stop: the job was cancelled, or is another worker's now."""
        now = self._clock()
        with self._database.write() as connection:
            changed = connection.execute(
                JOBS.update()
                .where(
                    JOBS.c.id == job_id, JOBS.c.worker == worker, JOBS.c.state.in_(ACTIVE),
                    ~JOBS.c.cancelling,
                )
                .values(lease_until=now + lease_s)
            )  # fmt: skip
            return changed.rowcount == 1

    def update(
        self,
        job_id: str,
        *,
        worker: str | None = None,
        state: JobState | None = None,
        progress: float | None = None,
        gate: Mapping[str, Any] | None = None,
        version: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Write down how far a job is, and with it the state of its lessons.

        False, and nothing is changed, if the job is over, or if `worker` is given and no longer
        holds it. Raises UnknownJob.
        """
        assert state is None or state in get_args(JobState), state
        values: dict[str, Any] = {"state": state, "progress": progress, "version": version}
        values |= {"reason": reason, "gate": None if gate is None else json.dumps(dict(gate))}
        values = {name: value for name, value in values.items() if value is not None}
        with self._database.write() as connection:
            job = self._read(connection, job_id)
            if job.done or (worker is not None and job.worker != worker):
                return False
            self._change(connection, job, values)
            return True

    def cancel(self, job_id: str, *, owner: str | None = None) -> bool:
        """Cancel what waits, and ask the worker of what runs to stop; False if it is over.

        Raises UnknownJob, also for a job of another than `owner`.
        """
        with self._database.write() as connection:
            job = self._read(connection, job_id, owner)
            if job.done:
                return False
            gone = job.state == "queued" or job.lease_until <= self._clock()
            self._change(connection, job, {"state": "cancelled"} if gone else {"cancelling": True})
            return True

    def release(self, job_id: str, worker: str) -> bool:
        """Put a job back into the queue, as a worker that is told to end does."""
        with self._database.write() as connection:
            job = self._read(connection, job_id)
            if job.done or job.worker != worker:
                return False
            state = "cancelled" if job.cancelling else "queued"
            back = {"state": state, "worker": None, "lease_until": 0.0, "progress": 0.0}
            self._change(connection, job, back | {"attempts": max(0, job.attempts - 1)})
            return True

    def job(self, job_id: str, *, owner: str | None = None) -> Job:
        """A job. Raises UnknownJob, also for a job of another than `owner`."""
        with self._database.read() as connection:
            return self._read(connection, job_id, owner)

    def jobs(
        self,
        *,
        owner: str | None = None,
        alias: str | None = None,
        states: Sequence[JobState] = (),
        limit: int = 100,
    ) -> list[Job]:
        """Jobs, the newest first."""
        query = JOBS.select().order_by(JOBS.c.position.desc()).limit(limit)
        if owner is not None:
            query = query.where(JOBS.c.owner == owner)
        if alias is not None:
            query = query.where(JOBS.c.alias == alias)
        if states:
            query = query.where(JOBS.c.state.in_(states))
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def _read(self, connection: sa.Connection, job_id: str, owner: str | None = None) -> Job:
        row = connection.execute(JOBS.select().where(JOBS.c.id == job_id)).first()
        if row is None or owner not in (None, row.owner):
            raise UnknownJob(f"there is no job {job_id!r:.60}")
        return _job(row)

    def _give(self, connection: sa.Connection, job: Job, worker: str, until: float) -> Job:
        values = {"worker": worker, "lease_until": until, "attempts": job.attempts + 1}
        self._change(connection, job, values)
        return self._read(connection, job.id)

    def _change(self, connection: sa.Connection, job: Job, values: Mapping[str, Any]) -> None:
        connection.execute(
            JOBS.update().where(JOBS.c.id == job.id).values(**values, updated=self._clock())
        )
        state = values.get("state")
        if state is not None and job.kind == "learn":
            movable = ("remembered", "studying", "refused")
            connection.execute(
                LESSONS.update()
                .where(LESSONS.c.id.in_(job.lesson_ids), LESSONS.c.state.in_(movable))
                .values(state=LESSON_STATES[state], reason=values.get("reason", ""))
            )


def _job(row: sa.Row[Any]) -> Job:
    values = dict(row._mapping)
    del values["position"]
    lessons = tuple(json.loads(values.pop("lessons")))
    values |= {"details": json.loads(values["details"]), "gate": json.loads(values["gate"])}
    return Job(**values, lesson_ids=lessons)
