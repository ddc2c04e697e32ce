"""What every source is: a config in, records out, and a tally of what was dropped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from nanohydra.core.errors import UserError
from nanohydra.core.types import Record
from nanohydra.data.config import SourceConfig
from nanohydra.data.records import repair_record
from nanohydra.data.rows import BadRow, Layout, find_layout, make_record
from nanohydra.data.tally import Tally

Row = tuple[str, Mapping[str, Any]]  # where it stands, for messages, and its columns
INVALID = "invalid UTF-8"


class Source(Protocol):
    """The contract of `SOURCES`: a class called with a SourceConfig."""

    tally: Tally

    def records(self) -> Iterator[Record]:
        """The records in a fixed order. Raises UserError for what cannot be read."""
        ...


class RowSource(ABC):
    """A source of rows, each of which becomes a record or is dropped and counted."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.tally = Tally()
        self._layout: Layout | None = None

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """The rows in a fixed order; `refuse` what cannot be one. Raises UserError."""

    def records(self) -> Iterator[Record]:
        """Records of the rows, at most `limit`."""
        for where, row in self.rows():
            record = self._record(where, row)
            if record is not None:
                yield record
                if self.config.limit and self.tally.kept >= self.config.limit:
                    return

    def refuse(self, where: str, why: object) -> None:
        """Drop a row that cannot be read, or stop there, as the config says."""
        self.tally.read += 1
        self._refuse(where, why)

    def layout(self, where: str, names: Mapping[str, Any] | list[str]) -> Layout:
        """How to read rows with these columns. Raises UserError naming the columns present."""
        if self._layout is None or not self._layout.fits(names):
            try:
                self._layout = find_layout(names, self.config.column)
            except BadRow as error:
                raise UserError(f"{where}: {error}") from None
        return self._layout

    def _record(self, where: str, row: Mapping[str, Any]) -> Record | None:
        self.tally.read += 1
        known = self._layout
        try:
            if known is None:
                known = self.layout(where, row)
            elif not known.fits(row):
                known = find_layout(row, self.config.column)
            record = make_record(row, known, self.config.label)
        except BadRow as error:
            self._refuse(where, error)
            return None
        if record is None:
            self.tally.dropped["empty"] += 1
            return None
        return self._repaired(record)

    def _refuse(self, where: str, why: object) -> None:
        if self.config.bad_rows == "error":
            raise UserError(f"{where}: {why}; bad_rows='drop' counts such rows and goes on")
        self.tally.dropped["bad row"] += 1

    def _repaired(self, record: Record) -> Record | None:
        record, invalid = repair_record(record)
        if not invalid:
            return record
        if self.config.invalid_utf8 == "drop":
            self.tally.dropped[INVALID] += 1
            return None
        self.tally.noted[f"{INVALID} replaced"] += 1
        return record
