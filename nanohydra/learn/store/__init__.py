"""What learning remembers in learning.db: lessons, the queue of jobs, the ledger, feedback."""

from nanohydra.learn.store.jobs import ACTIVE, FINAL, Job, JobState, UnknownJob
from nanohydra.learn.store.ledger import Feedback, LedgerRow
from nanohydra.learn.store.store import LearningStore, UnknownLesson

__all__ = [
    "ACTIVE",
    "FINAL",
    "Feedback",
    "Job",
    "JobState",
    "LearningStore",
    "LedgerRow",
    "UnknownJob",
    "UnknownLesson",
]
