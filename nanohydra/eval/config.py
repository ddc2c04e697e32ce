"""What an evaluation run does: which tasks, how many examples, which text, which targets.

Data only; importing it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nanohydra.core.errors import UserError

DEFAULT_TASKS = ("arithmetic", "facts", "reading", "abstain_unknown", "abstain_known")


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of one evaluation.

    tasks: names of the task table, in the order they are reported.
    count: examples per task; 0 means all there are.
    counts: exceptions to `count`, by task; facts are asked in full, as there are only so many.
    split: the part of each task that is asked.
    text: a file of documents for bits per byte and perplexity; None means the run's own held-out
        text, where it has one.
    documents: how many documents of it at most; 0 means all.
    row_length: tokens that the model sees at once, BOS included; at most what it was made for.
    stride: tokens scored per window after the first; 0 means row_length (windows do not overlap).
    batch: windows per forward pass, and conversations answered at once.
    max_tokens: longest reply per turn.
    samples: good and bad replies kept per task for the report.
    seed: which examples are drawn.
    targets: metric name -> value to reach (accuracies: at least; bits and perplexity: at most).
    """

    tasks: tuple[str, ...] = DEFAULT_TASKS
    count: int = 200
    counts: Mapping[str, int] = field(default_factory=lambda: {"facts": 0})
    split: Literal["train", "test"] = "test"
    text: Path | None = None
    documents: int = 500
    row_length: int = 256
    stride: int = 0
    batch: int = 16
    max_tokens: int = 96
    samples: int = 6
    seed: int = 0
    targets: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.split not in ("train", "test"):
            raise UserError(f"there is no split {self.split!r}; use test, or train to compare")
        for name in ("row_length", "batch", "max_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"eval.{name} must be at least 1, not {getattr(self, name)}")
        for name in ("count", "documents", "stride", "samples"):
            if getattr(self, name) < 0:
                raise UserError(f"eval.{name} must not be negative, but is {getattr(self, name)}")
        if self.stride > self.row_length:
            raise UserError(
                f"eval.stride is {self.stride}, more than eval.row_length = {self.row_length}; "
                "tokens between two windows would not be scored"
            )

    def count_of(self, task: str) -> int | None:
        """How many examples of a task to ask; None means all."""
        return self.counts.get(task, self.count) or None
