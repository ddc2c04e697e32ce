"""Make study items of lessons: about twenty wordings of each fact to train on, others to test.

All is drawn from the template bank by a seed. To that a writer adds, where a model is able to
write: questions of its own for training; those that do not keep the fact are dropped (writer.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from nanohydra.learn.lessons import Lesson
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.items import Study, StudyItem
from nanohydra.learn.study.of_facts import FactItems
from nanohydra.learn.study.of_texts import question_items, sentence_items, subject_items, turn_items
from nanohydra.learn.study.sources import Told, told_by
from nanohydra.learn.study.writer import (
    Outcome,
    Statement,
    Writer,
    statement_of_fact,
    statement_of_told,
    written_items,
)

MAX_FORBIDDEN = 40


def facts_of(lessons: Sequence[Lesson]) -> list[tuple[Lesson, ParsedFact]]:
    """The facts that lessons tell and that the bank understands."""
    return [(t.lesson, t.fact) for lesson in lessons for t in told_by(lesson) if t.fact]


def study(
    lessons: Sequence[Lesson],
    *,
    seed: int,
    others: Sequence[Lesson] = (),
) -> Study:
    """Items of all lessons that have words to learn, the same for the same seed.

    others: earlier lessons; what they say of the same relation is forbidden in a reply, and makes
    reverse questions ambiguous. Their own items are not made.
    """
    told = [t for lesson in lessons for t in told_by(lesson)]
    groups = _merged([t for t in told if t.fact is not None])
    known = [fact for _, fact in groups] + [fact for _, fact in facts_of(others)]
    told_values = _by_relation([fact for _, fact in groups])  # may be said, to be denied
    values = _by_relation(known)
    items: list[StudyItem] = []
    for t in told:  # the user's own wordings first: they win over ours
        rng = Random(f"{seed} {t.lesson.id} {t.sentence or t.question}")
        if t.sentence:
            items += sentence_items(t, rng)
        elif t.question:
            items += question_items(t, rng)
        elif t.turns:
            items += turn_items(t)
    for lesson, fact in groups:
        rng = Random(f"{seed} {lesson.id} {fact.topic}")
        clear = sum(
            f.relation.key == fact.relation.key and f.value == fact.value
            and f.extra.get("r") == fact.extra.get("r") for f in known
        ) == 1  # fmt: skip
        key = fact.relation.key
        maker = FactItems(
            lesson.id, fact, values[key], rng, reversible=clear, said=told_values[key]
        )
        items += maker.items()
    items += subject_items(groups, seed)
    return Study(items=tuple(_without_clashes(items)))


def written_about(lessons: Sequence[Lesson], writer: Writer, made: Study) -> Outcome:
    """What a writer adds to the study of some lessons, without what is asked there already."""
    outcome = written_items(writer, statements_of(lessons), made.dev + made.test)
    count = len(made.items)
    return replace(outcome, items=tuple(_without_clashes([*made.items, *outcome.items])[count:]))


def statements_of(lessons: Sequence[Lesson]) -> list[Statement]:
    """What a writer can write about: facts, plain sentences, and questions that no relation fits.

    A question that tells a fact is written about as the fact alone.
    """
    told = [t for lesson in lessons for t in told_by(lesson)]
    groups = _merged([t for t in told if t.fact is not None])
    found = [statement_of_fact(lesson.id, fact) for lesson, fact in groups]
    understood = {t.lesson.id for t in told if t.fact is not None}
    rest = [t for t in told if t.sentence or (t.question and t.lesson.id not in understood)]
    found += [statement_of_told(t) for t in rest]
    return [statement for statement in found if statement is not None]


def _merged(told: Sequence[Told]) -> list[tuple[Lesson, ParsedFact]]:
    """Facts of one topic as one, told by the last of their lessons: "soup and cake"."""
    groups: dict[tuple[str, ...], list[Told]] = {}
    for t in told:
        assert t.fact is not None
        groups.setdefault(t.fact.topic, []).append(t)
    found = []
    for group in groups.values():
        last = group[-1]
        assert last.fact is not None
        values = {t.fact.value: t.fact.object for t in group if t.fact is not None}
        joined, words = (
            " and ".join(values.values()),
            " ".join(t.fact.told for t in group if t.fact),
        )
        fact = last.fact if len(values) == 1 else replace(last.fact, object=joined, told=words)
        found.append((last.lesson, fact))
    return found


def _by_relation(facts: Sequence[ParsedFact]) -> dict[str, list[ParsedFact]]:
    found: dict[str, list[ParsedFact]] = defaultdict(list)
    for fact in facts:
        found[fact.relation.key].append(fact)
    return found


def _without_clashes(items: Sequence[StudyItem]) -> list[StudyItem]:
    """Items without those whose prompt has come before: a prompt has one answer and one split."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for item in items:
        words = item.question.casefold().rstrip(".?! ") if item.messages else item.answer
        prompt = (item.messages[:-1], words)
        if prompt not in seen:
            seen.add(prompt)
            forbid = item.forbid[:MAX_FORBIDDEN]
            kept.append(replace(item, forbid=forbid))
    return kept
