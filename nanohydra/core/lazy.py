"""Package namespaces whose names are imported on first use, so that a config costs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, origins: Mapping[str, str]) -> Callable[[str], Any]:
    """A module-level `__getattr__` (PEP 562) for a package's `__init__`.

    origins: public name -> module that defines it. The package repeats the same imports under
    `TYPE_CHECKING`, so that type checkers and readers see them.
    """

    def resolve(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(origins[name]), name)

    return resolve
