"""Forgetting a lesson for good: its words, its passages, and every adapter that was trained on it.

It is gone from answers when `forget` returns. The other lessons of those adapters stay in memory,
and are trained again by a job.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from nanohydra.adapters.bank import Bank
from nanohydra.core.errors import UserError
from nanohydra.learn.store import LearningStore
from nanohydra.memory import Memory


def forget(lesson_id: str, *, store: LearningStore, bank: Bank, memory: Memory) -> str | None:
    """Delete a lesson everywhere; returns the job that trains the others again, if any.

    bank: of the lesson's owner. Raises UnknownLesson, also for a lesson of another owner. A second
    call for the same lesson finishes what a killed one left.
    """
    owner = bank.owner
    alias = store.lesson(lesson_id, owner=owner).alias
    jobs = [job for job in store.jobs(owner=owner) if not job.done and lesson_id in job.lesson_ids]
    for job in jobs:
        store.cancel(job.id)
    memory.remove(lesson_id)
    versions = store.delete_lesson(lesson_id)
    unfinished = {i for job in jobs for i in job.lesson_ids}
    again: set[str] = set()
    for version in versions:
        roles = store.lessons_of_version(version)
        again |= {id for id, role in roles.items() if role == "new"}
    drop_versions(bank, versions)
    kept = sorted(
        lesson.id
        for lesson in store.lessons(owner=owner)
        if lesson.id in again or (lesson.id in unfinished and lesson.state != "live")
    )
    store.record("deleted", lesson=lesson_id, versions=list(versions), again=len(kept))
    if not kept:
        return None
    live = store.lessons(owner=owner, states=("live",))
    still_live = [lesson.id for lesson in live if lesson.id in kept]
    store.set_lessons(still_live, "remembered", "an adapter with a deleted lesson was dropped")
    because = {"because": "deleted", "versions": list(versions)}
    return store.submit(alias, kept, owner=owner, details=because)


def drop_versions(bank: Bank, versions: Collection[str]) -> None:
    """Take versions out of every alias, then delete them."""
    for name in bank.aliases():
        before = bank.alias(name).versions
        after = tuple(version for version in before if version not in versions)
        if after != before:
            bank.activate(name, after)
    for version in versions:
        with suppress(UserError):  # gone already
            bank.remove(version)
