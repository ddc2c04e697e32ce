"""Linear layers that are fast for one row, which decoding a single sequence asks for."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.kernels import matvec, takes_one_row


class Linear(nn.Linear):
    """As PyTorch's, up to the order in which bfloat16 products of one row are added."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., in) -> (..., out)."""
        if takes_one_row(x, self.weight):
            return matvec(x, [self.weight], [self.bias])[0]
        return F.linear(x, self.weight, self.bias)

    @classmethod
    def at_once(cls, x: Tensor, linears: Sequence[Linear]) -> list[Tensor] | None:
        """The outputs of several plain layers of this class for one input; None: no faster so."""
        weights = [linear.weight for linear in linears]
        if not takes_one_row(x, *weights):
            return None
        return matvec(x, weights, [linear.bias for linear in linears])


def project(x: Tensor, *linears: nn.Module) -> list[Tensor]:
    """The outputs of several layers for one input; for one row in one pass over their weights.

    A layer that something else stands in for, as an adapter does, is called as it is.
    """
    kind = type(linears[0])
    plain = [linear for linear in linears if isinstance(linear, Linear) and is_plain(linear, kind)]
    if len(plain) == len(linears):
        outputs = type(plain[0]).at_once(x, plain)
        if outputs is not None:
            return outputs
    return [linear(x) for linear in linears]


def is_plain(linear: Linear, kind: type[nn.Module] = Linear) -> bool:
    """Whether calling the layer does nothing but the `forward` of this class."""
    return type(linear) is kind and not (
        "forward" in linear.__dict__ or linear._forward_hooks or linear._forward_pre_hooks
    )
