"""Lazy tables `name -> "module:attribute"`, the one way anything is extended.

A table imports nothing until a name is asked for; an unknown name is an error with a suggestion.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nanohydra.core.errors import UserError


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence part that helps with a mistyped name: the nearest one, or all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(names) if names else "there are none"


class Table(Mapping[str, str]):
    """A readable extension table. `noun` is what an entry is called in error messages."""

    def __init__(self, noun: str, entries: Mapping[str, str]) -> None:
        self.noun = noun
        self.entries = dict(entries)

    def __getitem__(self, name: str) -> str:
        if name not in self.entries:
            raise UserError(f"unknown {self.noun} {name!r}; {suggest(name, self.entries)}")
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def load(self, name: str) -> Any:
        """The class or function behind a name, imported now. Raises UserError if unknown."""
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
