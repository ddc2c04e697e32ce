"""What every kind of adapter but plain LoRA is: a frozen linear layer with named tensors beside it.

A kind is a subclass and a line of `KINDS`: which tensors a fresh one has, whether tensors fit a
layer, what they add to its weight, and how they are called in PEFT's files. Knows nothing of
models, files and training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nanohydra.adapters.config import LoraConfig
from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table

Parts = Mapping[str, Tensor]
KINDS = Table(
    "kind of adapter",
    {
        "lora": "nanohydra.adapters.lora:LoraLinear",
        "dora": "nanohydra.adapters.dora:DoraLinear",
        "loha": "nanohydra.adapters.loha:LohaLinear",
        "lokr": "nanohydra.adapters.lokr:LokrLinear",
    },
)


class AdapterLinear(nn.Linear, ABC):
    """A linear layer's own frozen weight, and an update by tensors that have names.

    It shares the weight with the layer that it stands for. The tensors are float32 parameters,
    cast where they are used. A fresh one changes no bit of the output.
    """

    peft_names: ClassVar[Mapping[str, str]]  # ours -> the end of the name in PEFT's files

    def __init__(self, linear: nn.Linear, parts: Parts, config: LoraConfig) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would make a weight of its own
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.scale, self.dropout, self.active = config.scale, config.dropout, True
        self.set_parts(parts)
        self.train(linear.training)

    @staticmethod
    @abstractmethod
    def fresh(
        linear: nn.Linear, config: LoraConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Tensors whose update is none, and that can be trained from there."""

    @classmethod
    @abstractmethod
    def shapes(cls, parts: Parts, out: int, wide: int) -> Mapping[str, tuple[int, ...]]:
        """The shape that each of these tensors must have for a layer from `wide` to `out`.

        The rank is read from the tensors; a KeyError says that one is missing.
        """

    @abstractmethod
    def delta(self) -> Tensor:
        """What the update adds to the weight, float32 (out, in); gradients flow through it."""

    def update(self, x_NI: Tensor, y_NO: Tensor) -> Tensor:
        """The layer's output with the update, from its input and its own output."""
        x_NI = F.dropout(x_NI, self.dropout if self.training else 0.0)
        return y_NO + F.linear(x_NI, self.delta().to(x_NI.dtype))

    def set_parts(self, parts: Parts) -> None:
        """Take copies of tensors, of any rank. Asserts that they fit the layer."""
        assert not self.problem(parts, self.out_features, self.in_features)
        for name in self.peft_names:
            self._parameters.pop(name, None)  # a form of the kind that these tensors have not
        for name, tensor in parts.items():
            value = tensor.detach().to(self.weight.device, torch.float32, copy=True)
            self.register_parameter(name, nn.Parameter(value))

    @property
    def parts(self) -> dict[str, Tensor]:
        """Copies of the tensors, float32 on the CPU."""
        named = ((name, self._parameters.get(name)) for name in self.peft_names)
        return {
            name: tensor.detach().to("cpu", torch.float32, copy=True)
            for name, tensor in named
            if tensor is not None
        }

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., in) -> (..., out)."""
        y: Tensor = F.linear(x, self.weight, self.bias)
        if not self.active:
            return y
        y_NO = self.update(x.reshape(-1, self.in_features), y.view(-1, self.out_features))
        return y_NO.view(y.shape)

    @classmethod
    def problem(cls, parts: Parts, out: int, wide: int) -> str:
        """Why these tensors do not fit a layer from `wide` to `out`; empty if they do."""
        try:
            expected = cls.shapes(parts, out, wide)
        except (KeyError, IndexError):
            return f"of the tensors {', '.join(cls.peft_names)} it has {', '.join(parts) or 'none'}"
        for name in sorted(parts.keys() | expected.keys()):
            found = tuple(parts[name].shape) if name in parts else None
            if found != expected.get(name) or 0 in (found or ()):
                wanted = expected.get(name, "no such tensor")
                return f"{name} is {found}, and {wanted} was expected"
        return ""


def kind_class(kind: str) -> type[AdapterLinear]:
    """The layer of a kind other than plain LoRA. Raises UserError for an unknown one."""
    found = KINDS.load(kind)
    assert issubclass(found, AdapterLinear)
    return found


def check_parts(name: str, parts: Parts, linear: nn.Linear, kind: str) -> None:
    """Raise UserError unless the tensors are those of this kind for the layer."""
    if wrong := kind_class(kind).problem(parts, linear.out_features, linear.in_features):
        raise UserError(
            f"the adapter's tensors of {name!r} do not fit a layer from {linear.in_features} to "
            f"{linear.out_features}: {wrong}; it is for another model"
        )


def uniform(shape: tuple[int, ...], wide: int, generator: torch.Generator) -> Tensor:
    """Uniform within 1 / sqrt(wide), as a linear layer with so many inputs begins."""
    bound = wide**-0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
