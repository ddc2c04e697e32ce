"""Training on several tasks together: all at once, the upper bound, or all that came so far."""

from __future__ import annotations

from nanohydra.continual.strategy import Strategy
from nanohydra.data.shards import token_dtype


class Joint(Strategy):
    """One stage with all tasks, of as many steps as they have together. Keeps all data."""

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """All tasks at once."""
        return (tuple(range(len(self.lab.stream))),)

    @property
    def memory_bytes(self) -> int:
        """The tokens of all tasks of the stage, as they lie on disk."""
        found = [s for task in self.tasks for s in self.lab.stream.tasks[task].train.values()]
        return sum(shards.num_tokens * token_dtype(shards.vocab_size).itemsize for shards in found)


class Cumulative(Joint):
    """At each task, training goes on with all data so far, so that its cost grows quadratically."""

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The first task, the first two, and so on."""
        return tuple(tuple(range(number + 1)) for number in range(len(self.lab.stream)))
