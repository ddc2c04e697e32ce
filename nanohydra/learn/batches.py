"""Which of a job's lessons become one version: few at a time, as few are learned more surely.

A version of five facts leaves the base as it was; one of fifty does not (docs/log.md). Knows
nothing of training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nanohydra.learn.lessons import Lesson
from nanohydra.learn.study.sources import told_by


def batches(lessons: Sequence[Lesson], *, most: int) -> list[list[str]]:
    """Ids of lessons that are learned together, in their order.

    most: things that the lessons of a batch tell between them. Lessons that tell of one topic stay
    together, and a lesson is never cut in two, so a batch may hold more.
    """
    found: list[list[str]] = []
    room = 0
    for group, told in _by_topic(lessons):
        if found and told <= room:
            found[-1] += group
        else:
            found.append(list(group))
            room = most
        room -= told
    return found


def halves(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The two halves of a batch."""
    middle = (len(ids) + 1) // 2
    return list(ids[:middle]), list(ids[middle:])


def _by_topic(lessons: Sequence[Lesson]) -> Iterator[tuple[list[str], int]]:
    """Lessons that share a topic, with how many things they tell; at the place of the first."""
    groups: list[list[str]] = []
    counts: list[int] = []
    group_of: dict[tuple[str, ...], int] = {}
    for lesson in lessons:
        told = told_by(lesson)
        topics = {t.fact.topic for t in told if t.fact is not None}
        place = next((group_of[topic] for topic in topics if topic in group_of), len(groups))
        if place == len(groups):
            groups.append([])
            counts.append(0)
        groups[place].append(lesson.id)
        counts[place] += max(1, sum(not t.question for t in told))  # it is also a fact, or alone
        group_of |= dict.fromkeys(topics, place)
    yield from zip(groups, counts, strict=True)
