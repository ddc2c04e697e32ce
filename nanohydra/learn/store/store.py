"""LearningStore: one door to learning.db, for the server and the learner at once.

Knows nothing of models, of the bank and of how lessons become answers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import sqlalchemy as sa

from nanohydra.core.errors import UserError
from nanohydra.learn.lessons import STATES, Fact, Lesson, LessonState, body_from_json, body_to_json
from nanohydra.learn.store.jobs import Jobs
from nanohydra.learn.store.ledger import Ledger
from nanohydra.learn.store.tables import LEDGER, LESSONS, SEEN, STUDIES, VECTORS, Database
from nanohydra.learn.store.vectors import Vectors
from nanohydra.learn.study.items import StudyItem, item_from_json, item_to_json
from nanohydra.learn.study.of_facts import accepted
from nanohydra.learn.study.sources import told_by

SeenRole = Literal["new", "replay", "unproven"]


class UnknownLesson(UserError):
    """There is no lesson with this id."""


class LearningStore(Jobs, Ledger, Vectors):
    """Lessons, jobs, the ledger and feedback of one learning home.

    Safe to use from several threads and processes. A killed process leaves every change whole or
    not made. clock: seconds since 1970, for tests.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(path)
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def add_lessons(self, lessons: Iterable[Lesson]) -> None:
        """Keep new lessons, all of them or none."""
        with self._database.write() as connection:
            last = connection.scalar(sa.select(sa.func.max(LESSONS.c.position))) or 0
            rows = [
                {
                    "id": lesson.id, "owner": lesson.owner, "alias": lesson.alias,
                    "kind": lesson.kind, "body": json.dumps(body_to_json(lesson.body)),
                    "created": lesson.created, "state": lesson.state,
                    "flags": json.dumps(list(lesson.flags)), "reason": lesson.reason,
                    "position": position,
                }
                for position, lesson in enumerate(lessons, last + 1)
            ]  # fmt: skip
            if rows:
                connection.execute(LESSONS.insert(), rows)

    def lesson(self, lesson_id: str, *, owner: str | None = None) -> Lesson:
        """A lesson. Raises UnknownLesson, also for one of another than `owner`.

        A deleted one has no text any more.
        """
        return self.lessons_by_id([lesson_id], owner=owner)[0]

    def lessons_by_id(self, lesson_ids: Sequence[str], *, owner: str | None = None) -> list[Lesson]:
        """Lessons in the order asked for. Raises UnknownLesson as `lesson` does."""
        found: dict[str, Lesson] = {}
        wanted = list(dict.fromkeys(lesson_ids))
        with self._database.read() as connection:
            for start in range(0, len(wanted), 500):  # SQLite bounds the values of one query
                part = wanted[start : start + 500]
                rows = connection.execute(LESSONS.select().where(LESSONS.c.id.in_(part)))
                found |= {row.id: _lesson(row) for row in rows}
        for lesson_id in wanted:
            if lesson_id not in found or owner not in (None, found[lesson_id].owner):
                raise UnknownLesson(f"there is no lesson {lesson_id!r:.60}")
        return [found[lesson_id] for lesson_id in lesson_ids]

    def lessons(
        self,
        *,
        owner: str | None = None,
        alias: str | None = None,
        states: Sequence[LessonState] = (),
        limit: int = 100_000,
    ) -> list[Lesson]:
        """Lessons in the order of adding; deleted ones only where `states` asks for them."""
        query = LESSONS.select().order_by(LESSONS.c.position).limit(limit)
        wanted = states or tuple(state for state in STATES if state != "deleted")
        query = query.where(LESSONS.c.state.in_(wanted))
        if owner is not None:
            query = query.where(LESSONS.c.owner == owner)
        if alias is not None:
            query = query.where(LESSONS.c.alias == alias)
        with self._database.read() as connection:
            return [_lesson(row) for row in connection.execute(query)]

    def set_lessons(self, lesson_ids: Iterable[str], state: LessonState, reason: str = "") -> None:
        """Change the state of lessons; those that were deleted stay so."""
        assert state in STATES and state != "deleted", state
        with self._database.write() as connection:
            connection.execute(
                LESSONS.update()
                .where(LESSONS.c.id.in_(list(lesson_ids)), LESSONS.c.state != "deleted")
                .values(state=state, reason=reason)
            )

    def delete_lesson(self, lesson_id: str) -> tuple[str, ...]:
        """Forget a lesson's words for good; returns the versions that were trained on it.

        Its text, study items, vectors and the details of its ledger rows are overwritten, in the
        file's log too. So are its words in the study items of the owner's others, where they were
        to be denied or told of together. That there was a lesson of this id remains. Raises
        UnknownLesson.
        """
        lesson = self.lesson(lesson_id)
        with self._database.write() as connection:
            connection.execute(
                LESSONS.update()
                .where(LESSONS.c.id == lesson_id)
                .values(state="deleted", body="null", flags="[]", reason="")
            )
            _forget_in_items(connection, lesson)
            connection.execute(STUDIES.delete().where(STUDIES.c.lesson == lesson_id))
            connection.execute(VECTORS.delete().where(VECTORS.c.lesson == lesson_id))
            connection.execute(
                LEDGER.update()
                .where(LEDGER.c.lesson == lesson_id)
                .values(details='{"deleted": true}')
            )
        self._database.truncate_log()
        return self.versions_that_saw(lesson_id)

    def record_version(
        self,
        version: str,
        *,
        new: Iterable[str],
        replay: Iterable[str] = (),
        unproven: Iterable[str] = (),
    ) -> None:
        """Note which lessons a version was trained on; it answers the new ones alone."""
        roles: dict[str, SeenRole] = dict.fromkeys(replay, "replay")
        roles |= dict.fromkeys(unproven, "unproven")
        roles |= dict.fromkeys(new, "new")
        rows = [{"version": version, "lesson": i, "role": role} for i, role in roles.items()]
        with self._database.write() as connection:
            connection.execute(SEEN.delete().where(SEEN.c.version == version))
            if rows:
                connection.execute(SEEN.insert(), rows)

    def versions_that_saw(self, lesson_id: str) -> tuple[str, ...]:
        """The versions that were trained on a lesson, in whatever role."""
        query = sa.select(SEEN.c.version).where(SEEN.c.lesson == lesson_id).order_by(sa.text("1"))
        with self._database.read() as connection:
            return tuple(connection.scalars(query))

    def lessons_of_version(self, version: str) -> dict[str, SeenRole]:
        """The ids of the lessons that a version was trained on, with how."""
        query = sa.select(SEEN.c.lesson, SEEN.c.role).where(SEEN.c.version == version)
        with self._database.read() as connection:
            return {row.lesson: row.role for row in connection.execute(query)}

    def save_study(self, items: Iterable[StudyItem]) -> None:
        """Keep the study items of lessons, in place of those kept before."""
        rows = [
            {"lesson": item.lesson_id, "position": i, "item": json.dumps(item_to_json(item))}
            for i, item in enumerate(items)
        ]
        with self._database.write() as connection:
            for lesson_id in {row["lesson"] for row in rows}:
                connection.execute(STUDIES.delete().where(STUDIES.c.lesson == lesson_id))
            if rows:
                connection.execute(STUDIES.insert(), rows)

    def study_items(self, lesson_ids: Sequence[str]) -> list[StudyItem]:
        """The study items that are kept of these lessons."""
        items: list[StudyItem] = []
        with self._database.read() as connection:
            for lesson_id in lesson_ids:
                query = STUDIES.select().where(STUDIES.c.lesson == lesson_id)
                rows = connection.execute(query.order_by(STUDIES.c.position))
                items += [item_from_json(json.loads(row.item)) for row in rows]
        return items


def _lesson(row: sa.Row[Any]) -> Lesson:
    body = json.loads(row.body)
    return Lesson(
        id=row.id,
        owner=row.owner,
        alias=row.alias,
        body=Fact("") if body is None else body_from_json(body, f"lesson {row.id}"),
        created=row.created,
        state=row.state,
        flags=tuple(json.loads(row.flags)),
        reason=row.reason,
    )


def _forget_in_items(connection: sa.Connection, lesson: Lesson) -> None:
    """Take what a lesson tells out of the study items of lessons that do not tell it themselves.

    Those of other owners never had it from this lesson.
    """
    facts = [told.fact for told in told_by(lesson) if told.fact is not None]
    phrases = {p.casefold() for fact in facts for p in (*accepted(fact.object), fact.subject) if p}
    foreign = sa.select(LESSONS.c.id).where(LESSONS.c.owner != lesson.owner)
    others = STUDIES.select().where(STUDIES.c.lesson != lesson.id, STUDIES.c.lesson.not_in(foreign))
    own_words: dict[str, str] = {}
    for row in connection.execute(others).all():
        if not any(json.dumps(phrase)[1:-1] in row.item.casefold() for phrase in phrases):
            continue
        if row.lesson not in own_words:
            own = LESSONS.select().where(LESSONS.c.id == row.lesson)
            found = connection.execute(own).first()
            own_words[row.lesson] = _lesson(found).text.casefold() if found else ""
        strange = [phrase for phrase in phrases if phrase not in own_words[row.lesson]]
        item = json.loads(row.item)
        item["forbid"] = [
            f for f in item["forbid"] if not any(phrase in f.casefold() for phrase in strange)
        ]
        text = json.dumps(item)
        place = (STUDIES.c.lesson == row.lesson) & (STUDIES.c.position == row.position)
        if any(json.dumps(phrase)[1:-1] in text.casefold() for phrase in strange):
            connection.execute(STUDIES.delete().where(place))
        else:
            connection.execute(STUDIES.update().where(place).values(item=text))
