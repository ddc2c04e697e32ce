"""The files of the running Python's standard library: real text that is on every machine."""

from __future__ import annotations

import io
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FOREIGN = {"site-packages", "dist-packages", "__pycache__"}
_TESTS = {"test", "tests", "idle_test"}


@dataclass(frozen=True, kw_only=True)
class Module:
    """A Python file of the library: its dotted name and where it lies."""

    name: str
    path: Path

    def read(self) -> str:
        """The source in the encoding it declares. Raises SyntaxError or UnicodeDecodeError."""
        data = self.path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)


def modules(*, tests: bool = False) -> Iterator[Module]:
    """The modules in the order of their names, without installed packages."""
    root = Path(sysconfig.get_path("stdlib"))
    skipped = _FOREIGN if tests else _FOREIGN | _TESTS
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if skipped.isdisjoint(parts):
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Module(name=name, path=path)
