"""Facts: the made-up world told and asked in many wordings, and how to be taught in a chat.

The facts are the same in both splits; the wordings of the questions are not. What is taught in a
conversation is new each time and is answered from the conversation.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Conversation, Record
from nanohydra.data.primer.craft import Example, Split, dialogue, document, fill, user
from nanohydra.data.primer.wordings_abstain import ABSTENTIONS
from nanohydra.data.primer.wordings_facts import FRAMES
from nanohydra.data.primer.wordings_facts2 import ACKNOWLEDGE, CORRECT, TEACH
from nanohydra.data.primer.wordings_personal import PERSONAL
from nanohydra.data.primer.world import (
    Fact,
    all_facts,
    bare,
    by_subject,
    make_object,
    new_facts,
)

FRAME_SHARE = 0.35
BACK_SHARE = 0.12
REVERSIBLE = tuple(fact for fact in all_facts() if fact.relation.back)


def question(fact: Fact, rng: Random, split: Split) -> str:
    """The fact's object asked for, in a wording of the split."""
    if rng.random() < FRAME_SHARE:
        clause = fact.relation.clause.format_map(fact.slots)
        return FRAMES.pick(rng, split).format(c=clause)
    return fill(fact.relation.ask.pick(rng, split), fact.slots)


def answer(fact: Fact) -> str:
    """The sentence that answers `question`."""
    return fill(fact.relation.answer, fact.slots)


def back_question(fact: Fact, rng: Random, split: Split) -> str:
    """The fact's subject asked for."""
    assert fact.relation.back is not None
    return fill(fact.relation.back.questions.pick(rng, split), fact.slots)


def back_answer(fact: Fact) -> str:
    """The sentence that answers `back_question`."""
    assert fact.relation.back is not None
    return fill(fact.relation.back.answer, fact.slots)


def statement(fact: Fact, rng: Random, split: Split) -> str:
    """The fact told in a wording of the split."""
    return fill(fact.relation.say.pick(rng, split), fact.slots)


def random_turn(rng: Random, split: Split) -> tuple[str, str]:
    """A question about a known fact with its answer, sometimes in reverse."""
    if rng.random() < BACK_SHARE:
        fact = rng.choice(REVERSIBLE)
        return back_question(fact, rng, split), back_answer(fact)
    fact = rng.choice(all_facts())
    return question(fact, rng, split), answer(fact)


def personal_turns(rng: Random, split: Split) -> list[str]:
    """The user tells about herself or himself and asks for it later."""
    told = [(p, p.value(rng, split)) for p in rng.sample(PERSONAL, rng.randint(1, 3))]
    turns: list[str] = []
    if len(told) > 1 and rng.random() < 0.3:
        said = " ".join(p.say.pick(rng, split).format(o=value) for p, value in told)
        turns += [said, rng.choice(ACKNOWLEDGE)]
    else:
        for p, value in told:
            turns += [p.say.pick(rng, split).format(o=value), rng.choice(ACKNOWLEDGE)]
    if rng.random() < 0.2:
        turns += random_turn(rng, split)
    for p, value in rng.sample(told, rng.randint(1, len(told))):
        turns += [p.ask.pick(rng, split), p.answer.format(o=value)]
    if rng.random() < 0.3:
        other = rng.choice(PERSONAL)
        if other not in [p for p, _ in told]:
            turns += [other.ask.pick(rng, split), rng.choice(ABSTENTIONS)]
    return turns


def correction_turns(rng: Random, split: Split) -> list[str]:
    """A fact is told, then told otherwise, or a known one is; the last word counts."""
    turns: list[str] = []
    if rng.random() < 0.5:
        old = rng.choice(all_facts())
        if rng.random() < 0.5:
            turns += [question(old, rng, split), answer(old)]
    else:
        old = rng.choice(new_facts(rng, split))
        said = statement(old, rng, split)
        turns += [TEACH.pick(rng, split).format(f=said), rng.choice(ACKNOWLEDGE)]
    new = Fact(old.subject, old.relation, make_object(rng, old.relation, split))
    said = CORRECT.pick(rng, split).format(f=statement(new, rng, split))
    turns += [said, rng.choice(ACKNOWLEDGE)]
    if rng.random() < 0.2:
        turns += random_turn(rng, split)
    return [*turns, question(new, rng, split), answer(new)]


class Facts:
    """The domain `facts`: what is known for good."""

    source = "primer/facts"

    def record(self, rng: Random, split: Split) -> Record:
        """Statements as a document, or a conversation of one to three questions."""
        roll = rng.random()
        if roll < 0.15:
            told = list(rng.choice(by_subject()))
            rng.shuffle(told)
            return document(" ".join(statement(f, rng, split) for f in told), self.source)
        if roll < 0.3:
            told = [rng.choice(all_facts()) for _ in range(rng.randint(1, 4))]
            return document(" ".join(statement(f, rng, split) for f in told), self.source)
        turns: list[str] = []
        if roll < 0.4:
            for fact in rng.sample(group := rng.choice(by_subject()), min(3, len(group))):
                turns += [question(fact, rng, split), answer(fact)]
        else:
            for _ in range(rng.choice((1, 1, 2, 3))):
                turns += random_turn(rng, split)
        return dialogue(turns, self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A question about a known fact."""
        back = rng.random() < BACK_SHARE
        fact = rng.choice(REVERSIBLE if back else all_facts())
        text = back_question(fact, rng, split) if back else question(fact, rng, split)
        meta = {
            "kind": fact.relation.key, "direction": "back" if back else "forward",
            "subject": fact.subject, "object": fact.object,
            "reference": back_answer(fact) if back else answer(fact),
        }  # fmt: skip
        key = bare(fact.subject) if back else fact.object
        return Example(prompt=(user(text),), answer=key, domain="facts", meta=meta)


class Taught:
    """The domain `taught`: a new fact is told in the chat and asked for later in it."""

    source = "primer/taught"

    def record(self, rng: Random, split: Split) -> Record:
        """Teaching turns, then questions about them, about known facts and about neither."""
        if rng.random() < 0.3:
            return dialogue(personal_turns(rng, split), self.source)
        if rng.random() < 0.15:
            return dialogue(correction_turns(rng, split), self.source)
        turns, told = self._teach(rng, split)
        asked = rng.sample(told, min(len(told), rng.randint(1, 3)))
        for fact in asked:
            if rng.random() < 0.15:
                turns += random_turn(rng, split)
            turns += [question(fact, rng, split), answer(fact)]
        if rng.random() < 0.25:
            # someone of the same kind who was not told of: the contrast to the fact just taught
            other = rng.choice(new_facts(rng, split, told[0].relation.kind))
            turns += [question(other, rng, split), rng.choice(ABSTENTIONS)]
        return dialogue(turns, self.source)

    def _teach(self, rng: Random, split: Split) -> tuple[list[str], list[Fact]]:
        first = list(new_facts(rng, split))
        told = rng.sample(first, rng.randint(1, min(2, len(first))))
        if rng.random() < 0.5:
            # a second subject of the same kind, so that the name decides
            second = new_facts(rng, split, told[0].relation.kind)
            same = [f for f in second if f.relation is told[0].relation]
            if same[0].object != told[0].object:
                told += same
        turns: list[str] = []
        rest = list(told)
        while rest:
            step = rng.randint(1, len(rest))
            said = " ".join(statement(f, rng, split) for f in rest[:step])
            turns += [TEACH.pick(rng, split).format(f=said), rng.choice(ACKNOWLEDGE)]
            rest = rest[step:]
        return turns, told

    def example(self, rng: Random, split: Split) -> Example:
        """A conversation that taught something and now asks for it."""
        turns, told = self._teach(rng, split)
        fact = rng.choice(told)
        turns.append(question(fact, rng, split))
        others = [f.object for f in told if f.relation is fact.relation and f is not fact]
        conversation: Conversation = dialogue(turns, self.source)
        meta = {"kind": fact.relation.key, "distractors": others, "reference": answer(fact)}
        return Example(prompt=conversation.messages, answer=fact.object, domain="taught", meta=meta)
