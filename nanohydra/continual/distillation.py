"""Holding a model to what another predicts: the KL divergence between their next tokens.

Predictions are made from final hidden states, which are small to keep; those of a whole vocabulary
are formed where they are compared, a part of the places at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nanohydra.model import Decoder

LOGITS_AT_ONCE = 2**25  # of a large vocabulary; the backward pass computes them again


def divergences(teacher: Decoder, base_ND: Tensor, model: Decoder, x_ND: Tensor) -> Tensor:
    """KL(teacher || model) at each of N places in nats, from the final hidden states of each.

    Forward, over the whole vocabulary, in float32; no gradient to the teacher.
    """
    with torch.no_grad():
        base_NV = torch.log_softmax(teacher.unembed(base_ND).float(), -1)
    here_NV = torch.log_softmax(model.unembed(x_ND).float(), -1)
    return (base_NV.exp() * (base_NV - here_NV)).sum(-1)


def mean_divergence(teacher: Decoder, base_ND: Tensor, model: Decoder, x_ND: Tensor) -> Tensor:
    """The mean over all places; those of a large vocabulary are computed again going back."""
    chunk = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    if len(x_ND) <= chunk:
        return divergences(teacher, base_ND, model, x_ND).mean()
    parts = zip(torch.split(base_ND, chunk), torch.split(x_ND, chunk), strict=True)
    sums: list[Tensor] = [
        checkpoint(divergences, teacher, base, model, x, use_reentrant=False).sum()
        for base, x in parts
    ]
    return torch.stack(sums).sum() / len(x_ND)
