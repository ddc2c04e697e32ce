"""The questions that models are evaluated with: no lesson may teach them to the weights."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from nanohydra.data.clean import Overlap
from nanohydra.tasks import TASKS, load_task
from nanohydra.tasks.judge import tokens

MIN_WORDS = 5  # of a question that counts wherever it stands in a text


class EvaluationTexts:
    """Knows questions, to find them in texts: whole ones, and long runs of their words."""

    def __init__(self, questions: Iterable[str]) -> None:
        listed = list(questions)
        self._questions = {tokens(question) for question in listed} - {()}
        self._sizes = sorted({len(q) for q in self._questions if len(q) >= MIN_WORDS})
        self._overlap = Overlap(listed)

    def reason(self, text: str) -> str | None:
        """Why a text is not for the weights, or None."""
        said = tokens(text)
        if said in self._questions:
            return "is an evaluation question"
        for size in self._sizes:
            for start in range(len(said) - size + 1):
                if said[start : start + size] in self._questions:
                    return "holds an evaluation question"
        return self._overlap.reason(text)


@functools.cache
def evaluation_texts() -> EvaluationTexts:
    """The last turns of the built-in tasks' test questions."""
    return EvaluationTexts(
        example.prompt[-1].content for name in TASKS for example in load_task(name).load("test")
    )
