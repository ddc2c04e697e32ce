"""Many small adapters into one: trained again from their lessons, gated, then swapped for them.

Adapters are never merged or averaged: what is lost that way, no gate brings back. The parents stay
in the bank, so that a rollback finds them.
"""

from __future__ import annotations

from nanohydra.adapters.bank import Bank
from nanohydra.core.errors import UserError
from nanohydra.learn.store import LearningStore


def consolidate(alias: str, *, store: LearningStore, bank: Bank) -> str:
    """Queue the job that trains one adapter of all live lessons of an alias; returns its id.

    Raises UserError if the alias has fewer than two versions.
    """
    versions = bank.alias(alias).versions
    if len(versions) < 2:
        raise UserError(
            f"{alias!r} has {len(versions)} version(s), so there is nothing to put together"
        )
    lessons = [
        lesson.id
        for lesson in store.lessons(alias=alias, states=("live",))
        if any(version in versions for version in store.versions_that_saw(lesson.id))
    ]
    job = store.submit(
        alias, lessons, kind="consolidate", details={"versions": list(versions)}, priority=-1
    )
    store.record("consolidation queued", job=job, versions=list(versions), lessons=len(lessons))
    return job


def due(alias: str, *, store: LearningStore, bank: Bank, most_versions: int) -> bool:
    """Whether an alias has more versions than it should, and no job is on its way already."""
    busy = any(not job.done and job.alias == alias for job in store.jobs())
    return not busy and len(bank.alias(alias).versions) > most_versions
