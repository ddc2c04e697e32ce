"""Experience replay: a share of every batch is rows of earlier tasks, kept within a byte budget.

Chaudhry et al. 2019, "On tiny episodic memories in continual learning" (arXiv 1902.10486); the
balanced buffer after Chrysakis and Moens 2020. Rows take the place of new ones, so that a step
costs what it costs without replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nanohydra.continual.rows import RowBuffer, joined, taken
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch
from nanohydra.training.hooks import Moment


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """budget_bytes: of the buffer. share: of the rows of a batch that are replayed."""

    budget_bytes: int = 2**20
    share: float = 0.25

    def __post_init__(self) -> None:
        """Refuse a share that leaves nothing new."""
        if not 0 <= self.share < 1:
            raise UserError(f"share is {self.share}; it lies in [0, 1)")


class Replay(Strategy):
    """A reservoir: every row of the stream is kept with the same probability."""

    Config = ReplayConfig
    balanced: ClassVar[bool] = False

    def __init__(self, lab: Lab, config: ReplayConfig) -> None:
        super().__init__(lab, config)
        self.buffer = RowBuffer(
            config.budget_bytes,
            row_length=lab.config.train.row_length,
            vocab_size=lab.model.config.vocab_size,
            balanced=self.balanced,
        )

    def mix(self, batch: Batch, moment: Moment) -> Batch:
        """Replace the last rows; what is new goes into the buffer as it comes."""
        (task,) = self.tasks
        count = round(self.config.share * len(batch.ids_BT))
        replayed = self.buffer.draw(count, range(task), self.random)
        if replayed is not None:
            batch = taken(batch, slice(len(batch.ids_BT) - len(replayed.ids_BT)))
        self.buffer.add(batch, task, self.random)
        return batch if replayed is None else joined(batch, replayed)

    def state_dict(self) -> dict[str, Any]:
        """The buffer."""
        return {**super().state_dict(), "buffer": self.buffer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved buffer."""
        super().load_state_dict(state)
        self.buffer.load_state_dict(state["buffer"])


class BalancedReplay(Replay):
    """Each task has an equal share of the buffer, however long it was."""

    balanced = True
