"""Cuts the batch of one step into micro-batches and leaves out work that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from nanohydra.core.types import IGNORE, Batch


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """Rows that pass through the model at a time, on its device except for the labels.

    positions_BT, segments_BT: None where every row holds one sequence, which spares the model
        an attention mask.
    labels_BT: on the CPU, where the loss picks the places that count without a wait.
    """

    ids_BT: Tensor
    positions_BT: Tensor | None
    segments_BT: Tensor | None
    labels_BT: Tensor


def micro_batches(batch: Batch, micro_rows: int, device: str) -> Iterator[MicroBatch]:
    """The batch in pieces of `micro_rows` rows (0 = all); rows without targets are left out."""
    has_target_B = (batch.labels_BT != IGNORE).any(1)
    if not bool(has_target_B.all()):
        batch = Batch(
            ids_BT=batch.ids_BT[has_target_B],
            labels_BT=batch.labels_BT[has_target_B],
            positions_BT=batch.positions_BT[has_target_B],
            segments_BT=batch.segments_BT[has_target_B],
        )
    num_rows = len(batch.ids_BT)
    for start in range(0, num_rows, micro_rows or max(num_rows, 1)):
        rows = slice(start, start + (micro_rows or num_rows))
        positions_BT, segments_BT = batch.positions_BT[rows], batch.segments_BT[rows]
        packed = holds_several(segments_BT)
        yield MicroBatch(
            ids_BT=batch.ids_BT[rows].to(device, non_blocking=True),
            positions_BT=positions_BT.to(device, non_blocking=True) if packed else None,
            segments_BT=segments_BT.to(device, non_blocking=True) if packed else None,
            labels_BT=batch.labels_BT[rows],
        )


def holds_several(segments_BT: Tensor) -> bool:
    """Whether some row holds more than one sequence.

    One sequence and padding after it is as good as one sequence: attention looks only back, so
    no place that counts sees the padding.
    """
    same = (segments_BT == segments_BT[:, :1]) | (segments_BT < 0)
    leading = segments_BT[:, 0] < 0  # padding before a sequence: its positions are not 0, 1, ...
    return not bool(same.all()) or bool(leading.any())
