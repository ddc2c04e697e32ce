"""A decoder whose linear layers hold a byte per weight, or about half of one, for a CPU's answers.

Embeddings, norms, and a head that is tied to the embedding stay as they are; a head of its own has
bytes where the other layers have four bits. Such a model decodes few rows faster and takes a half
or a third of bfloat16's memory; it cannot be trained or saved, as what it was made from is gone.
Adapters are applied to it by rows (`nanohydra.adapters.batch`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from nanohydra.core.errors import UserError
from nanohydra.kernels import int4_bytes, int4_product, int8_product, quantise, quantise4
from nanohydra.model.config import ModelConfig
from nanohydra.model.decoder import Decoder
from nanohydra.model.digest import add_tensor
from nanohydra.model.linear import Linear

INT8, INT4 = "int8", "int4"


class QuantisedLinear(Linear):
    """A linear layer with whole weights and a float32 scale for each output; never trained."""

    kind: ClassVar[str]
    scale: Tensor

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would make a weight of its own
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale_O = self.round(linear.weight)
        self.weight = nn.Parameter(weight, requires_grad=False)
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
            raise UserError(
                f"a model with {cls.kind} weights cannot be trained; load it in bfloat16"
            )
        layers = cast(Sequence[QuantisedLinear], linears)
        return cls.product(
            x,
            [own.weight for own in layers],
            [own.scale for own in layers],
            [own.bias for own in layers],
        )

    @staticmethod
    def round(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Whole weights in their layout, and the scale of each output."""
        raise NotImplementedError

    @staticmethod
    def product(
        x: Tensor,
        weights: Sequence[Tensor],
        scales_O: Sequence[Tensor],
        biases_O: Sequence[Tensor | None],
        /,
    ) -> list[Tensor]:
        """x W^T + b for several matrices of this kind."""
        raise NotImplementedError

    @staticmethod
    def num_bytes(num_out: int, width: int) -> int:
        """Memory of a layer without its bias."""
        raise NotImplementedError

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast the layer; the scales stay float32, as the products ask for."""
        scale = self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.scale = scale.to(self.scale.device)
        return self


class Int8Linear(QuantisedLinear):
    """weight (O, I): int8."""

    kind = INT8
    round = staticmethod(quantise)
    product = staticmethod(int8_product)

    @staticmethod
    def num_bytes(num_out: int, width: int) -> int:
        """Memory of a layer without its bias."""
        return num_out * (width + 4)


class Int4Linear(QuantisedLinear):
    """weight: packed int4 (`nanohydra.kernels.int4`), uint8 of one dimension."""

    kind = INT4
    round = staticmethod(quantise4)
    product = staticmethod(int4_product)

    @staticmethod
    def num_bytes(num_out: int, width: int) -> int:
        """Memory of a layer without its bias."""
        return int4_bytes(num_out, width) + 4 * num_out


KINDS: dict[str, type[QuantisedLinear]] = {INT8: Int8Linear, INT4: Int4Linear}


def layer_kind(kind: str, is_head: bool) -> type[QuantisedLinear]:
    """What stands for a linear layer; the head is too sensitive for four bits."""
    return Int8Linear if is_head else KINDS[kind]


@torch.no_grad()
def quantise_decoder(model: Decoder, dtype: torch.dtype | None = None, kind: str = INT8) -> Decoder:
    """Turn a decoder's linear layers into those of a kind, one after the other; returns the model.

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
            layer = layer_kind(kind, module is model.head)
            model.set_submodule(name, layer(module, dtype))
            module.weight = None  # type: ignore[assignment]
            continue
        for leaf, parameter in own.items():
            setattr(module, leaf, nn.Parameter(parameter.to(dtype), requires_grad=False))
    if tied:
        model.head.weight = model.embed.weight
    model.pristine = digest.hexdigest()
    return model


def is_quantised(model: nn.Module) -> bool:
    """Whether any layer holds whole weights."""
    return any(isinstance(module, QuantisedLinear) for module in model.modules())


def refuse_quantised(model: nn.Module, what: str) -> None:
    """Raise UserError for a model with whole weights. what: may not be done with it."""
    kinds = {module.kind for module in model.modules() if isinstance(module, QuantisedLinear)}
    if kinds:
        kind = INT4 if INT4 in kinds else INT8
        raise UserError(
            f"a model with {kind} weights cannot be {what}, because its own weights are gone; "
            f"load it without {kind} for that"
        )


def num_bytes(config: ModelConfig, dtype: torch.dtype, kind: str = INT8) -> int:
    """Memory of a quantised decoder's weights, before it is made."""
    with torch.device("meta"):
        model = Decoder(config)
    total = 0
    for module in model.modules():
        tied: Any = config.tie_embeddings and module is model.head
        for parameter in module.parameters(recurse=False):
            if not tied and isinstance(module, nn.Linear) and parameter.ndim == 2:
                total += layer_kind(kind, module is model.head).num_bytes(*parameter.shape)
            elif not tied:
                total += parameter.numel() * dtype.itemsize
    return total
