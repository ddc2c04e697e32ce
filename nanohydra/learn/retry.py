"""How to train again what the gate refused: longer, or gentler, as the checks that failed say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from nanohydra.learn.config import LearnConfig

LEARNED = frozenset({"recall", "reverse"})  # the checks of what is new; the others are of harm


def of_part(config: LearnConfig, failed: Collection[str]) -> LearnConfig:
    """The settings for a part of lessons whose version failed these checks."""
    if _learned_too_little(failed):
        return _longer(config, failed)
    return replace(config, train=replace(config.train, emphasis=config.retry.emphasis))


def next_try(
    first: LearnConfig, last: LearnConfig, failed: Collection[str], layers: int
) -> LearnConfig:
    """The settings after a refusal.

    first: those of the recipe; last: those that were refused. failed: the checks that were not
    passed. layers: of the model.
    """
    train, retry = last.train, first.retry
    if _learned_too_little(failed):
        return _longer(last, failed)
    if train.lr == first.train.lr:
        gentler = replace(
            train, lr=train.lr * retry.lr_factor, kl_weight=train.kl_weight * retry.kl_factor
        )
        return replace(last, train=gentler, mixture=replace(last.mixture, replay=retry.replay))
    upper = tuple(range(layers // 2, layers))
    return replace(last, lora=replace(last.lora, layers=upper))


def _learned_too_little(failed: Collection[str]) -> bool:
    return bool(failed) and LEARNED.issuperset(failed)


def _longer(config: LearnConfig, failed: Collection[str]) -> LearnConfig:
    train, factor = config.train, config.retry.longer
    longer = replace(
        train,
        max_epochs=train.max_epochs * factor,
        min_steps=round(train.min_steps * factor),
        reverse_times=train.reverse_times + ("reverse" in failed),
    )
    return replace(config, train=longer)
