"""What the API and the page show of learning: plain JSON of lessons, jobs, versions, the ledger.

Where a bank is given, all that is shown is of the bank's owner.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nanohydra.adapters.aliases import AliasState
from nanohydra.adapters.bank import Bank
from nanohydra.core.errors import UserError
from nanohydra.learn.curate import Conflict
from nanohydra.learn.lessons import Lesson
from nanohydra.learn.store import Job, LearningStore, LedgerRow

Json = dict[str, Any]
LEDGER_ROWS = 200
TEXT_CHARS = 2000
SENTENCES = {
    "queued": "remembered; waiting for the learner",
    "claimed": "taken up by the learner",
    "studied": "wrote questions and paraphrases",
    "studying": "writing questions",
    "training": "training an adapter",
    "trained": "trained an adapter",
    "testing": "testing it in other words",
    "tested": "tested in a fresh process",
    "published": "put into the bank",
    "live": "live",
    "refused": "refused",
    "retry": "trying again, more gently",
}


def lessons(store: LearningStore, bank: Bank, items: Sequence[Lesson]) -> list[Json]:
    """Lessons, each with the version that answers for it and how well it did in its test."""
    version_of: dict[str, str] = {}
    for name in bank.aliases():
        for version in bank.alias(name).versions:  # newest first
            for id, role in store.lessons_of_version(version).items():
                if role == "new":
                    version_of.setdefault(id, version)
    jobs: dict[str, Job] = {}
    for each in reversed(store.jobs(owner=bank.owner, limit=10_000)):  # the newest counts
        jobs |= dict.fromkeys(each.lesson_ids, each)
    recalls = {
        (str(row.version), id): share
        for row in store.ledger(owner=bank.owner, event="live", limit=100_000)
        for id, share in row.details.get("lessons", {}).items()
    }
    shown = []
    for item in items:
        job = jobs.get(item.id)
        live = version_of.get(item.id) if item.state == "live" else None
        testing = job is not None and item.state == "studying" and job.state == "testing"
        shown.append(
            {
                "id": item.id,
                "kind": item.kind,
                "title": item.title,
                "text": item.text[:TEXT_CHARS],
                "state": "tested" if testing else item.state,
                "version": live,
                "recall": recalls.get((live, item.id)) if live else None,
                "job": job.id if job else None,
                "created": item.created,
                "reason": item.reason or None,
                "flags": list(item.flags),
                "alias": item.alias,
            }
        )
    return shown


def job(store: LearningStore, item: Job) -> Json:
    """One job with what happened to it so far."""
    return {
        "id": item.id,
        "kind": item.kind,
        "alias": item.alias,
        "state": item.state,
        "progress": round(item.progress, 3),
        "version": item.version,
        "versions": [row.version for row in store.ledger(event="live", job=item.id)],
        "gate": item.gate,
        "reason": item.reason or None,
        "lessons": list(item.lesson_ids),
        "created": item.created,
        "updated": item.updated,
        "events": [event(row) for row in store.ledger(job=item.id)],
    }


def event(row: LedgerRow) -> Json:
    """One row of the ledger as a sentence."""
    text = str(row.details.get("text") or SENTENCES.get(row.event, row.event))
    shown = {"time": row.time, "step": row.event, "text": text}
    rest = {"lesson": row.lesson, "job": row.job, "version": row.version}
    return shown | {name: value for name, value in rest.items() if value}


def conflict(found: Conflict, lessons: Sequence[Lesson]) -> Json:
    """Two lessons that cannot both be true; `index` is the new one's place in the request."""
    index = [each.id for each in lessons].index(found.new.id)
    earlier = {"id": found.old.id, "text": found.old.text[:TEXT_CHARS]}
    return {"index": index, "text": found.new.text[:TEXT_CHARS], "earlier": earlier}


def alias(state: AliasState) -> Json:
    """What a name means, newest first, and what it meant before, the oldest first."""
    history = [list(change.versions) for change in state.history]
    return {"name": state.name, "alias": state.name, "versions": list(state.versions),
            "history": history}  # fmt: skip


def adapters(store: LearningStore, bank: Bank) -> list[Json]:
    """All versions, the latest first."""
    using = {v: name for name in bank.aliases() for v in bank.alias(name).versions}
    events = store.ledger(owner=bank.owner, event="live", limit=100_000)
    rows = {row.version: row for row in events}
    shown = []
    for info in sorted(bank.list(), key=lambda info: -info.created):
        row = rows.get(info.id)
        made = store.job(str(row.job)) if row else None
        roles = store.lessons_of_version(info.id)
        shown.append(
            {
                "version": info.id,
                "alias": using.get(info.id) or (made.alias if made else None),
                "live": info.id in using,
                "created": info.created,
                "bytes": info.bytes,
                "lessons": [id for id, role in roles.items() if role == "new"],
                "gate": row.details.get("gate", {}) if row else {},
                "parents": list(made.details.get("versions", ())) if made else [],
            }
        )
    return shown


def dashboard(store: LearningStore, bank: Bank) -> Json:
    """Forgetting over lessons, the timeline of versions, the library, jobs and the ledger."""
    owner = bank.owner
    matrix, tested, lessons = recall_matrix(store, owner)
    columns = zip(*matrix, strict=True) if matrix else ()
    texts = {each.id: each.title for each in store.lessons(owner=owner)}
    rows = store.ledger(owner=owner, limit=LEDGER_ROWS, newest=True)
    return {
        "forgetting": [
            {"lesson": id, "title": texts.get(id, "(deleted)"), "recall_by_version": list(column)}
            for id, column in zip(lessons, columns, strict=False)
        ],
        "versions": tested,
        "recall": [
            {"lesson": id, "title": texts.get(id, "(deleted)"), "recall": last_known(column)}
            for id, column in zip(lessons, zip(*matrix, strict=True), strict=True)
        ]
        if matrix
        else [],
        "timeline": timeline(store, owner),
        "library": adapters(store, bank),
        "jobs": [job(store, each) for each in store.jobs(owner=owner, limit=20)],
        "ledger": [event(row) for row in rows],
        "matrix": matrix,
    }


def timeline(store: LearningStore, owner: str) -> list[Json]:
    """The versions that went live and the lessons that were refused, the latest first."""
    found = [*store.ledger(owner=owner, event="live", limit=1000, newest=True)]
    found += store.ledger(owner=owner, event="refused", limit=1000, newest=True)
    shown = []
    for row in sorted(found, key=lambda row: -row.id):
        made = store.job(str(row.job))
        shown.append(
            {
                "version": row.version,
                "time": row.time,
                "gate": row.details.get("gate", made.gate),
                "state": row.event,
                "alias": made.alias,
                "lessons": len(row.details.get("lessons", made.lesson_ids)),
                "reason": row.details.get("reason") or made.reason or None,
            }
        )
    return shown


def recall_matrix(
    store: LearningStore, owner: str
) -> tuple[list[list[float | None]], list[str], list[str]]:
    """R[t][i]: recall of lesson i in the test of the t-th version that went live.

    None is "not evaluated", never 0. Returns it with the versions and the lessons.
    """
    versions: list[str] = []
    found: list[dict[str, float]] = []
    for row in store.ledger(owner=owner, event="live", limit=10_000):
        if row.version not in versions:
            versions.append(str(row.version))
            found.append({**row.details.get("earlier", {}), **row.details.get("lessons", {})})
    lessons = list(dict.fromkeys(id for recalls in found for id in recalls))
    return [[recalls.get(id) for id in lessons] for recalls in found], versions, lessons


def last_known(values: Sequence[float | None]) -> float | None:
    """The latest value that was measured."""
    return next((value for value in reversed(values) if value is not None), None)


def lessons_in_lines(name: str, text: str) -> list[Json]:
    """The lessons of a file of JSON lines, one a line."""
    lessons = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{name}, line {number} is not JSON: {error.msg}") from None
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, dict):
            raise UserError(f"{name}, line {number} is neither an object nor a text")
        lessons.append(_kind_of(item))
    return lessons


def _kind_of(item: Json) -> Json:
    """A line of a file as the learn API takes it; its kind may be left out."""
    for kind, field in (("qa", "question"), ("conversation", "messages"), ("document", "title")):
        if field in item:
            return {"kind": kind, **item}
    return {"kind": "fact", **item}
