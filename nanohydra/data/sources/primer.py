"""The generated curriculum as a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from nanohydra.core.errors import UserError
from nanohydra.core.types import Record
from nanohydra.data.config import SourceConfig
from nanohydra.data.tally import Tally


class PrimerSource:
    """Records of the primer: `split` train or test, `seed`, and `counts` by domain."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self.tally = Tally()

    def records(self) -> Iterator[Record]:
        """The records, at most `limit`. Raises UserError for an unknown split or domain."""
        from nanohydra.data.primer import DEFAULT_COUNTS, records

        config = self.config
        split: Literal["train", "test"] = "test" if config.split == "test" else "train"
        if config.split != split:
            raise UserError(f"the primer has no split {config.split!r}; known: train, test")
        counts = config.counts or DEFAULT_COUNTS
        for record in records(split, seed=config.seed, counts=counts):
            self.tally.read += 1
            yield record
            if config.limit and self.tally.read >= config.limit:
                return
