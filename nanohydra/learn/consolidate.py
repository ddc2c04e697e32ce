"""Many small adapters into one: trained again from their lessons, gated, then swapped for them.

Adapters are never merged or averaged: what is lost that way, no gate brings back. The parents stay
in the bank, so that a rollback finds them.
"""

from __future__ import annotations

from datetime import datetime

from nanohydra.adapters.bank import Bank
from nanohydra.core.errors import UserError
from nanohydra.learn.config import ConsolidateConfig
from nanohydra.learn.store import LearningStore

NIGHT_SECONDS = 16 * 3600.0  # an alias that was tried so lately is left until the next night


def consolidate(alias: str, *, store: LearningStore, bank: Bank) -> str:
    """Queue the job that trains one adapter of all live lessons of an alias; returns its id.

    bank: the owner's; no lesson of another is trained into its versions.

    Raises UserError if the alias has fewer than two versions.
    """
    versions = bank.alias(alias).versions
    if len(versions) < 2:
        raise UserError(
            f"{alias!r} has {len(versions)} version(s), so there is nothing to put together"
        )
    lessons = [
        lesson.id
        for lesson in store.lessons(owner=bank.owner, alias=alias, states=("live",))
        if any(version in versions for version in store.versions_that_saw(lesson.id))
    ]
    job = store.submit(
        alias, lessons, owner=bank.owner, kind="consolidate",
        details={"versions": list(versions)}, priority=-1,
    )  # fmt: skip
    store.record("consolidation queued", job=job, versions=list(versions), lessons=len(lessons))
    return job


def nightly(
    now: datetime, *, store: LearningStore, bank: Bank, config: ConsolidateConfig
) -> list[str]:
    """Queue what is due at this time, by the clock of the place; returns the jobs.

    Due, within the hours of the recipe, is an owner's alias of more than `most_versions`, once a
    night and only while nothing else is to be learned.
    """
    first, last = config.hours
    hours = now.hour + 24 * (now.hour < first)
    if not config.nightly or not first <= hours < last + 24 * (last <= first):
        return []
    many = [
        (owned, name)
        for owned in map(bank.of, bank.owners())
        for name in owned.aliases()
        if len(owned.alias(name).versions) > config.most_versions
    ]
    jobs = store.jobs() if many else []
    if any(not job.done for job in jobs):
        return []
    since = now.timestamp() - NIGHT_SECONDS
    night = [job for job in jobs if job.kind == "consolidate" and job.created > since]
    tried = {(job.owner, job.alias) for job in night}
    return [
        consolidate(alias, store=store, bank=owned)
        for owned, alias in many
        if (owned.owner, alias) not in tried
    ]
