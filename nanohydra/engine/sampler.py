"""Logits -> one token per row: greedy, temperature, top-k, top-p, min-p, seeds.

Every row is decided by its own logits, parameters and random stream alone, so that a request gets
the same tokens whatever shares its batch. All filters become one threshold per row, and a token
is drawn by inverting the cumulative distribution in vocabulary order with one uniform number.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.engine.request import SamplingParams

UNIFORM_BITS = 24  # a float32 holds every multiple of 2^-24 below 1 exactly


def random_stream(seed: int | None) -> random.Random:
    """The uniform numbers of one request; reproducible across machines and torch versions."""
    return random.Random(seed)


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """The parameters of a batch as tensors; made anew only when the set of rows changes.

    Columns are (B, 1), float32. A None means that no row asks for it.
    """

    streams: tuple[random.Random, ...]
    greedy_B: Tensor | None
    temperature_B1: Tensor
    top_k_B1: Tensor | None
    max_top_k: int
    top_p_B1: Tensor | None
    min_p_log_B1: Tensor | None

    @classmethod
    def build(
        cls,
        params: Sequence[SamplingParams],
        streams: Sequence[random.Random],
        device: torch.device,
    ) -> SamplingPlan:
        """Lay out the parameters of the rows, in the order of the rows."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)

        greedy = [p.temperature == 0 for p in params]
        top_k = [p.top_k for p in params]
        # Rounding can carry a cumulative sum past 1; a bound of 2 keeps every token.
        top_p = [p.top_p if p.top_p < 1 else 2.0 for p in params]
        min_p = [math.log(p.min_p) if p.min_p > 0 else -math.inf for p in params]
        return cls(
            streams=() if all(greedy) else tuple(streams),
            greedy_B=torch.tensor(greedy, device=device) if any(greedy) else None,
            temperature_B1=column([p.temperature or 1.0 for p in params]),
            top_k_B1=torch.tensor(top_k, device=device).unsqueeze(1) if any(top_k) else None,
            max_top_k=max(top_k) if all(top_k) else 0,
            top_p_B1=column(top_p) if any(p.top_p < 1 for p in params) else None,
            min_p_log_B1=column(min_p) if any(p.min_p > 0 for p in params) else None,
        )


def sample(logits_BV: Tensor, plan: SamplingPlan) -> tuple[Tensor, Tensor]:
    """One token per row and its log-probability under the unchanged logits, (B,) each."""
    logits_BV = logits_BV.float()
    if not plan.streams:
        tokens_B = logits_BV.argmax(-1)
    else:
        tokens_B = draw(logits_BV / plan.temperature_B1, plan)
        if plan.greedy_B is not None:
            tokens_B = torch.where(plan.greedy_B, logits_BV.argmax(-1), tokens_B)
    chosen_B = logits_BV.gather(1, tokens_B.unsqueeze(1)).squeeze(1)
    return tokens_B, chosen_B - logits_BV.logsumexp(-1)


def draw(scaled_BV: Tensor, plan: SamplingPlan) -> Tensor:
    """A random token per row from logits that the temperature has divided already."""
    threshold_B1 = cutoff(scaled_BV, plan)
    if threshold_B1 is not None:
        scaled_BV = scaled_BV.masked_fill(scaled_BV < threshold_B1, -math.inf)
    cumulative_BV = scaled_BV.softmax(-1).cumsum(-1)
    uniform_B1 = torch.tensor(
        [stream.getrandbits(UNIFORM_BITS) for stream in plan.streams],
        dtype=torch.float32,
        device=scaled_BV.device,
    ).unsqueeze(1) / (1 << UNIFORM_BITS)
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total: rounding must never reach past the last token that is kept.
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    places_B1 = torch.minimum(uniform_B1 * total_B1, below_B1)
    tokens_B1 = torch.searchsorted(cumulative_BV, places_B1, right=True)
    return tokens_B1.clamp_(max=scaled_BV.shape[1] - 1).squeeze(1)  # only NaN needs the clamp


def cutoff(scaled_BV: Tensor, plan: SamplingPlan) -> Tensor | None:
    """The lowest logit that each row keeps, (B, 1); None keeps all. Ties at it are kept."""
    thresholds = []
    if plan.top_k_B1 is not None or plan.top_p_B1 is not None:
        vocab = scaled_BV.shape[1]
        if plan.max_top_k:
            ordered_BV = scaled_BV.topk(min(plan.max_top_k, vocab), dim=-1).values
        else:
            ordered_BV = scaled_BV.sort(dim=-1, descending=True).values
        if plan.top_k_B1 is not None:
            last_B1 = torch.where(plan.top_k_B1 > 0, plan.top_k_B1, vocab) - 1
            kth_B1 = ordered_BV.gather(1, last_B1.clamp_(max=ordered_BV.shape[1] - 1))
            ordered_BV = ordered_BV.masked_fill(ordered_BV < kth_B1, -math.inf)
            thresholds.append(kth_B1)
        if plan.top_p_B1 is not None:
            probabilities_BV = ordered_BV.softmax(-1)
            before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
            # The first token is always kept: nothing stands before it.
            kept_B1 = (before_BV < plan.top_p_B1).sum(-1, keepdim=True).clamp_(min=1)
            thresholds.append(ordered_BV.gather(1, kept_B1 - 1))
    if plan.min_p_log_B1 is not None:
        thresholds.append(scaled_BV.amax(-1, keepdim=True) + plan.min_p_log_B1)
    return functools.reduce(torch.maximum, thresholds) if thresholds else None
