"""What became of each record read: kept, or dropped for a named reason. Nothing goes unsaid."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Tally:
    """Counts of one source.

    read: records seen, good or bad. dropped: records by reason. noted: what was repaired or
    passed over without losing a record.
    """

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Records that were not dropped."""
        return self.read - self.dropped.total()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, for a manifest."""
        return {
            "read": self.read,
            "kept": self.kept,
            "dropped": dict(sorted(self.dropped.items())),
            "noted": dict(sorted(self.noted.items())),
        }
