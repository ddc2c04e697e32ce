"""Abstaining: "I don't know" to what the model was never told, and only to that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nanohydra.core.types import Message
from nanohydra.data.primer import Example
from nanohydra.tasks.base import say
from nanohydra.tasks.judge import abstains, declines, tokens
from nanohydra.tasks.primer import PrimerTask


class AbstainUnknown(PrimerTask):
    """Questions without an answer: unheard-of subjects, the world outside, untold attributes."""

    metric: ClassVar[str] = "abstain_accuracy"
    domain: ClassVar[str] = "abstain"

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """1 if the whole reply abstains; naming a guess along with it is no abstention."""
        return float(declines(text))

    def wrong(self, example: Example) -> tuple[Message, ...]:
        """A guess behind an abstention."""
        return say("I don't know. It is the red one.")


class AbstainKnown(PrimerTask):
    """Questions about taught facts: the share that the model does not refuse to answer.

    Whether the answer is right is measured by the task `facts`.
    """

    metric: ClassVar[str] = "known_accuracy"
    domain: ClassVar[str] = "known"

    def score(self, example: Example, text: str, trace: Sequence[Message] = ()) -> float:
        """1 if the reply says something and does not abstain."""
        return float(bool(tokens(text)) and not abstains(text))

    def wrong(self, example: Example) -> tuple[Message, ...]:
        """An abstention."""
        return say("I don't know that yet. You can teach me.")
