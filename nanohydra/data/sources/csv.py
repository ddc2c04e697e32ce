"""CSV and TSV files with a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from nanohydra.core.errors import UserError
from nanohydra.data.reading import find_files, open_text, plain_suffix
from nanohydra.data.sources import SUFFIXES
from nanohydra.data.sources.base import Row, RowSource


class CsvSource(RowSource):
    """Rows of .csv (commas) and .tsv (tabs) files."""

    def rows(self) -> Iterator[Row]:
        """Rows as text by column; one with more or fewer fields than the header is refused."""
        csv.field_size_limit(2**31 - 1)  # the library's default of 128 KiB refuses long documents
        for path in find_files(self.config.path, SUFFIXES["csv"]):
            with open_text(path, newline="") as stream:  # csv needs the line ends as they are
                yield from self._file(path, stream)

    def _file(self, path: Path, stream: TextIO) -> Iterator[Row]:
        reader = csv.reader(stream, delimiter="\t" if plain_suffix(path) == ".tsv" else ",")
        try:
            header = next(reader, None)
            if header is None:
                self.tally.noted["empty file"] += 1
                return
            self.layout(str(path), header)
            for fields in reader:
                where = f"{path}, line {reader.line_num}"
                if not fields:
                    self.tally.noted["blank line"] += 1
                elif len(fields) != len(header):
                    self.refuse(where, f"{len(fields)} fields under a header of {len(header)}")
                else:
                    yield where, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {reader.line_num}: {error}") from error
