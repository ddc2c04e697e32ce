"""One job in the hands of one learner: its lease, its progress, its ledger rows, its folder.

Knows nothing of what the job is about.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from nanohydra.learn.store import Job, JobState, LearningStore

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_UPDATES = 0.5
SECONDS_BETWEEN_BEATS = 1.0  # at most: it is also how soon a cancelled job stops
WHOLE = (0.0, 1.0)


class Cancelled(Exception):
    """The job is not this learner's to do any more: cancelled, or taken by another."""


class Released(Exception):
    """The learner was told to end; the job goes back into the queue."""


class Work:
    """A claimed job. As a context it renews the lease from a thread of its own.

    folder: for what the job writes; it is empty at first and gone at the end.
    part: where the part that is worked on begins, and its share of the whole; progress is told
    within it.
    """

    def __init__(
        self,
        store: LearningStore,
        job: Job,
        worker: str,
        folder: Path,
        *,
        lease_s: float,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.job, self.worker, self.folder = store, job, worker, folder
        self.lease_s, self.ending = lease_s, ending
        self.part = WHOLE
        self._lost = threading.Event()
        self._done = threading.Event()
        self._heart = threading.Thread(target=self._beat, name=f"lease-{job.id}", daemon=True)
        self._updated = 0.0

    def __enter__(self) -> Self:
        shutil.rmtree(self.folder, ignore_errors=True)  # what a killed learner left
        self.folder.mkdir(parents=True)
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._heart.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def should_stop(self) -> bool:
        """Whether the work in progress is for nothing."""
        return self._lost.is_set() or self.ending()

    def check(self) -> None:
        """Raise Cancelled or Released if the job is not to go on."""
        if self._lost.is_set():
            raise Cancelled
        if self.ending():
            raise Released

    def renew(self) -> None:
        """Renew the lease now. Raises Cancelled or Released if the job is not to go on."""
        if not self.store.heartbeat(self.job.id, self.worker, lease_s=self.lease_s):
            self._lost.set()
        self.check()

    def state(self, state: JobState, progress: float, **values: Any) -> None:
        """Write down a new state. Raises Cancelled if the job is not this learner's any more."""
        self.note(state=state, progress=self._overall(progress), **values)

    def note(self, **values: Any) -> None:
        """Write down anything of the job. Raises Cancelled if it is not this learner's any more."""
        if not self.store.update(self.job.id, worker=self.worker, **values):
            self._lost.set()
        self.check()

    def progress(self, progress: float) -> None:
        """Write down how far it is, not more often than anyone looks."""
        now = time.monotonic()
        if now - self._updated >= SECONDS_BETWEEN_UPDATES:
            self._updated = now
            overall = self._overall(progress)
            self.store.update(self.job.id, worker=self.worker, progress=overall)

    def record(self, event: str, *, version: str | None = None, **details: Any) -> None:
        """A row of the ledger about this job; numbers and ids, never a lesson's words."""
        self.store.record(event, job=self.job.id, version=version, **details)

    @contextlib.contextmanager
    def timed(self, event: str) -> Iterator[dict[str, Any]]:
        """A row that also says how long the step took; what is put into the dict goes with it."""
        details: dict[str, Any] = {}
        started, cpu = time.monotonic(), time.process_time()
        yield details
        seconds = {
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
        }
        self.record(event, **rounded(seconds | details))

    def _overall(self, progress: float) -> float:
        start, share = self.part
        return start + share * progress

    def _beat(self) -> None:
        """Renew the lease until the job is done or lost."""
        while not self._done.wait(min(self.lease_s / 4, SECONDS_BETWEEN_BEATS)):
            try:
                mine = self.store.heartbeat(self.job.id, self.worker, lease_s=self.lease_s)
            except Exception:  # a locked database must not cost the job; the lease may run out
                logger.exception("the lease of job %s could not be renewed", self.job.id)
                continue
            if not mine:
                self._lost.set()
                return


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers with the digits that mean something."""
    return {k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in values.items()}
