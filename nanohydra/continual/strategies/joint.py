"""Training on several tasks together: all at once, the upper bound, or all that came so far."""

from __future__ import annotations

from nanohydra.continual.strategy import Strategy


class Joint(Strategy):
    """One stage with all tasks, of as many steps as they have together. Keeps all data."""

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """All tasks at once."""
        return (tuple(range(len(self.lab.stream))),)


class Cumulative(Strategy):
    """At each task, training goes on with all data so far, so that its cost grows quadratically."""

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The first task, the first two, and so on."""
        return tuple(tuple(range(number + 1)) for number in range(len(self.lab.stream)))
