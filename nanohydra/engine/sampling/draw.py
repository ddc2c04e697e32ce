"""Tokens from rows of logits in plain PyTorch: for GPUs, and where there is no C compiler.

All filters become one threshold per row, and a token is drawn by inverting the cumulative
distribution in vocabulary order with one uniform number. The C version is kernels/sampling.c.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.engine.request import SamplingParams


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """The parameters of a batch as (M, 1) tensors; a None means that no row asks for it."""

    greedy_M: Tensor | None
    temperature_M1: Tensor
    top_k_M1: Tensor | None
    max_top_k: int
    top_p_M1: Tensor | None
    min_p_log_M1: Tensor | None

    @classmethod
    def of(cls, params: Sequence[SamplingParams], device: torch.device) -> Columns:
        """Lay out the parameters in the order of the rows."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)

        greedy = [p.temperature == 0 for p in params]
        top_k = [p.top_k for p in params]
        # Rounding can carry a cumulative sum past 1; a bound of 2 keeps every token.
        top_p = [p.top_p if p.top_p < 1 else 2.0 for p in params]
        min_p = [math.log(p.min_p) if p.min_p > 0 else -math.inf for p in params]
        return cls(
            greedy_M=torch.tensor(greedy, device=device) if any(greedy) else None,
            temperature_M1=column([p.temperature or 1.0 for p in params]),
            top_k_M1=torch.tensor(top_k, device=device).unsqueeze(1) if any(top_k) else None,
            max_top_k=max(top_k) if all(top_k) else 0,
            top_p_M1=column(top_p) if any(p.top_p < 1 for p in params) else None,
            min_p_log_M1=column(min_p) if any(p.min_p > 0 for p in params) else None,
        )


def choose(logits_MV: Tensor, columns: Columns, uniform_M: Tensor | None) -> Tensor:
    """A token for each row, (M,); uniform_M, float64 in [0, 1), is None if all are greedy."""
    if uniform_M is None:
        return logits_MV.argmax(-1)
    tokens_M = draw(logits_MV / columns.temperature_M1, columns, uniform_M)
    if columns.greedy_M is not None:
        tokens_M = torch.where(columns.greedy_M, logits_MV.argmax(-1), tokens_M)
    return tokens_M


def draw(scaled_MV: Tensor, columns: Columns, uniform_M: Tensor) -> Tensor:
    """A random token for each row of logits that the temperature has divided already."""
    threshold_M1 = cutoff(scaled_MV, columns)
    if threshold_M1 is not None:
        scaled_MV = scaled_MV.masked_fill(scaled_MV < threshold_M1, -math.inf)
    cumulative_MV = scaled_MV.softmax(-1).cumsum(-1, dtype=torch.float64)
    total_M1 = cumulative_MV[:, -1:]
    # Strictly below the total: rounding must never reach past the last token that is kept.
    below_M1 = torch.nextafter(total_M1, torch.zeros_like(total_M1))
    places_M1 = torch.minimum(uniform_M.unsqueeze(1) * total_M1, below_M1)
    tokens_M1 = torch.searchsorted(cumulative_MV, places_M1, right=True)
    return tokens_M1.clamp_(max=scaled_MV.shape[1] - 1).squeeze(1)  # only NaN needs the clamp


def cutoff(scaled_MV: Tensor, columns: Columns) -> Tensor | None:
    """The lowest logit that each row keeps, (M, 1); None keeps all. Ties at it are kept."""
    thresholds = []
    if columns.top_k_M1 is not None or columns.top_p_M1 is not None:
        vocab = scaled_MV.shape[1]
        if columns.max_top_k:
            ordered_MV = scaled_MV.topk(min(columns.max_top_k, vocab), dim=-1).values
        else:
            ordered_MV = scaled_MV.sort(dim=-1, descending=True).values
        if columns.top_k_M1 is not None:
            last_M1 = torch.where(columns.top_k_M1 > 0, columns.top_k_M1, vocab) - 1
            kth_M1 = ordered_MV.gather(1, last_M1.clamp_(max=ordered_MV.shape[1] - 1))
            ordered_MV = ordered_MV.masked_fill(ordered_MV < kth_M1, -math.inf)
            thresholds.append(kth_M1)
        if columns.top_p_M1 is not None:
            probabilities_MV = ordered_MV.softmax(-1)
            before_MV = probabilities_MV.cumsum(-1) - probabilities_MV
            # The first token is always kept: nothing stands before it.
            kept_M1 = (before_MV < columns.top_p_M1).sum(-1, keepdim=True).clamp_(min=1)
            thresholds.append(ordered_MV.gather(1, kept_M1 - 1))
    if columns.min_p_log_M1 is not None:
        thresholds.append(scaled_MV.amax(-1, keepdim=True) + columns.min_p_log_M1)
    return functools.reduce(torch.maximum, thresholds) if thresholds else None
