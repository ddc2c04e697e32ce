"""Where a run's resumable states lie: one folder per saved step, the newest few kept.

A state serves only to continue the same run; the trained model is saved by `checkpoint.save`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nanohydra.checkpoint import load_state, save_state
from nanohydra.core.errors import UserError


class Checkpointer:
    """Saves and finds states under a folder."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        assert keep >= 1
        self.folder, self.keep = folder, keep

    def saved(self) -> list[Path]:
        """All complete states, oldest first."""
        return sorted(p for p in self.folder.glob("step-*") if p.name[5:].isdigit())

    def latest(self) -> Path | None:
        """The newest complete state."""
        saved = self.saved()
        return saved[-1] if saved else None

    def latest_step(self) -> int:
        """How many steps the newest state has done, 0 if there is none."""
        latest = self.latest()
        return int(latest.name[5:]) if latest else 0

    def save(self, step: int, tensors: Mapping[str, Tensor], meta: dict[str, Any]) -> Path:
        """Write a state, then drop those that are too old."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{step:08d}"
        save_state(path, tensors, meta)
        for old in self.saved()[: -self.keep]:
            shutil.rmtree(old)
        return path

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The newest state. Raises UserError if there is none."""
        latest = self.latest()
        if latest is None:
            raise UserError(f"nothing to resume: there is no saved state in {self.folder}")
        tensors, meta = load_state(latest)
        return dict(tensors), meta

    def clear(self) -> None:
        """Remove all states, when a run has finished or begins anew."""
        for path in self.saved():
            shutil.rmtree(path)
