"""Reading: a few simple sentences about several people or things, then questions about them.

Every passage holds distractors of the same kind, so that the name has to be bound to its value.
Within a passage the values of a kind are distinct, so every question has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nanohydra.core.types import Conversation, Record
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Example, Split, article, dialogue, fill, plural, user
from nanohydra.data.primer.wordings_reading import Relation
from nanohydra.data.primer.wordings_reading2 import (
    EVENTS,
    JOINTS,
    NOT_SAID,
    OPENERS,
    PASSAGE_AS_SYSTEM,
    PASSAGE_FIRST,
    PASSAGE_THEN_QUESTION,
    READY,
    RELATIONS,
)

BY_SUBJECT: dict[str, tuple[Relation, ...]] = {
    kind: tuple(r for r in RELATIONS if r.slots["s"] == kind)
    for kind in dict.fromkeys(r.slots["s"] for r in RELATIONS)
}
# people stand for most of the subjects of real questions
SUBJECT_KINDS = ("person",) * 14 + ("object",) * 3 + ("town",) * 2 + ("event", "beast")
UNANSWERABLE_SHARE = 0.1
SAME_NOUN = 0.25  # share of passages whose things differ by their adjective alone

POOLS: dict[str, tuple[str, ...]] = {
    "job": words.JOBS, "food": words.FOODS, "drink": words.DRINKS, "pet": words.PETS,
    "instrument": words.INSTRUMENTS, "place": words.PLACES, "month": words.MONTHS,
    "vehicle": words.VEHICLES, "sport": words.SPORTS, "day": words.DAYS,
    "feeling": words.FEELINGS, "scary": words.SCARY, "clothing": words.CLOTHES,
    "colour": tuple(c for c in words.COLOURS if c != "orange"), "goods": words.GOODS,
    "beast": words.ANIMALS, "event": EVENTS, "object": words.THINGS,
}  # fmt: skip
RANGES = {"number": (2, 30), "age": (2, 90), "price": (2, 60), "hour": (1, 12)}


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


class _Exhausted(Exception):
    """A passage holds every value of a small class already."""


class Passage:
    """Random statements whose values of one kind are distinct, and questions about them."""

    def __init__(self, rng: Random, split: Split, size: int) -> None:
        self.rng, self.split = rng, split
        self.taken: set[str] = set()
        self.shared: dict[str, str] = {}
        self.thing_mode = rng.random()
        self.statements: list[Statement] = []
        if rng.random() < 0.55:
            self._fill_parallel(size)
        else:
            self._fill_grid(size)
        rng.shuffle(self.statements)
        self.text = self._tell()

    def _tell(self) -> str:
        """The statements as a text, some joined by a word, some with a pronoun."""
        rng = self.rng
        if rng.random() < 0.3:
            self.statements.sort(key=lambda s: s.slots["s"])
        said: list[str] = []
        if rng.random() < 0.12:
            said.append(OPENERS.pick(rng, self.split))
        joinable = False
        for i, statement in enumerate(self.statements):
            template = statement.relation.say.pick(rng, self.split)
            before = self.statements[i - 1] if i else None
            if before and self._same_person(before, statement) and rng.random() < 0.5:
                template = _with_pronoun(template, statement.slots["s"])
            text = fill(template, statement.slots)
            if joinable and rng.random() < 0.2:
                keep = template.startswith(("{s}", "{r}", "{n}", "I ", "On {", "Every {"))
                text = text if keep else text[0].lower() + text[1:]
                said[-1] = said[-1][:-1] + JOINTS.pick(rng, self.split) + text
                joinable = False
            else:
                said.append(text)
                joinable = ". " not in text
        return " ".join(said)

    def _same_person(self, before: Statement, now: Statement) -> bool:
        """Whether a pronoun would be clear: the same person twice in a row, and nobody else."""
        others = "person2" in before.relation.slots.values()
        return before.slots["s"] == now.slots["s"] and not others

    def _fill_parallel(self, size: int) -> None:
        """Several subjects in one relation, and sometimes one statement of another."""
        rng = self.rng
        relation = rng.choice(BY_SUBJECT[rng.choice(SUBJECT_KINDS)])
        for _ in range(size):
            self._add(relation)
        if rng.random() < 0.4:
            other = rng.choice(BY_SUBJECT["person"])
            if other.group != relation.group:
                about_person = relation.slots["s"] == "person"
                self._add(other, self.statements[0].slots["s"] if about_person else None)

    def _fill_grid(self, size: int) -> None:
        """A few subjects, each in two or three relations."""
        rng = self.rng
        kind = rng.choice(("person", "person", "person", "person", "object", "town"))
        relations: list[Relation] = []
        for relation in rng.sample(BY_SUBJECT[kind], min(3, len(BY_SUBJECT[kind]))):
            if relation.group not in [r.group for r in relations] and len(relations) < 3:
                relations.append(relation)
        rows = max(2, -(-size // len(relations)))
        subjects = [self.draw(kind) for _ in range(rows)]
        # relation by relation, so that at least the first one has a distractor
        cells = [(r, s) for r in relations for s in subjects]
        for relation, subject in cells[: max(size, 2)]:
            self._add(relation, subject)

    def _add(self, relation: Relation, subject: str | None = None) -> None:
        with suppress(_Exhausted):
            self.statements.append(Statement(relation, self.draw_slots(relation, subject)))

    def draw_slots(self, relation: Relation, subject: str | None = None) -> dict[str, str]:
        """Fresh values for the slots of a relation, about `subject` if it is of that kind."""
        if subject is not None and relation.slots["s"] in ("person", "object", "town"):
            slots = {"s": subject}
        else:
            slots = {"s": self.draw(relation.slots["s"])}
        for slot, kind in relation.slots.items():
            if slot != "s":
                slots[slot] = self.draw(kind)
        if "v" in slots:
            slots["av"] = article(slots["v"])
        return slots

    def draw(self, kind: str) -> str:
        """A value of the kind that the passage does not hold yet."""
        if kind in self.shared:
            return self.shared[kind]
        for _ in range(80):
            value = self._candidate(kind)
            marks = self._marks(kind, value)
            if not marks & self.taken:
                break
        else:
            raise _Exhausted(kind)
        self.taken |= marks
        if kind in ("count_noun", "clothing") and self.rng.random() < 0.5:
            self.shared[kind] = value
        return value

    def _marks(self, kind: str, value: str) -> set[str]:
        """What may not come again once the value is drawn: itself, and a thing's noun."""
        if kind in RANGES:
            return {f"{kind} {value}"}
        if kind == "spot" or (kind == "thing" and self.thing_mode >= SAME_NOUN):
            return {value, value.split()[-1]}
        return {value}

    def _candidate(self, kind: str) -> str:
        rng = self.rng
        if kind in ("person", "person2"):
            return names.person(rng, self.split)
        if kind == "town":
            return names.town(rng, self.split)
        if kind == "pet_name":
            return names.made_name(rng, self.split)
        if kind in RANGES:
            return str(rng.randint(*RANGES[kind]))
        if kind == "thing":
            return self._thing()
        if kind == "count_noun":
            return plural(rng.choice(words.COUNTABLE))
        if kind == "spot":
            return spot(rng)
        return rng.choice(POOLS[kind])

    def _thing(self) -> str:
        """A thing with an adjective; in some passages all share the noun or the adjective."""
        rng = self.rng
        pool = words.COLOURS if rng.random() < 0.7 else words.SIZES
        if self.thing_mode < SAME_NOUN:
            noun = self.shared.setdefault("_noun", rng.choice(words.THINGS))
            return f"{rng.choice(words.COLOURS)} {noun}"
        if self.thing_mode < 0.45:
            adjective = self.shared.setdefault("_adjective", rng.choice(pool))
            return f"{adjective} {rng.choice(words.THINGS)}"
        if self.thing_mode < 0.7:
            return rng.choice(words.THINGS)
        return f"{rng.choice(pool)} {rng.choice(words.THINGS)}"

    def questions(self, count: int, unanswerable: float = 0.0) -> list[Question]:
        """Up to `count` different questions, some perhaps without an answer in the text."""
        rng = self.rng
        pairs = [(s, slot) for s in self.statements for slot in s.relation.asks]
        rng.shuffle(pairs)
        found = []
        for statement, slot in pairs[:count]:
            question = self._question(statement, slot)
            if rng.random() < unanswerable:
                with suppress(_Exhausted):
                    question = self.unanswerable()
            found.append(question)
        return found

    def _question(self, statement: Statement, slot: str) -> Question:
        relation, slots = statement.relation, statement.slots
        ask = relation.asks[slot]
        others = [
            s.slots[slot]
            for s in self.statements
            if s.relation is relation and s is not statement and s.slots[slot] != slots[slot]
        ]
        meta = {"kind": relation.key, "slot": slot, "answerable": True, "distractors": others}
        text = fill(ask.questions.pick(self.rng, self.split), slots)
        return Question(text, fill(ask.answer, slots), slots[slot], meta)

    def unanswerable(self) -> Question:
        """A question in the passage's style to which the text has no answer."""
        rng = self.rng
        relation = rng.choice(self.statements).relation
        subject = None
        if rng.random() < 0.4:
            # someone of the passage, but a matter that it does not tell
            groups = {s.relation.group for s in self.statements}
            people = [s.slots["s"] for s in self.statements if s.relation.slots["s"] == "person"]
            free = [r for r in BY_SUBJECT["person"] if r.group not in groups]
            if people and free:
                relation, subject = rng.choice(free), rng.choice(people)
        slots = self.draw_slots(relation, subject)
        asks = [slot for slot in relation.asks if subject is None or slot != "s"]
        slot = rng.choice(asks)
        text = fill(relation.asks[slot].questions.pick(rng, self.split), slots)
        meta = {"kind": relation.key, "slot": slot, "answerable": False, "distractors": []}
        return Question(text, NOT_SAID, "does not say", meta)


def spot(rng: Random) -> str:
    """Where a thing lies: in, on, under or behind something."""
    roll = rng.random()
    if roll < 0.5:
        return f"in the {rng.choice(words.SPOTS)}"
    if roll < 0.7:
        return f"on the {rng.choice(words.TOPS)}"
    return f"{'under' if roll < 0.85 else 'behind'} the {rng.choice(words.COVERS)}"


def _with_pronoun(template: str, name: str) -> str:
    """The template with "she" or "he" for its leading name, where the name tells which."""
    pronoun = "She" if name in names.GIRLS else "He" if name in names.BOYS else ""
    if pronoun and template.startswith("{s} ") and template.count("{s}") == 1:
        return pronoun + template.removeprefix("{s}")
    return template


class Reading:
    """The domain `reading`."""

    source = "primer/reading"

    def record(self, rng: Random, split: Split) -> Record:
        """A passage and one to four questions with their answers."""
        count = 1 if rng.random() < 0.3 else rng.randint(2, 5)
        return conversation(rng, split, rng.randint(2, 5), count, self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A passage and one question."""
        passage = Passage(rng, split, rng.randint(2, 5))
        question = passage.questions(1, UNANSWERABLE_SHARE)[0]
        frame = PASSAGE_THEN_QUESTION.pick(rng, split)
        prompt = (user(frame.format(p=passage.text, q=question.text)),)
        return Example(
            prompt=prompt, answer=question.key, domain="reading",
            meta={**question.meta, "reference": question.answer, "passage": passage.text},
        )  # fmt: skip


def conversation(rng: Random, split: Split, size: int, count: int, source: str) -> Conversation:
    """A passage of `size` facts or more, then up to `count` question turns."""
    passage = Passage(rng, split, size)
    asked = passage.questions(count, UNANSWERABLE_SHARE)
    turns: list[str] = []
    system = ""
    roll = rng.random()
    if roll < 0.06:
        system = PASSAGE_AS_SYSTEM.pick(rng, split).format(p=passage.text)
        turns += [asked[0].text, asked[0].answer]
    elif roll < 0.25:
        turns += [PASSAGE_FIRST.pick(rng, split).format(p=passage.text), rng.choice(READY)]
        turns += [asked[0].text, asked[0].answer]
    else:
        frame = PASSAGE_THEN_QUESTION.pick(rng, split)
        turns += [frame.format(p=passage.text, q=asked[0].text), asked[0].answer]
    for question in asked[1:]:
        turns += [question.text, question.answer]
    unanswered = sum(not q.meta["answerable"] for q in asked)
    meta = {"questions": len(asked), "unanswerable": unanswered}
    return dialogue(turns, source, system=system, meta=meta)
