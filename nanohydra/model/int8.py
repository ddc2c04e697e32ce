"""A decoder whose linear layers hold one byte per weight, for answering on a CPU.

Embeddings, norms, and a head that is tied to the embedding stay as they are. Such a model decodes
one row faster and takes little more than half of bfloat16's memory; it cannot be trained or saved,
as what it was made from is gone. Adapters are applied to it by rows (`nanohydra.adapters.batch`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from nanohydra.core.errors import UserError
from nanohydra.kernels import int8_product, quantise
from nanohydra.model.config import ModelConfig
from nanohydra.model.decoder import Decoder
from nanohydra.model.digest import add_tensor
from nanohydra.model.linear import Linear


class Int8Linear(Linear):
    """A linear layer with int8 weights and a float32 scale for each output; never trained."""

    scale: Tensor

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would make a weight of its own
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight_OI, scale_O = quantise(linear.weight)
        self.weight = nn.Parameter(weight_OI, requires_grad=False)
        self.register_buffer("scale", scale_O)
        bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., in) -> (..., out). Raises UserError where x wants a gradient."""
        return self.at_once(x, [self])[0]

    @classmethod
    def at_once(cls, x: Tensor, linears: Sequence[Linear]) -> list[Tensor]:
        """The outputs of several such layers for one input."""
        if x.requires_grad:
            raise UserError("a model with int8 weights cannot be trained; load it in bfloat16")
        layers = cast(Sequence[Int8Linear], linears)
        return int8_product(
            x,
            [own.weight for own in layers],
            [own.scale for own in layers],
            [own.bias for own in layers],
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast the layer; the scales stay float32, as the products ask for."""
        scale = self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale = scale.to(self.scale.device)
        return self


@torch.no_grad()
def quantise_decoder(model: Decoder, dtype: torch.dtype | None = None) -> Decoder:
    """Turn a decoder's linear layers into int8 ones, one after the other; returns the model.

    Each float weight is let go before the next one is touched. dtype: what everything else is
    cast to, and what the model computes in; None keeps the embedding's. The hash of the weights
    as they were stays in `model.pristine`, so that adapters of the same base still fit.
    """
    assert not is_quantised(model) and not model.training
    dtype = dtype or model.dtype
    digest = hashlib.sha256()
    tied = model.head.weight is model.embed.weight
    # In the order of the parameters, which is that of the base's hash.
    for name, module in list(model.named_modules()):
        if tied and module is model.head:
            continue
        own = dict(module.named_parameters(recurse=False))
        for leaf, parameter in own.items():
            full = f"{name}.{leaf}" if name else leaf
            add_tensor(digest, full, parameter.to(torch.bfloat16))
        if isinstance(module, nn.Linear):
            model.set_submodule(name, Int8Linear(module, dtype))
            module.weight = None  # type: ignore[assignment]
            continue
        for leaf, parameter in own.items():
            setattr(module, leaf, nn.Parameter(parameter.to(dtype), requires_grad=False))
    if tied:
        model.head.weight = model.embed.weight
    model.pristine = digest.hexdigest()
    return model


def is_quantised(model: nn.Module) -> bool:
    """Whether any layer holds int8 weights."""
    return any(isinstance(module, Int8Linear) for module in model.modules())


def refuse_quantised(model: nn.Module, what: str) -> None:
    """Raise UserError for a model with int8 weights. what: may not be done with it."""
    if is_quantised(model):
        raise UserError(
            f"a model with int8 weights cannot be {what}, because its own weights are gone; "
            "load it without int8 for that"
        )


def num_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """Memory of a quantised decoder's weights, before it is made."""
    with torch.device("meta"):
        model = Decoder(config)
    total = 0
    for module in model.modules():
        tied: Any = config.tie_embeddings and module is model.head
        for parameter in module.parameters(recurse=False):
            if not tied and isinstance(module, nn.Linear) and parameter.ndim == 2:
                total += parameter.numel() + 4 * len(parameter)
            elif not tied:
                total += parameter.numel() * dtype.itemsize
    return total
