"""The source code of the running Python's standard library."""

from __future__ import annotations

from collections.abc import Iterator

from nanohydra.data.sources.base import Row, RowSource
from nanohydra.data.stdlib import modules


class PyCodeSource(RowSource):
    """One document per module file."""

    def rows(self) -> Iterator[Row]:
        """The files; one that its own encoding cannot read is refused."""
        for module in modules(tests=self.config.tests):
            try:
                text = module.read()
            except (SyntaxError, UnicodeDecodeError) as error:
                self.refuse(str(module.path), error)
                continue
            yield str(module.path), {"text": text}
