"""Where learning keeps its things: the folder that server and learner share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.checkpoint.names import run_of

LEARNING = "learning"


@dataclass(frozen=True)
class Home:
    """A learning home. Nothing is made until something is written there."""

    folder: Path

    @property
    def database(self) -> Path:
        """Lessons, jobs, ledger, memory."""
        return self.folder / "learning.db"

    @property
    def bank(self) -> Path:
        """The versions of adapters, and the aliases."""
        return self.folder / "bank"

    @property
    def staging(self) -> Path:
        """Adapters that are not proven yet, one folder for each job; may be deleted."""
        return self.folder / "staging"

    @property
    def cache(self) -> Path:
        """What can be measured again; may be deleted."""
        return self.folder / "cache"


def home_of(model: Path) -> Path:
    """The learning home of a model's folder: in its run, or in `runs/` for one of the hub's."""
    return run_of(model) / LEARNING
