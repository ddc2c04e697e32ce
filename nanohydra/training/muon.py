"""Muon: momentum whose direction is orthogonalised, for the matrices of the blocks.

Keller Jordan's Muon (https://kellerjordan.github.io/posts/muon/) with the polynomials of Polar
Express (arXiv 2505.16932) in place of one fixed quintic. Matrices of one shape are one batched
product. Knows nothing of models: it is given stacks of weights and gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nanohydra.training.precision import Stack

# Optimal odd quintics a X + b X^3 + c X^5 for five steps from singular values >= 1e-3.
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


def orthogonalize(g_KRC: Tensor, dtype: torch.dtype) -> Tensor:
    """The nearest semi-orthogonal matrix of each matrix (K, R, C), roughly, in `dtype`.

    Singular values of the result lie near 1. A zero matrix stays zero.
    """
    tall = g_KRC.shape[-2] > g_KRC.shape[-1]
    x = g_KRC.to(dtype)
    # The polynomials need singular values below 1; 1.01 leaves room for rounding.
    norm_K11 = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True) * 1.01 + 1e-12
    x = (x.mT if tall else x) * norm_K11.reciprocal()
    x = x.contiguous()
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        poly = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, poly, x, beta=a)
    return x.mT if tall else x


class Muon:
    """Updates the masters of stacks of matrices from their collected gradients."""

    def __init__(
        self,
        stacks: Sequence[Stack],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        self.stacks = tuple(stacks)
        self.lr, self.momentum, self.weight_decay, self.dtype = lr, momentum, weight_decay, dtype
        self.momenta = tuple(torch.zeros_like(stack.master) for stack in self.stacks)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with the rate lr * factor. Overwrites the collected gradients."""
        lr = self.lr * factor
        for stack, momentum in zip(self.stacks, self.momenta, strict=True):
            momentum.lerp_(stack.grad, 1.0 - self.momentum)
            nesterov = stack.grad.lerp_(momentum, self.momentum)
            if self.weight_decay:
                stack.master.mul_(1.0 - lr * self.weight_decay)
            masters, updates = (
                torch.split(t, list(stack.splits), dim=1) for t in (stack.master, nesterov)
            )
            for master_KRC, update_KRC in zip(masters, updates, strict=True):
                # Keeps the size of the change of an output the same for every shape.
                scale = max(1.0, master_KRC.shape[1] / master_KRC.shape[2]) ** 0.5
                master_KRC.add_(orthogonalize(update_KRC, self.dtype), alpha=-lr * scale)

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """What has to be saved, by name."""
        for stack, momentum in zip(self.stacks, self.momenta, strict=True):
            for name, tensor in zip(stack.names, momentum, strict=True):
                yield f"momentum/{name}", tensor
