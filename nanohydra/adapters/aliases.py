"""An alias: a name for the ordered set of versions that are live, with the sets before it.

One JSON file, always whole. Knows nothing of what a version is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, write_json

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
KEPT_SETS, KEPT_CHANGES = 100, 1000
Versions = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an alias pointed at from a time on (seconds since 1970), and why."""

    time: float
    action: Literal["activate", "rollback"]
    versions: Versions


@dataclass(frozen=True, kw_only=True)
class AliasState:
    """versions: those that are live, newest first; none = the base alone.

    previous: the sets that a rollback goes back to, the last one first to be restored. history:
    every change, oldest first.
    """

    name: str
    versions: Versions = ()
    previous: tuple[Versions, ...] = ()
    history: tuple[Change, ...] = field(default=())

    def activate(self, versions: Versions) -> AliasState:
        """Point at other versions; the same ones again are no change."""
        if versions == self.versions and self.history:
            return self
        return self._changed("activate", versions, (*self.previous, self.versions))

    def rollback(self, exists: Callable[[str], bool]) -> AliasState:
        """Go back to the set before, without the versions that are gone for good.

        A set that would then be the present one is passed over. Raises UserError if there is
        none left.
        """
        previous = list(self.previous)
        while previous:
            versions = tuple(version for version in previous.pop() if exists(version))
            if versions != self.versions:
                return self._changed("rollback", versions, tuple(previous))
        raise UserError(f"there is nothing before what {self.name!r} points at now")

    def _changed(
        self,
        action: Literal["activate", "rollback"],
        versions: Versions,
        previous: tuple[Versions, ...],
    ) -> AliasState:
        change = Change(time=time.time(), action=action, versions=versions)
        return replace(
            self,
            versions=versions,
            previous=previous[-KEPT_SETS:],
            history=(*self.history, change)[-KEPT_CHANGES:],
        )


def read_alias(folder: Path, name: str) -> AliasState:
    """What an alias points at; nothing if it was never set. Raises UserError for a bad name."""
    path = alias_path(folder, name)
    if not path.is_file():
        return AliasState(name=name)
    return from_dict(AliasState, read_json(path), f"in {path}")


def write_alias(folder: Path, state: AliasState) -> None:
    """Replace what an alias points at, at once."""
    write_json(alias_path(folder, state.name), to_dict(state))


def alias_path(folder: Path, name: str) -> Path:
    """The file of an alias. Raises UserError for a name that could be something else in a path."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be an alias: letters, digits, '.', '_' and '-', at most 64, "
            "beginning with a letter or a digit"
        )
    return folder / f"{name}.json"
