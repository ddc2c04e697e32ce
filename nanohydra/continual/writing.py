"""Texts as a model writes them by itself: rows of sampled tokens, all rows in step.

The engine does this for users; it stands further down and knows requests. Here a few hundred rows
of one length begin alike and end alike, which needs no scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder

ROWS_AT_ONCE = 128


@torch.no_grad()
def written(
    model: Decoder,
    prefix: Sequence[int],
    *,
    count: int,
    length: int,
    temperature: float = 1.0,
    random: torch.Generator,
) -> Batch:
    """Rows that begin with `prefix` (a random token if it is empty) and go on as the model likes.

    Drawn from its whole distribution at a temperature; the labels are the tokens drawn, and what
    was given carries no loss.
    """
    was_training = model.training
    model.eval()
    try:
        parts = [
            _rows(model, prefix, min(ROWS_AT_ONCE, count - first), length, temperature, random)
            for first in range(0, count, ROWS_AT_ONCE)
        ]
    finally:
        model.train(was_training)
    ids_BS = torch.cat(parts)
    labels_BT = ids_BS[:, 1:].clone()
    labels_BT[:, : max(len(prefix), 1) - 1] = IGNORE
    shape = labels_BT.shape
    return Batch(
        ids_BT=ids_BS[:, :-1].contiguous(),
        labels_BT=labels_BT,
        positions_BT=torch.arange(length).expand(shape).contiguous(),
        segments_BT=torch.zeros(shape, dtype=torch.int64),
    )


def _rows(
    model: Decoder,
    prefix: Sequence[int],
    count: int,
    length: int,
    temperature: float,
    random: torch.Generator,
) -> torch.Tensor:
    """Ids (count, length + 1): one more than a row, as labels are the next tokens."""
    vocab = model.config.vocab_size
    if prefix:
        ids_BT = torch.tensor([list(prefix)] * count)
    else:
        ids_BT = torch.randint(vocab, (count, 1), generator=random)
    state = model.init_state(count, length + 1)
    found, new_BT = [ids_BT], ids_BT
    while sum(part.shape[1] for part in found) <= length:
        x_BTD = model.hidden(new_BT.to(model.device), state=state)
        logits_BV = model.unembed(x_BTD[:, -1]).float() / temperature
        # On the CPU, so that every device draws the same.
        new_BT = torch.multinomial(logits_BV.softmax(-1).cpu(), 1, generator=random)
        found.append(new_BT)
    return torch.cat(found, 1)
