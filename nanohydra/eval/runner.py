"""Ask tasks and judge the answers: shares with intervals, and samples of good and bad replies.

Does not know how answers are made: generation arrives as a function, so a model, a server or a
script can be examined alike.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nanohydra.core.types import Message
from nanohydra.eval.config import EvalConfig
from nanohydra.eval.stats import Interval, wilson
from nanohydra.tasks import Example, Task, final_text

Answer = Callable[[list[tuple[Message, ...]]], list[list[Message]]]
"""Conversations that end with a user's turn -> for each, the new messages that answer it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question with the reply it got."""

    prompt: tuple[Message, ...]
    expected: str
    reply: tuple[Message, ...]
    score: float


@dataclass(frozen=True, kw_only=True)
class KindCount:
    """How many examples of one kind were right."""

    right: float
    asked: int


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What one task measured. `accuracy` is the mean score, `interval` its Wilson interval."""

    name: str
    version: int
    metric: str
    split: str
    seed: int
    num_examples: int
    accuracy: float
    interval: Interval
    seconds: float
    by_kind: Mapping[str, KindCount] = field(default_factory=dict)
    good: tuple[Sample, ...] = ()
    bad: tuple[Sample, ...] = ()


def run_tasks(
    tasks: Mapping[str, Task],
    answer: Answer,
    config: EvalConfig,
    on_result: Callable[[TaskResult], None] = lambda result: None,
) -> dict[str, TaskResult]:
    """Ask every task in turn; `on_result` hears of each as soon as it is done."""
    results = {}
    for name, task in tasks.items():
        results[name] = run_task(name, task, answer, config)
        on_result(results[name])
    return results


def run_task(name: str, task: Task, answer: Answer, config: EvalConfig) -> TaskResult:
    """Ask one task's examples in one call of `answer` and judge them."""
    examples = task.load(config.split, seed=config.seed, count=config.count_of(name))
    assert examples, f"task {name} gave no examples"
    begin = time.perf_counter()
    replies = answer([task.prompt(example) for example in examples])
    seconds = time.perf_counter() - begin
    assert len(replies) == len(examples), f"{len(replies)} replies to {len(examples)} questions"
    samples = [
        Sample(
            prompt=task.prompt(example),
            expected=example.answer,
            reply=tuple(reply),
            score=task.score(example, final_text(reply), reply),
        )
        for example, reply in zip(examples, replies, strict=True)
    ]
    total = sum(sample.score for sample in samples)
    return TaskResult(
        name=name,
        version=task.version,
        metric=task.metric,
        split=config.split,
        seed=config.seed,
        num_examples=len(samples),
        accuracy=total / len(samples),
        interval=wilson(total, len(samples)),
        seconds=seconds,
        by_kind=_by_kind(examples, samples),
        good=_spread([s for s in samples if s.score >= 1.0], config.samples),
        bad=_spread([s for s in samples if s.score < 1.0], config.samples),
    )


def _by_kind(examples: Sequence[Example], samples: Sequence[Sample]) -> dict[str, KindCount]:
    """Right and asked per `meta["kind"]`, where examples name one."""
    asked: Counter[str] = Counter()
    right: dict[str, float] = {}
    for example, sample in zip(examples, samples, strict=True):
        if kind := str(example.meta.get("kind", "")):
            asked[kind] += 1
            right[kind] = right.get(kind, 0.0) + sample.score
    return {kind: KindCount(right=right[kind], asked=asked[kind]) for kind in sorted(asked)}


def _spread(samples: Sequence[Sample], count: int) -> tuple[Sample, ...]:
    """At most `count` samples, evenly spaced, so that all kinds have a chance."""
    count = min(count, len(samples))
    return tuple(samples[index * len(samples) // count] for index in range(count))
