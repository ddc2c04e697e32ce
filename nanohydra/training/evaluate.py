"""Validation loss of a model on held-out batches, in nats per token and in bits per byte.

Protocol: every target is predicted once, from its own sequence only, in rows as the loader packs
them; bits per byte divides by the UTF-8 bytes of the targets, special tokens counting none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import nn

from nanohydra.core.types import IGNORE, Batch
from nanohydra.kernels import linear_cross_entropy
from nanohydra.training.batches import micro_batches


@torch.no_grad()
def validation_loss(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    token_num_bytes: Sequence[int] | None = None,
    device: str = "cpu",
    micro_rows: int = 0,
) -> dict[str, float]:
    """`val_loss` in nats per target token, and `val_bits_per_byte` if the bytes are known.

    token_num_bytes: bytes of each vocabulary entry, 0 for special tokens. Without a single
    target both are NaN.
    """
    lengths = torch.tensor(token_num_bytes) if token_num_bytes is not None else None
    decoder = cast(Any, model)
    nats, num_targets, num_bytes = 0.0, 0, 0
    for batch in batches:
        for micro in micro_batches(batch, micro_rows, device):
            x_BTD = decoder.hidden(
                micro.ids_BT, positions_BT=micro.positions_BT, segments_BT=micro.segments_BT
            )
            labels_N = micro.labels_BT.flatten()
            loss, num = linear_cross_entropy(
                x_BTD.flatten(0, 1),
                decoder.head.weight,
                labels_N,
                softcap=decoder.config.logit_softcap,
            )
            nats += float(loss)
            num_targets += num
            if lengths is not None:
                num_bytes += int(lengths[labels_N[labels_N != IGNORE]].sum())
    result = {"val_loss": nats / num_targets if num_targets else math.nan}
    if lengths is not None:
        result["val_bits_per_byte"] = nats / math.log(2) / num_bytes if num_bytes else math.nan
    return result
