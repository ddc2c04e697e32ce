"""Random passages of simple statements, and questions about them with their answers.

Knows nothing of messages: `reading` and `lookup` make conversations of passages.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from nanohydra.data.primer.craft import Bank, Split, article, capital, fill
from nanohydra.data.primer.values import Values
from nanohydra.data.primer.wordings_reading import Relation
from nanohydra.data.primer.wordings_reading2 import NOT_SAID
from nanohydra.data.primer.wordings_reading3 import (
    JOINTS,
    OPENERS,
    QUESTION_FRAMES,
    RELATIONS,
    STATEMENT_FRAMES,
    WHAT_ABOUT,
)
from nanohydra.data.primer.wordings_reading4 import CLAUSES, INDIRECT, NAMING, NOUNS

BY_SUBJECT: dict[str, tuple[Relation, ...]] = {
    kind: tuple(r for r in RELATIONS if r.slots["s"] == kind)
    for kind in dict.fromkeys(r.slots["s"] for r in RELATIONS)
}
# people stand for most of the subjects of real questions
SUBJECT_KINDS = ("person",) * 14 + ("object",) * 3 + ("town",) * 2 + ("event", "beast")
GRID_KINDS = ("person",) * 4 + ("object", "town")

ONE_WORDING_SHARE = 0.3  # of passages say each relation in one wording throughout
PLAINEST_SHARE = 0.2  # of training wordings are the first of their bank
VALUE_FIRST_SHARE = 0.2  # of statements name the value before the subject, as English does
# of a question for the subject, against 1 for one of its values: harder, so practised more
WHO_WEIGHT = {"train": 0.9, "test": 0.45}
FRAME_SHARE = 0.12
INDIRECT_SHARE = 0.3  # of training questions have the form of a request


@dataclass(frozen=True)
class Statement:
    """One simple fact of a passage."""

    relation: Relation
    slots: Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """A question about a passage with its answer; `key` is the part that must be right."""

    text: str
    answer: str
    key: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@cache
def _by_order(bank: Bank, split: Split) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The wordings of a split with the subject first, and those with a value first."""
    first: list[str] = []
    other: list[str] = []
    for wording in bank.of(split):
        before = wording[: wording.index("{s}")] if "{s}" in wording else wording
        (other if "{" in before else first).append(wording)
    return tuple(first), tuple(other)


class Passage:
    """Random statements whose values of one kind are distinct, and questions about them.

    plain: one relation in one wording without any ornament, the easiest kind to look up in.
    """

    def __init__(self, rng: Random, split: Split, size: int, *, plain: bool = False) -> None:
        self.rng, self.split, self.plain = rng, split, plain
        self.values = Values(rng, split)
        self.statements: list[Statement] = []
        if plain or rng.random() < 0.55:
            self._fill_parallel(size)
        else:
            self._fill_grid(size)
        rng.shuffle(self.statements)
        self.text = self._tell()

    def _fill_parallel(self, size: int) -> None:
        """Several subjects in one relation, and sometimes one statement of another."""
        rng = self.rng
        relation = rng.choice(BY_SUBJECT[rng.choice(SUBJECT_KINDS)])
        for _ in range(size):
            self._add(relation)
        if not self.plain and rng.random() < 0.35:
            other = rng.choice(BY_SUBJECT["person"])
            if other.group != relation.group:
                about_person = relation.slots["s"] == "person"
                self._add(other, self.statements[0].slots["s"] if about_person else None)

    def _fill_grid(self, size: int) -> None:
        """A few subjects, each in two or three relations."""
        rng = self.rng
        kind = rng.choice(GRID_KINDS)
        relations: list[Relation] = []
        for relation in rng.sample(BY_SUBJECT[kind], min(3, len(BY_SUBJECT[kind]))):
            if relation.group not in [r.group for r in relations]:
                relations.append(relation)
        rows = max(2, -(-size // len(relations)))
        subjects = [self.values.draw(kind) for _ in range(rows)]
        # relation by relation, so that at least the first one has a distractor
        cells = [(r, s) for r in relations for s in subjects]
        for relation, subject in cells[: max(size, 2)]:
            self._add(relation, subject)

    def _add(self, relation: Relation, subject: str | None = None) -> None:
        with suppress(Values.Exhausted):
            self.statements.append(Statement(relation, self.draw_slots(relation, subject)))

    def draw_slots(self, relation: Relation, subject: str | None = None) -> dict[str, str]:
        """Fresh values for the slots of a relation, about `subject` if it is of that kind."""
        if subject is not None and relation.slots["s"] in ("person", "object", "town"):
            slots = {"s": subject}
        else:
            slots = {"s": self.values.draw(relation.slots["s"])}
        for slot, kind in relation.slots.items():
            if slot != "s":
                slots[slot] = self.values.draw(kind)
        if "v" in slots:
            slots["av"] = article(slots["v"])
        return slots

    def _tell(self) -> str:
        """The statements as a text, some joined, framed or with a pronoun."""
        rng = self.rng
        one_wording: dict[str, str] = {}
        if self.plain or rng.random() < ONE_WORDING_SHARE:
            one_wording = {s.relation.key: self._say(s.relation) for s in self.statements}
        if self.plain:
            return " ".join(fill(one_wording[s.relation.key], s.slots) for s in self.statements)
        if rng.random() < 0.3:
            self.statements.sort(key=lambda s: s.slots["s"])
        said = [OPENERS.pick(rng, self.split)] if rng.random() < 0.1 else []
        joinable = False
        for i, statement in enumerate(self.statements):
            template = one_wording.get(statement.relation.key) or self._say(statement.relation)
            before = self.statements[i - 1] if i else None
            if before and self._same_person(before, statement) and rng.random() < 0.35:
                template = self.values.with_pronoun(template, statement.slots["s"])
            raw = template.format_map(statement.slots)
            # inside a sentence a name keeps its capital, another first word does not
            inner = raw if template.startswith(("{", "I ")) else raw[0].lower() + raw[1:]
            simple = ". " not in raw
            if joinable and simple and rng.random() < 0.13:
                said[-1] = said[-1][:-1] + JOINTS.pick(rng, self.split) + inner
                joinable = False
            elif simple and rng.random() < FRAME_SHARE:
                said.append(STATEMENT_FRAMES.pick(rng, self.split).format(x=inner[:-1]))
                joinable = False
            else:
                said.append(capital(raw))
                joinable = simple
        return " ".join(said)

    def _say(self, relation: Relation) -> str:
        """A wording of a statement."""
        rng = self.rng
        if self.split == "train" and rng.random() < PLAINEST_SHARE:
            return relation.say.train[0]
        first, other = _by_order(relation.say, self.split)
        return rng.choice(other if other and rng.random() < VALUE_FIRST_SHARE else first)

    def _same_person(self, before: Statement, now: Statement) -> bool:
        """Whether a pronoun would be clear: the same person twice in a row, and nobody else."""
        others = "person2" in before.relation.slots.values()
        return before.slots["s"] == now.slots["s"] and not others

    def questions(self, count: int, unanswerable: float = 0.0) -> list[Question]:
        """Up to `count` different questions, some perhaps without an answer in the text."""
        rng = self.rng
        who = 1 / WHO_WEIGHT[self.split]
        pairs = [
            (rng.random() ** (who if slot == "s" else 1.0), i, slot)
            for i, statement in enumerate(self.statements)
            for slot in statement.relation.asks
        ]
        found: list[Question] = []
        last: tuple[str, str] | None = None
        for _, i, slot in sorted(pairs, reverse=True)[:count]:
            statement = self.statements[i]
            kind = (statement.relation.key, slot)
            question = self._question(statement, slot, short=last == kind and slot != "s")
            last = kind
            if rng.random() < unanswerable:
                with suppress(Values.Exhausted):
                    question, last = self.unanswerable(), None
            found.append(question)
        return found

    def _question(self, statement: Statement, slot: str, short: bool = False) -> Question:
        relation, slots = statement.relation, statement.slots
        others = [
            s.slots[slot]
            for s in self.statements
            if s.relation is relation and s is not statement and s.slots[slot] != slots[slot]
        ]
        meta = {"kind": relation.key, "slot": slot, "answerable": True, "distractors": others}
        if short and relation.slots["s"] == "person" and self.rng.random() < 0.3:
            text = WHAT_ABOUT.pick(self.rng, self.split).format_map(slots)
        else:
            text = self._ask(relation, slot, slots)
        return Question(text, fill(relation.asks[slot].answer, slots), slots[slot], meta)

    def _ask(self, relation: Relation, slot: str, slots: Mapping[str, str]) -> str:
        rng, bank, place = self.rng, relation.asks[slot].questions, (relation.key, slot)
        if self.split == "train" and not self.plain and rng.random() < INDIRECT_SHARE:
            if place in NOUNS and rng.random() < 0.4:
                return rng.choice(NAMING).format(n=NOUNS[place].format_map(slots))
            return rng.choice(INDIRECT).format(c=CLAUSES[place].format_map(slots))
        if self.split == "train" and rng.random() < (0.6 if self.plain else PLAINEST_SHARE):
            return fill(bank.train[0], slots)
        template = bank.pick(rng, self.split)
        text = fill(template, slots)
        if not self.plain and rng.random() < FRAME_SHARE / 2 and not text.startswith("Tell"):
            inner = text if template.startswith("{") else text[0].lower() + text[1:]
            text = QUESTION_FRAMES.pick(rng, self.split).format(q=text, l=inner)
        return text

    def unanswerable(self) -> Question:
        """A question in the passage's style to which the text has no answer.

        Mostly it names someone or something that the text does not; seldom it asks about a
        person of the text what the text does not tell.
        """
        rng = self.rng
        relation = rng.choice(self.statements).relation
        subject = None
        if rng.random() < 0.15:
            groups = {s.relation.group for s in self.statements}
            people = [s.slots["s"] for s in self.statements if s.relation.slots["s"] == "person"]
            free = [r for r in BY_SUBJECT["person"] if r.group not in groups]
            if people and free:
                relation, subject = rng.choice(free), rng.choice(people)
        slots = self.draw_slots(relation, subject)
        slot = rng.choice([slot for slot in relation.asks if subject is None or slot != "s"])
        text = self._ask(relation, slot, slots)
        meta = {"kind": relation.key, "slot": slot, "answerable": False, "distractors": []}
        return Question(text, NOT_SAID, "does not say", meta)
