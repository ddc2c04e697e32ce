"""The output head and its cross-entropy in one operation that never holds all the logits.

Token chunks pass through head, softmax and both gradients one after another, so that the extra
memory is one chunk of logits. The idea is that of Liger-Kernel's fused linear cross-entropy
(arXiv 2410.10989). Knows nothing of models or of how a loss is averaged over a step.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nanohydra.core.types import IGNORE
from nanohydra.kernels.native import call, runs_native

# On a CPU the chunk's logits should stay in the cache; elsewhere launches should be few.
CHUNK_LOGITS = {"cpu": 2**21, "other": 2**28}
LEAST_CHUNK = 256
Reduction = Literal["sum", "mean"]


def linear_cross_entropy(
    x_ND: Tensor,
    weight_VD: Tensor,
    labels_N: Tensor,
    *,
    chunk: int = 0,
    softcap: float = 0.0,
    reduction: Reduction = "sum",
) -> tuple[Tensor, int]:
    """Cross-entropy of `x @ weight.T` against labels, in nats, and how many labels counted.

    Places labelled IGNORE are left out before any work is done for them; if all are, the loss
    and its gradients are zero. The matrix products run in the dtype of x, the softmax in
    float32, the loss is float32.

    labels_N: int64. May stay on the CPU while x is elsewhere: then choosing the places that
        count does not wait for the device.
    chunk: tokens whose logits are held at a time; 0 chooses by vocabulary and device.
    softcap: c > 0 makes c tanh(x / c) of each logit x, as the model's own head does.
    """
    assert x_ND.ndim == 2 and weight_VD.ndim == 2 and labels_N.shape == x_ND.shape[:1]
    x_ND, labels_N = select_targets(x_ND, labels_N)
    num_targets = len(labels_N)
    if not chunk:
        logits = CHUNK_LOGITS["cpu" if x_ND.device.type == "cpu" else "other"]
        chunk = max(LEAST_CHUNK, logits // len(weight_VD))
    loss: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        x_ND, weight_VD, labels_N, chunk, softcap
    )
    return (loss / max(num_targets, 1) if reduction == "mean" else loss), num_targets


def linear_cross_entropy_reference(
    x_ND: Tensor,
    weight_VD: Tensor,
    labels_N: Tensor,
    *,
    softcap: float = 0.0,
    reduction: Reduction = "sum",
) -> tuple[Tensor, int]:
    """The same in plain PyTorch, all logits at once."""
    num_targets = int((labels_N != IGNORE).sum())
    logits_NV = F.linear(x_ND, weight_VD).float()
    if softcap:
        logits_NV = softcap * torch.tanh(logits_NV / softcap)
    loss = F.cross_entropy(logits_NV, labels_N, ignore_index=IGNORE, reduction="sum")
    return (loss / max(num_targets, 1) if reduction == "mean" else loss), num_targets


def select_targets(x_ND: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor]:
    """Only the places that carry loss, both on the device of x."""
    index = (labels_N != IGNORE).nonzero().squeeze(1)
    if len(index) == len(labels_N):
        return x_ND, labels_N.to(x_ND.device, non_blocking=True)
    labels_N = labels_N[index].to(x_ND.device, non_blocking=True)
    return x_ND.index_select(0, index.to(x_ND.device, non_blocking=True)), labels_N


def logits_loss(
    logits_cV: Tensor, label_c1: Tensor, need_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """Sum of the losses and its gradient, softmax - onehot. May overwrite the logits."""
    if runs_native(logits_cV):
        loss_c = torch.empty(len(logits_cV), dtype=torch.float32)
        sizes = (*logits_cV.shape, int(need_grad))
        call("cross_entropy", logits_cV.dtype, logits_cV, label_c1, loss_c, *sizes)
        return loss_c.sum(), logits_cV if need_grad else None
    logprob_cV = torch.log_softmax(logits_cV, -1, dtype=torch.float32)
    loss = -logprob_cV.gather(1, label_c1).sum()
    if not need_grad:
        return loss, None
    grad_cV = logprob_cV.exp_()
    grad_cV.scatter_add_(1, label_c1, grad_cV.new_full((1, 1), -1.0).expand_as(label_c1))
    return loss, grad_cV.to(logits_cV.dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of the losses; the gradients for a loss of weight one are formed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, weight_VD: Tensor, labels_N: Tensor, chunk: int, softcap: float
    ) -> Tensor:
        """One pass over the chunks."""
        need_x, need_weight = ctx.needs_input_grad[:2]
        loss = torch.zeros((), dtype=torch.float32, device=x_ND.device)
        grad_x = torch.empty_like(x_ND) if need_x else None
        # float32, because the sum over chunks would lose what bfloat16 rounds away.
        grad_weight = torch.zeros_like(weight_VD, dtype=torch.float32) if need_weight else None
        for start in range(0, len(labels_N), chunk):
            x_cD = x_ND[start : start + chunk]
            label_c1 = labels_N[start : start + chunk, None]
            logits_cV = x_cD @ weight_VD.mT
            slope_cV = None
            if softcap:
                tanh_cV = torch.tanh(logits_cV / softcap)
                logits_cV, slope_cV = tanh_cV * softcap, 1 - tanh_cV.square()
            chunk_loss, grad_cV = logits_loss(logits_cV, label_c1, need_x or need_weight)
            loss += chunk_loss
            if grad_cV is None:
                continue
            if slope_cV is not None:
                grad_cV = grad_cV * slope_cV
            if grad_x is not None:
                torch.mm(grad_cV, weight_VD, out=grad_x[start : start + chunk])
            if grad_weight is not None:
                grad_weight += grad_cV.mT @ x_cD
        ctx.save_for_backward(grad_x, grad_weight)
        ctx.weight_dtype = weight_VD.dtype
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Scale what the forward pass formed by the weight that the loss turned out to have."""
        grad_x, grad_weight = ctx.saved_tensors
        if grad_x is not None:
            grad_x = (grad_x * grad).to(grad_x.dtype)
        if grad_weight is not None:
            grad_weight = (grad_weight * grad).to(ctx.weight_dtype)
        return grad_x, grad_weight, None, None, None
