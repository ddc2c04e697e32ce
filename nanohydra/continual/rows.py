"""Rows of batches that are kept within a budget of bytes, to be trained on again.

Reservoir sampling (Vitter 1985) keeps a uniform sample of all rows that ever came, without knowing
how many will come; in groups, each group has an equal share of the places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from nanohydra.continual.turns import in_turn
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch

FIELDS = ("ids_BT", "labels_BT", "positions_BT", "segments_BT")


class RowBuffer:
    """Rows of batches with the task that each is from, at most `budget_bytes` of them.

    balanced: each task has an equal share of the places, whatever its length; otherwise every row
    that ever came is kept with the same probability.
    """

    def __init__(
        self, budget_bytes: int, *, row_length: int, vocab_size: int, balanced: bool = False
    ) -> None:
        # IGNORE and padding's segment are negative.
        self.dtype = torch.int16 if max(vocab_size, row_length) <= 2**15 else torch.int32
        self.row_length, self.balanced = row_length, balanced
        row_bytes = len(FIELDS) * row_length * self.dtype.itemsize
        self.capacity = budget_bytes // row_bytes
        if self.capacity < 1:
            raise UserError(
                f"a budget of {budget_bytes} bytes holds no row of {row_length} tokens, which "
                f"takes {row_bytes} bytes; raise budget_bytes"
            )
        self.groups: dict[int, list[Tensor]] = {}
        self.seen: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(map(len, self.groups.values()))

    def add(self, batch: Batch, task: int, random: torch.Generator) -> None:
        """Offer each row of a batch a place."""
        rows_B4T = torch.stack([getattr(batch, name) for name in FIELDS], 1).cpu()
        if rows_B4T.shape[-1] != self.row_length:
            raise UserError(f"rows of {rows_B4T.shape[-1]} tokens, not of {self.row_length}")
        if task not in self.groups:
            self.groups[task], self.seen[task] = [], 0
            if self.balanced:
                self._make_room(random)
        for row_4T in rows_B4T.to(self.dtype):
            self._offer(row_4T.clone(), task, random)

    def _make_room(self, random: torch.Generator) -> None:
        """Let each group keep a random part that fits its new share."""
        for task, rows in self.groups.items():
            order = torch.randperm(len(rows), generator=random)[: self._share].tolist()
            self.groups[task] = [rows[place] for place in sorted(order)]

    @property
    def _share(self) -> int:
        """Places of one group."""
        return max(1, self.capacity // len(self.groups)) if self.balanced else self.capacity

    def _offer(self, row_4T: Tensor, task: int, random: torch.Generator) -> None:
        """One row: into a free place, or into a random one with the right probability."""
        rows = self.groups[task]
        self.seen[task] += 1
        seen = self.seen[task] if self.balanced else sum(self.seen.values())
        held, places = (len(rows), self._share) if self.balanced else (len(self), self.capacity)
        if held < places and len(self) < self.capacity:
            rows.append(row_4T)
            return
        place = int(torch.randint(seen, (), generator=random))
        if place >= held:
            return
        if self.balanced:
            rows[place] = row_4T
            return
        for others in self.groups.values():  # the place counts through all groups
            if place < len(others):
                del others[place]
                break
            place -= len(others)
        rows.append(row_4T)

    def draw(self, count: int, tasks: Iterable[int], random: torch.Generator) -> Batch | None:
        """At most `count` different rows of these tasks; None if there are none.

        Uniformly of all rows or, balanced, of each task in turn.
        """
        groups = [self.groups[task] for task in tasks if self.groups.get(task)]
        if not groups or count < 1:
            return None
        if self.balanced:
            order = torch.randperm(len(groups), generator=random).tolist()
            rows = list(islice(in_turn([shuffled(groups[i], random) for i in order]), count))
        else:
            rows = shuffled([row for group in groups for row in group], random)[:count]
        rows_B4T = torch.stack(rows).long()
        return Batch(**{name: rows_B4T[:, field] for field, name in enumerate(FIELDS)})

    def state_dict(self) -> dict[str, Any]:
        """The rows by task, and how many came."""
        empty = torch.zeros(0, len(FIELDS), self.row_length, dtype=self.dtype)
        return {
            str(task): {"rows": torch.stack(rows) if rows else empty, "seen": self.seen[task]}
            for task, rows in self.groups.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved state."""
        self.groups = {int(task): list(held["rows"].unbind()) for task, held in state.items()}
        self.seen = {int(task): held["seen"] for task, held in state.items()}


def shuffled(rows: list[Tensor], random: torch.Generator) -> list[Tensor]:
    """The rows in a random order."""
    return [rows[place] for place in torch.randperm(len(rows), generator=random).tolist()]


def joined(first: Batch, second: Batch) -> Batch:
    """The rows of one batch and then those of another."""
    return Batch(
        **{name: torch.cat([getattr(b, name) for b in (first, second)]) for name in FIELDS}
    )


def taken(batch: Batch, rows: Any) -> Batch:
    """Some rows of a batch."""
    return Batch(**{name: getattr(batch, name)[rows] for name in FIELDS})
