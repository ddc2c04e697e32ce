"""Batches of packed rows from named shards: shuffled, mixed, rank-aware and exactly resumable.

Which pieces make a row is planned from lengths alone and is the same on every rank; only a rank's
own rows are then read. Knows nothing of models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE, Batch
from nanohydra.data.config import LoaderConfig
from nanohydra.data.mixture import Mixture
from nanohydra.data.packing import Buffer, Packer, Piece
from nanohydra.data.shards import Shards
from nanohydra.data.stream import Stream

_STATE_VERSION = 1


class Loader(Iterator[Batch]):
    """Iterates over batches; `counts` says what was cut, padded and dropped.

    rank, world_size: this process among those that share each batch. Batch number i of all ranks,
        in their order, is batch number i of a single process, whatever the number of ranks. In
        one pass (total_batches=0) the last batch may have fewer rows, on some ranks none.
    Raises UserError for no or empty shards, shards of different tokenizers, and rows that the
    ranks cannot share evenly.
    """

    def __init__(
        self,
        shards: Mapping[str, Shards],
        config: LoaderConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        assert 0 <= rank < world_size, (rank, world_size)
        if config.rows_per_batch % world_size:
            raise UserError(
                f"rows_per_batch {config.rows_per_batch} cannot be shared evenly by "
                f"{world_size} ranks; take a multiple of {world_size}"
            )
        self.config = config
        self._rank, self._world_size = rank, world_size
        self._names = sorted(shards)  # so that the order in the mapping does not matter
        self._shards = [shards[name] for name in self._names]
        _check_tokenizers(self._shards)
        endless = config.total_batches > 0
        streams = [
            Stream(
                name,
                index,
                shards[name],
                row_length=config.row_length,
                packing=config.packing,
                seed=config.seed if endless else None,
            )
            for index, name in enumerate(self._names)
        ]
        self._mixture = Mixture(streams, config.all_phases if endless else ())
        self._packer = Packer(
            self._mixture.draw if endless else self._mixture.draw_in_order,
            self._has_target,
            row_length=config.row_length,
            packing=config.packing,
            buffer_size=config.buffer_size,
        )
        self._num_batches = 0

    def __next__(self) -> Batch:
        total = self.config.total_batches
        if total:
            if self._num_batches >= total:
                raise StopIteration
            self._mixture.set_progress(self._num_batches / total)
        rows: list[list[Piece]] = []
        while len(rows) < self.config.rows_per_batch:
            row = self._packer.next_row()
            if not row:
                break
            rows.append(row)
        if not rows:
            raise StopIteration
        self._num_batches += 1
        first = len(rows) * self._rank // self._world_size
        last = len(rows) * (self._rank + 1) // self._world_size
        return collate(rows[first:last], self._shards, self.config.row_length)

    @property
    def num_batches(self) -> int:
        """Batches given so far."""
        return self._num_batches

    @property
    def counts(self) -> dict[str, int]:
        """Rows, pieces, and whatever was cut, split, truncated, dropped or padded, so far."""
        total = Counter(self._packer.counts)
        for stream in self._mixture.streams:
            total.update(stream.counts)
        return dict(sorted(total.items()))

    def state_dict(self) -> dict[str, Any]:
        """All that decides the batches to come, as plain JSON types; the same on every rank."""
        return {
            "version": _STATE_VERSION,
            "batch": self._num_batches,
            "fixed": self._fixed(),
            "mixture": self._mixture.state_dict(),
            "buffer": [list(piece) for piece in self._packer.buffer.pieces()],
            "counts": dict(self._packer.counts),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue as the loader did that `state` was taken from, bit for bit.

        The number of ranks, rows_per_batch, total_batches, weights and buffer_size may differ;
        then the batches are what these make of the records not yet seen. Raises UserError if the
        data, the seed, the packing or the row length differ.
        """
        if state["version"] != _STATE_VERSION:
            raise UserError(f"loader state has version {state['version']}, not {_STATE_VERSION}")
        for key, now in self._fixed().items():
            then = state["fixed"][key]
            if then != now:
                raise UserError(
                    f"cannot resume: {key} was {then} and is {now}; restore it or start a new run"
                )
        self._num_batches = state["batch"]
        self._mixture.load_state_dict(state["mixture"])
        self._packer.buffer = Buffer(Piece(*piece) for piece in state["buffer"])
        self._packer.counts = Counter(state["counts"])

    def _fixed(self) -> dict[str, Any]:
        config = self.config
        digests = zip(self._names, self._shards, strict=True)
        return {
            "seed": config.seed,
            "packing": config.packing,
            "row_length": config.row_length,
            "one pass": config.total_batches == 0,
            "shards": {name: shards.digest[:16] for name, shards in digests},
        }

    def _has_target(self, piece: Piece) -> bool:
        return self._shards[piece.shard].has_target(piece.record, piece.start, piece.stop)


def collate(rows: Sequence[Sequence[Piece]], shards: Sequence[Shards], row_length: int) -> Batch:
    """Read the pieces of packed rows into a batch.

    The label of a token is the next token of the same piece if that carries loss. So the last
    token of a piece has none, and the first is never a label.
    """
    shape = (len(rows), row_length)
    ids_BT = np.full(shape, shards[0].pad_id, np.int64)
    positions_BT = np.zeros(shape, np.int64)
    segments_BT = np.full(shape, -1, np.int64)
    mask_BT = np.zeros(shape, bool)
    count = np.arange(row_length)
    for b, row in enumerate(rows):
        begin = 0
        for segment, piece in enumerate(row):
            ids, mask = shards[piece.shard].piece(piece.record, piece.start, piece.stop)
            end = begin + len(ids)
            ids_BT[b, begin:end] = ids
            mask_BT[b, begin:end] = mask
            positions_BT[b, begin:end] = count[: end - begin]
            segments_BT[b, begin:end] = segment
            begin = end
    labels_BT = np.full(shape, IGNORE, np.int64)
    together = segments_BT[:, 1:] == segments_BT[:, :-1]
    labels_BT[:, :-1] = np.where(together & mask_BT[:, 1:], ids_BT[:, 1:], IGNORE)
    return Batch(
        ids_BT=torch.from_numpy(ids_BT),
        labels_BT=torch.from_numpy(labels_BT),
        positions_BT=torch.from_numpy(positions_BT),
        segments_BT=torch.from_numpy(segments_BT),
    )


def _check_tokenizers(shards: Sequence[Shards]) -> None:
    if not shards:
        raise UserError("there are no shards to load; name at least one folder")
    for other in shards[1:]:
        if other.fingerprint != shards[0].fingerprint:
            raise UserError(
                f"{shards[0].folder} and {other.folder} were made with different tokenizers; "
                "prepare one of them again"
            )
