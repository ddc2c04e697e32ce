"""JSON: one object per line, or one array of objects per file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from nanohydra.core.errors import UserError
from nanohydra.data.reading import find_files, open_text
from nanohydra.data.sources import SUFFIXES
from nanohydra.data.sources.base import Row, RowSource


class JsonlSource(RowSource):
    """Rows of .jsonl, .ndjson and .json files. Blank lines are passed over and counted."""

    def rows(self) -> Iterator[Row]:
        """Objects; a line that is no JSON object is refused with its number."""
        for path in find_files(self.config.path, SUFFIXES["jsonl"]):
            with open_text(path) as stream:
                yield from self._file(path, stream)

    def _file(self, path: Path, stream: TextIO) -> Iterator[Row]:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                self.tally.noted["blank line"] += 1
                continue
            if number == 1 and line.lstrip().startswith("["):
                yield from self._array(path, line + stream.read())
                return
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                self.refuse(where, f"not valid JSON: {error}")
                continue
            if isinstance(row, dict):
                yield where, row
            else:
                self.refuse(where, f"{type(row).__name__}, not an object")

    def _array(self, path: Path, text: str) -> Iterator[Row]:
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} begins like a JSON array but is not valid: {error}") from error
        for number, row in enumerate(rows, 1):
            where = f"{path}, item {number}"
            if isinstance(row, dict):
                yield where, row
            else:
                self.refuse(where, f"{type(row).__name__}, not an object")
