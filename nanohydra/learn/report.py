"""What the gate found: checks with their numbers and limits, and why a version may not go live.

Holds ids and numbers, never a lesson's words: reports are kept when a lesson is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from nanohydra.core.config import to_dict


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was measured. value: None = there was nothing to measure.

    detail: the finding in plain words, with its numbers.
    """

    value: float | None
    limit: float
    passed: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """All checks of one adapter. adapter: the id of the content that was tested.

    lessons: share of its held-out questions that each new lesson answers. remembered: the same of
    the base with the lesson as a note before it. earlier: of earlier lessons that were asked.
    unproven: new lessons that the adapter may not answer, with the checks they fail: the adapter is
    tested for the others.
    """

    adapter: str
    checks: Mapping[str, Check]
    lessons: Mapping[str, float] = field(default_factory=dict)
    remembered: Mapping[str, float] = field(default_factory=dict)
    earlier: Mapping[str, float] = field(default_factory=dict)
    unproven: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every check is."""
        return all(check.passed for check in self.checks.values())

    @property
    def failed(self) -> list[str]:
        """The names of the checks that are not."""
        return [name for name, check in self.checks.items() if not check.passed]

    @property
    def reason(self) -> str:
        """Which checks failed, in plain words; empty if none did."""
        return " ".join(
            f"{name}: {check.detail}" for name, check in self.checks.items() if not check.passed
        )

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return to_dict(self) | {"passed": self.passed, "reason": self.reason}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> GateReport:
        """The inverse of `to_json`."""
        checks = {name: Check(**check) for name, check in body["checks"].items()}
        rest = {field.name: body[field.name] for field in fields(cls) if field.name != "checks"}
        return cls(checks=checks, **rest)


def narrowest(gates: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, Mapping[str, Any]]:
    """Of each check of several gates, as plain JSON, the one that is nearest to its limit."""
    found: dict[str, Mapping[str, Any]] = {}
    for gate in gates:
        for name, check in gate.items():
            if name not in found or _room(check) < _room(found[name]):
                found[name] = check
    return found


def _room(check: Mapping[str, Any]) -> float:
    """How far a check is from its limit; negative beyond it."""
    side = 1 if check["passed"] else -1
    value = check["value"]
    return side * (math.inf if value is None else abs(value - check["limit"]))
