"""Which places may look at which: the masks that the layers of one forward call share.

Without a state a mask is a bias on the scores, which the fused operators take; with one it is
boolean, because rows of different lengths stand side by side. A window w lets a token see itself
and the w - 1 tokens before it; 0 means no limit.
"""

from __future__ import annotations

import torch
from torch import Tensor


def score_bias(length: int, segments_BT: Tensor | None, window: int, like: Tensor) -> Tensor | None:
    """Bias (B or 1, 1, T, T) in the dtype of `like`: 0 to look, -inf not; None: causal alone."""
    if segments_BT is None and not 0 < window < length:
        return None
    steps = torch.arange(length, device=like.device)
    visible = steps[:, None] >= steps
    if 0 < window < length:
        visible = visible & (steps[:, None] - steps < window)
    visible = visible[None, None]
    if segments_BT is not None:
        same = segments_BT[:, :, None] == segments_BT[:, None, :]
        visible = same.unsqueeze(1) & visible
    bias = torch.zeros(visible.shape, dtype=like.dtype, device=like.device)
    return bias.masked_fill_(~visible, -torch.inf)


def state_mask(positions_BT: Tensor, total: int, window: int, first_key: int = 0) -> Tensor | None:
    """True where a query may look at a key first_key .. total - 1; None: everywhere.

    `first_key_of` must have given the first key if there is a window.
    """
    if positions_BT.numel() == 1:
        return None
    keys = torch.arange(first_key, total, device=positions_BT.device)
    mask = keys <= positions_BT[..., None]
    if window and total > window:
        mask &= keys > positions_BT[..., None] - window
    return mask.unsqueeze(1)


def first_key_of(shortest: int, window: int) -> int:
    """The first key that any row's next token sees through a window."""
    return max(0, shortest + 1 - window)
