"""Rows of JSON of one time: of a year, a month or a day, for streams that drift with the calendar.

`subset` is the beginning of the date, "2025-06" for a month. The date is read from the first of the
usual columns that a row has.
"""

from __future__ import annotations

from collections.abc import Iterator

from nanohydra.core.errors import UserError
from nanohydra.data.sources.base import Row
from nanohydra.data.sources.jsonl import JsonlSource

DATES = ("published", "date", "created", "created_at", "updated", "timestamp", "year")


class DatedSource(JsonlSource):
    """The rows whose date begins with `subset`."""

    def rows(self) -> Iterator[Row]:
        """Rows of that time. Raises UserError if no row has a date, or none is of that time."""
        wanted = self.config.subset
        if not wanted:
            raise UserError(
                f"the dated source {self.config.label} needs a subset, such as '2025-06'"
            )
        dated = found = 0
        for where, row in super().rows():
            date = next((str(row[name]) for name in DATES if row.get(name) is not None), "")
            dated += bool(date)
            if date.startswith(wanted):
                found += 1
                yield where, row
        if not found:
            why = (
                f"has no date that begins with {wanted!r}"
                if dated
                else (f"has no date; known columns: {', '.join(DATES)}")
            )
            raise UserError(f"{self.config.path} {why}")
