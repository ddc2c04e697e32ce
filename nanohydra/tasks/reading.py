"""Reading: a passage with several names and values, a question, and only one right span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nanohydra.core.types import Message
from nanohydra.data.primer import Example
from nanohydra.tasks.base import say
from nanohydra.tasks.judge import abstains, declines, says
from nanohydra.tasks.primer import PrimerTask


class Reading(PrimerTask):
    """Questions about a passage in the prompt; some ask what it does not tell."""

    metric: ClassVar[str] = "reading_accuracy"
    domain: ClassVar[str] = "reading"

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """1 if the reply says the right span and no distractor of the passage.

        Where the passage has no answer, 1 if the whole reply says that.
        """
        if not example.meta["answerable"]:
            return float(declines(text))
        accepted = (example.answer, *example.accept)
        return float(says(text, accepted, _distractors(example)) and not abstains(text))

    def wrong(self, example: Example) -> tuple[Message, ...]:
        """The right span beside a distractor; an answer where there is none."""
        if not example.meta["answerable"]:
            return say("It is the red one.")
        distractors = _distractors(example)
        return say(f"{example.answer} or {distractors[0]}." if distractors else "It does not say.")


def _distractors(example: Example) -> list[str]:
    """Other values of the passage; one that the right sentence holds too may be said."""
    reference = example.meta["reference"]
    return [other for other in example.meta["distractors"] if not says(reference, [other])]
