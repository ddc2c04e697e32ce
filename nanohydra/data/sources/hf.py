"""Hugging Face datasets by name, streamed with the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.data.sources.base import Row, RowSource


class HubSource(RowSource):
    """Rows of one split of a dataset on the hub, or of a local folder in its layout."""

    def rows(self) -> Iterator[Row]:
        """Rows as they arrive. Raises UserError if the data set cannot be reached or read."""
        name = self.config.path
        if not name:
            raise UserError("kind='hf' needs path='owner/name' of a dataset, or a local folder")
        stream = iter(_load(name, self.config.subset, self.config.split))
        number = 0
        while True:
            try:
                row = next(stream)
            except StopIteration:
                return
            except Exception as error:  # network, decoding and format errors of many libraries
                raise UserError(f"dataset {name!r} failed at row {number}: {error}") from error
            number += 1
            yield f"{name}, row {number}", row


def _load(name: str, subset: str, split: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError("kind='hf' needs the extra: pip install nanohydra[hf]") from None
    try:
        return datasets.load_dataset(name, subset or None, split=split, streaming=True)
    except Exception as error:  # the library lets through errors of half a dozen others
        raise UserError(
            f"cannot open dataset {name!r} (subset {subset or 'default'!r}, split {split!r}): "
            f"{error}; check the name and the connection, or read local files with kind='parquet' "
            "or kind='jsonl'"
        ) from error
