"""Parquet files, read in batches and only the columns that are needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.data.reading import find_files
from nanohydra.data.rows import read_columns
from nanohydra.data.sources import SUFFIXES
from nanohydra.data.sources.base import Row, RowSource

_ROWS = 1024


class ParquetSource(RowSource):
    """Rows of .parquet files. Needs pyarrow (the extra `hf`)."""

    def rows(self) -> Iterator[Row]:
        """Rows by column. Raises UserError naming a file that is damaged."""
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise UserError("reading Parquet needs pyarrow; pip install nanohydra[hf]") from None
        for path in find_files(self.config.path, SUFFIXES["parquet"]):
            try:
                with parquet.ParquetFile(path) as file:
                    yield from self._file(path, file)
            except (pyarrow.ArrowException, OSError) as error:
                raise UserError(f"{path} is damaged or not a Parquet file: {error}") from error

    def _file(self, path: Path, file: Any) -> Iterator[Row]:
        names = file.schema_arrow.names
        columns = read_columns(names, self.layout(str(path), names))
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS, columns=columns):
            for row in _plain_rows(batch):
                number += 1
                yield f"{path}, row {number}", row


def _plain_rows(batch: Any) -> list[dict[str, Any]]:
    """The rows; text that is not UTF-8 comes with surrogates for its invalid bytes."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
        return rows
    except UnicodeDecodeError:
        import pyarrow

        for place, field in enumerate(batch.schema):
            if pyarrow.types.is_string(field.type) or pyarrow.types.is_large_string(field.type):
                raw = batch.column(place).cast(pyarrow.large_binary())
                batch = batch.set_column(place, field.name, raw)
        rows = batch.to_pylist()
        return rows
