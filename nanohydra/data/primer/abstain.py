"""Abstaining: "I don't know" to what was never told, and the flip side, known facts.

Unknown subjects come from the same generator as known ones and are asked in the same wordings, so
only having been told decides. Those of the test split never occur in training.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Record
from nanohydra.data.primer.craft import Example, Split, dialogue, fill, user
from nanohydra.data.primer.facts import (
    Facts,
    answer,
    back_question,
    question,
    random_turn,
    statement,
)
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.wordings_abstain import (
    ABSTENTIONS,
    CELEBRITIES,
    COUNTRIES,
    DISCOVERIES,
    OUTSIDE,
    UNTOLD,
    WORKS,
)
from nanohydra.data.primer.wordings_facts2 import ACKNOWLEDGE, TEACH
from nanohydra.data.primer.world import by_subject, new_facts

KEY = "I don't know"


def unknown(rng: Random, split: Split) -> tuple[str, str]:
    """A question about a subject never heard of, and the kind of relation asked for."""
    fact = rng.choice(new_facts(rng, split))
    if fact.relation.back and rng.random() < 0.12:
        return back_question(fact, rng, split), fact.relation.key
    return question(fact, rng, split), fact.relation.key


def outside(rng: Random, split: Split) -> str:
    """A question about the real world or about the user."""
    return OUTSIDE.pick(rng, split).format(
        country=COUNTRIES.pick(rng, split), celebrity=CELEBRITIES.pick(rng, split),
        work=WORKS.pick(rng, split), discovery=DISCOVERIES.pick(rng, split),
    )  # fmt: skip


def untold(rng: Random, split: Split) -> str:
    """A question about a known subject that nobody ever answered."""
    fact = rng.choice(by_subject())[0]
    return fill(UNTOLD[fact.relation.kind].pick(rng, split), fact.slots)


def no_text(rng: Random, split: Split) -> str:
    """A question as after a passage, without the passage: "What does Tom have?"."""
    return Passage(rng, split, 2).questions(1)[0].text


def any_question(rng: Random, split: Split) -> tuple[str, str]:
    """A question that has no answer, with its kind."""
    roll = rng.random()
    if roll < 0.62:
        return unknown(rng, split)[0], "unknown"
    if roll < 0.76:
        return outside(rng, split), "outside"
    return (untold(rng, split), "untold") if roll < 0.88 else (no_text(rng, split), "no_text")


class Abstain:
    """The domain `abstain`."""

    source = "primer/abstain"

    def record(self, rng: Random, split: Split) -> Record:
        """Unanswerable questions, alone, among known ones, or before they are taught."""
        roll = rng.random()
        turns: list[str] = []
        if roll < 0.1:
            fact = rng.choice(new_facts(rng, split))
            turns += [question(fact, rng, split), rng.choice(ABSTENTIONS)]
            turns += [TEACH.pick(rng, split).format(f=statement(fact, rng, split))]
            turns += [rng.choice(ACKNOWLEDGE), question(fact, rng, split), answer(fact)]
        elif roll < 0.4:
            for _ in range(rng.randint(2, 3)):
                if rng.random() < 0.5:
                    turns += random_turn(rng, split)
                else:
                    turns += [any_question(rng, split)[0], rng.choice(ABSTENTIONS)]
        else:
            turns += [any_question(rng, split)[0], rng.choice(ABSTENTIONS)]
        return dialogue(turns, self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A question that has no answer; right is any abstention."""
        text, kind = any_question(rng, split)
        meta = {"kind": kind, "reference": ABSTENTIONS[0]}
        return Example(
            prompt=(user(text),), answer=KEY, accept=ABSTENTIONS, domain="abstain", meta=meta
        )


class Known(Facts):
    """The domain `known`: questions about known facts, to measure false abstention."""

    source = "primer/known"

    def record(self, rng: Random, split: Split) -> Record:
        """A conversation of one question about a known fact."""
        return dialogue(random_turn(rng, split), self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A question about a known fact; the reply must not abstain."""
        example = super().example(rng, split)
        meta = {**example.meta, "forbidden": KEY}
        return Example(prompt=example.prompt, answer=example.answer, domain="known", meta=meta)
