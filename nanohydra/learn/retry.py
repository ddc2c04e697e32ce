"""How to train again what the gate refused: longer, or gentler, as the checks that failed say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from nanohydra.learn.config import LearnConfig

LEARNED = frozenset({"recall", "reverse"})  # the checks of what is new; the others are of harm


def tries(config: LearnConfig, lessons: int) -> int:
    """How often so many lessons are trained together."""
    return config.retry.attempts if lessons == 1 else min(2, config.retry.attempts)


def next_try(
    first: LearnConfig, last: LearnConfig, failed: Collection[str], layers: int
) -> LearnConfig:
    """The settings after a refusal.

    first: those of the recipe; last: those that were refused. failed: the checks that were not
    passed. layers: of the model.
    """
    train, retry = last.train, first.retry
    if failed and LEARNED.issuperset(failed):
        more = train.reverse_times + ("reverse" in failed)
        longer = replace(train, max_epochs=train.max_epochs * retry.longer, reverse_times=more)
        return replace(last, train=longer)
    if train.lr == first.train.lr:
        gentler = replace(
            train, lr=train.lr * retry.lr_factor, kl_weight=train.kl_weight * retry.kl_factor
        )
        return replace(last, train=gentler, mixture=replace(last.mixture, replay=retry.replay))
    upper = tuple(range(layers // 2, layers))
    return replace(last, lora=replace(last.lora, layers=upper))
