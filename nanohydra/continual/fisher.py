"""The diagonal of the Fisher information of a language model, by per-example gradients.

F = E_x E_{y ~ p(y|x)} [(d log p(y|x) / d theta)^2]: the labels are drawn from the model itself
(with those of the data it would be the empirical Fisher, see arXiv 1905.12558), and the square is
taken of each example's own gradient. Squaring the mean gradient of a batch instead gives a number
that is too small by up to the batch size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder

Labels = Literal["sampled", "given"]


def fisher_diagonal(
    model: Decoder,
    batches: Iterable[Batch],
    *,
    random: torch.Generator,
    labels: Labels = "sampled",
) -> dict[str, Tensor]:
    """The mean over all target tokens, by name of each parameter that requires a gradient.

    An example is a row. Given what precedes them, the labels of a row are drawn independently and
    their scores have mean zero, so the square of a row's summed gradient is in expectation the sum
    of its tokens' squares. labels "given" uses those of the data.
    """
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in named.items()}
    num_targets = 0
    for batch in batches:
        for row in range(len(batch.ids_BT)):
            one = slice(row, row + 1)
            count = int((batch.labels_BT[one] != IGNORE).sum())
            if not count:
                continue
            num_targets += count
            score = log_likelihood(model, batch, one, random, labels)
            grads = torch.autograd.grad(score, list(named.values()))
            for total, grad in zip(sums.values(), grads, strict=True):
                total.addcmul_(grad.float(), grad.float())
    return {name: total / max(num_targets, 1) for name, total in sums.items()}


def log_likelihood(
    model: Decoder, batch: Batch, rows: slice, random: torch.Generator, labels: Labels
) -> Tensor:
    """Sum of the labels' log-probabilities at the places of some rows that carry loss."""
    device = model.device
    x_BTD = model.hidden(
        batch.ids_BT[rows].to(device),
        positions_BT=batch.positions_BT[rows].to(device),
        segments_BT=batch.segments_BT[rows].to(device),
    )
    mask_BT = batch.labels_BT[rows] != IGNORE
    logits_NV = model.unembed(x_BTD[mask_BT.to(device)]).float()
    if labels == "sampled":
        # On the CPU, so that every device draws the same.
        drawn = torch.multinomial(logits_NV.detach().softmax(-1).cpu(), 1, generator=random)
        labels_N = drawn[:, 0].to(device)
    else:
        labels_N = batch.labels_BT[rows][mask_BT].to(device)
    return -F.cross_entropy(logits_NV, labels_N, reduction="sum")
