"""Taking of several groups in turn, so that each has its share however large it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_turn(groups: Sequence[Sequence[T]]) -> Iterable[T]:
    """One item of each group, then another of each."""
    for place in range(max(map(len, groups), default=0)):
        yield from (group[place] for group in groups if place < len(group))
