"""Notes: questions asked with quoted notes in the system turn, as a memory finds them.

Some notes answer the question, others are about someone else, and at times none of them helps: then
the model answers as if there were none.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Conversation, Message, Record
from nanohydra.data.notes import frame_notes
from nanohydra.data.primer import arithmetic
from nanohydra.data.primer.abstain import any_question
from nanohydra.data.primer.craft import Example, Split, dialogue, user
from nanohydra.data.primer.facts import answer, question, random_turn, statement
from nanohydra.data.primer.greetings import small_talk
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.wordings_abstain import ABSTENTIONS
from nanohydra.data.primer.wordings_personal import PERSONAL
from nanohydra.data.primer.world import Fact, all_facts, new_facts

MOST_NOTES = 4
USELESS_SHARE = 0.3


def _told(rng: Random, split: Split) -> list[Fact]:
    """New facts of one subject, and sometimes the same of another, so that the name decides."""
    first = list(new_facts(rng, split))
    told = rng.sample(first, rng.randint(1, min(2, len(first))))
    if rng.random() < 0.5:
        second = new_facts(rng, split, told[0].relation.kind)
        same = [f for f in second if f.relation is told[0].relation]
        if same[0].object != told[0].object:
            told += same
    return told


class Notes:
    """The domain `notes`."""

    source = "primer/notes"

    def record(self, rng: Random, split: Split) -> Record:
        """Notes and one to three questions."""
        roll = rng.random()
        if roll < USELESS_SHARE:
            return self._useless(rng, split)
        if roll < 0.5:
            turns, notes = self._personal(rng, split)
        elif roll < 0.65:
            passage = Passage(rng, split, rng.randint(2, MOST_NOTES), plain=rng.random() < 0.5)
            notes = [f"{sentence.rstrip('.')}." for sentence in passage.text.split(". ")]
            turns = [t for q in passage.questions(rng.randint(1, 3)) for t in (q.text, q.answer)]
        else:
            facts = _told(rng, split)
            turns = []
            for fact in rng.sample(facts, rng.randint(1, len(facts))):
                turns += [question(fact, rng, split), answer(fact)]
            if rng.random() < 0.25:
                other = rng.choice(new_facts(rng, split, facts[0].relation.kind))
                turns += [question(other, rng, split), rng.choice(ABSTENTIONS)]
            notes = self._mixed_in(rng, split, [statement(f, rng, split) for f in facts])
        return dialogue(turns, self.source, system=frame_notes(notes))

    def _mixed_in(self, rng: Random, split: Split, notes: list[str]) -> list[str]:
        """The notes among others that do not matter, in any order."""
        room = MOST_NOTES - len(notes)
        others = rng.randint(0, room) if room > 0 else 0
        notes = notes + [self._any_note(rng, split) for _ in range(others)]
        rng.shuffle(notes)
        return notes

    def _any_note(self, rng: Random, split: Split) -> str:
        if rng.random() < 0.3:
            item = rng.choice(PERSONAL)
            return item.say.pick(rng, split).format(o=item.value(rng, split))
        facts = all_facts() if rng.random() < 0.4 else new_facts(rng, split)
        return statement(rng.choice(facts), rng, split)

    def _personal(self, rng: Random, split: Split) -> tuple[list[str], list[str]]:
        told = [(p, p.value(rng, split)) for p in rng.sample(PERSONAL, rng.randint(1, 3))]
        notes = [p.say.pick(rng, split).format(o=value) for p, value in told]
        turns: list[str] = []
        for p, value in rng.sample(told, rng.randint(1, len(told))):
            turns += [p.ask.pick(rng, split), p.answer.format(o=value)]
        return turns, self._mixed_in(rng, split, notes)

    def _useless(self, rng: Random, split: Split) -> Conversation:
        """Notes that do not help: what is known, computed or unknown stays so."""
        notes = [self._any_note(rng, split) for _ in range(rng.randint(1, MOST_NOTES))]
        system = Message(role="system", content=frame_notes(notes))
        roll = rng.random()
        if roll < 0.3:
            turns = arithmetic.turns(arithmetic.problem(rng, split))
            return Conversation(messages=(system, *turns), source=self.source)
        if roll < 0.65:
            pair = random_turn(rng, split)
        elif roll < 0.85:
            pair = (any_question(rng, split)[0], rng.choice(ABSTENTIONS))
        else:
            pair = small_talk(rng, split)
        return dialogue(list(pair), self.source, system=system.content)

    def example(self, rng: Random, split: Split) -> Example:
        """Notes, one of which answers the question."""
        facts = _told(rng, split)
        fact = rng.choice(facts)
        notes = self._mixed_in(rng, split, [statement(f, rng, split) for f in facts])
        prompt = (
            Message(role="system", content=frame_notes(notes)),
            user(question(fact, rng, split)),
        )
        others = [f.object for f in facts if f.relation is fact.relation and f is not fact]
        meta = {"kind": fact.relation.key, "distractors": others, "reference": answer(fact)}
        return Example(prompt=prompt, answer=fact.object, domain="notes", meta=meta)
