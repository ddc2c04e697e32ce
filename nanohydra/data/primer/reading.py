"""Reading: a few simple sentences about several people or things, then questions about them.

Every passage holds distractors of the same kind, so that the name has to be bound to its value.
Within a passage the values of a kind are distinct, so every question has one answer.
"""

from __future__ import annotations

from random import Random

from nanohydra.core.types import Conversation, Record
from nanohydra.data.primer.craft import Example, Split, dialogue, user
from nanohydra.data.primer.passage import Passage
from nanohydra.data.primer.wordings_reading3 import (
    PASSAGE_AS_SYSTEM,
    PASSAGE_FIRST,
    PASSAGE_THEN_QUESTION,
    READY,
)

UNANSWERABLE_SHARE = {"train": 0.1, "test": 0.07}


class Reading:
    """The domain `reading`."""

    source = "primer/reading"

    def record(self, rng: Random, split: Split) -> Record:
        """A passage and one to five questions with their answers."""
        count = 1 if rng.random() < 0.2 else rng.randint(3, 5)
        return conversation(rng, split, Passage(rng, split, rng.randint(2, 5)), count, self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A passage and one question."""
        passage = Passage(rng, split, rng.randint(2, 5))
        question = passage.questions(1, UNANSWERABLE_SHARE[split])[0]
        frame = PASSAGE_THEN_QUESTION.pick(rng, split)
        prompt = (user(frame.format(p=passage.text, q=question.text)),)
        return Example(
            prompt=prompt, answer=question.key, domain="reading",
            meta={**question.meta, "reference": question.answer, "passage": passage.text},
        )  # fmt: skip


def conversation(
    rng: Random, split: Split, passage: Passage, count: int, source: str
) -> Conversation:
    """A passage, then up to `count` question turns."""
    asked = passage.questions(count, UNANSWERABLE_SHARE[split])
    turns: list[str] = []
    system = ""
    roll = rng.random()
    if roll < 0.05:
        system = PASSAGE_AS_SYSTEM.pick(rng, split).format(p=passage.text)
        turns += [asked[0].text, asked[0].answer]
    elif roll < 0.08:
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
