"""Low-rank adapters on a model in memory: attach, train or load, switch off, detach.

LoRA, arXiv 2106.09685. A fresh adapter changes no output at all, and the base's weights are never
written to. Knows nothing of files, of losses, or of what an adapter is for.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from nanohydra.adapters.config import LINEARS, LoraConfig
from nanohydra.adapters.layer import AdapterLinear, Parts, check_parts, kind_class
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.model.quantised import refuse_quantised

# An adapter on a tied head would move the embedding with it, and the other way round.
NEVER = ("embed", "head", "lm_head", "position_table")
BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")


class LoraLinear(nn.Linear):
    """A linear layer's own frozen weight, and a low-rank update: x W^T + (x A^T) B^T * scale.

    It shares the weight with the layer that it stands for, so that the model's parameters keep
    their names. The factors are float32 whatever the weight's dtype is; they are cast where they
    are used, unless the training loop has put copies of the computing dtype in their place.
    """

    def __init__(self, linear: nn.Linear, pair: Pair, scale: float, dropout: float = 0.0) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would make a weight of its own
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.scale, self.dropout, self.active = scale, dropout, True
        self.set_factors(pair)
        self.train(linear.training)

    def set_factors(self, pair: Pair) -> None:
        """Take copies of the factors, of any rank. Asserts that they fit the layer."""
        a, b = pair.a_RI, pair.b_OR
        assert a.ndim == b.ndim == 2 and a.shape[0] == b.shape[1]
        assert (b.shape[0], a.shape[1]) == (self.out_features, self.in_features)
        device = self.weight.device
        self.lora_a = nn.Parameter(a.detach().to(device, torch.float32, copy=True))
        self.lora_b = nn.Parameter(b.detach().to(device, torch.float32, copy=True))

    @property
    def factors(self) -> Pair:
        """Copies of the factors, float32 on the CPU."""
        return Pair(
            a_RI=self.lora_a.detach().to("cpu", torch.float32, copy=True),
            b_OR=self.lora_b.detach().to("cpu", torch.float32, copy=True),
        )

    def delta(self) -> Tensor:
        """What the update adds to the weight, float32 (out, in); gradients flow through it."""
        return self.lora_b.float() @ self.lora_a.float() * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """Any shape (..., in) -> (..., out)."""
        if not self.active:
            return F.linear(x, self.weight, self.bias)
        a_RI: Tensor = self.lora_a
        b_OR: Tensor = self.lora_b
        if a_RI.dtype != x.dtype:
            a_RI, b_OR = a_RI.to(x.dtype), b_OR.to(x.dtype)
        x_NI = x.reshape(-1, self.in_features)
        dropout = self.dropout if self.training else 0.0
        frozen = not any(p.requires_grad for p in (self.weight, self.bias) if p is not None)
        if frozen and not dropout and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            y_NO: Tensor = _Adapted.apply(  # type: ignore[no-untyped-call]
                x_NI, self.weight, self.bias, a_RI, b_OR, self.scale
            )
        else:
            y_NO = F.linear(x_NI, self.weight, self.bias)
            h_NR = F.linear(F.dropout(x_NI, dropout), a_RI)
            # In place: the product is added while it is formed, and no backward pass needs y.
            y_NO.addmm_(h_NR, b_OR.t(), alpha=self.scale)
        return y_NO.view(*x.shape[:-1], self.out_features)


class _Adapted(torch.autograd.Function):
    """The same with a frozen weight, and both parts of the input's gradient in one tensor."""

    @staticmethod
    def forward(
        ctx: Any,
        x_NI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        a_RI: Tensor,
        b_OR: Tensor,
        scale: float,
    ) -> Tensor:
        h_NR = F.linear(x_NI, a_RI)
        y_NO = F.linear(x_NI, weight_OI, bias_O).addmm_(h_NR, b_OR.t(), alpha=scale)
        ctx.save_for_backward(x_NI, weight_OI, a_RI, b_OR, h_NR)
        ctx.scale = scale
        return y_NO

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_NO: Tensor
    ) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x_NI, weight_OI, a_RI, b_OR, h_NR = ctx.saved_tensors
        grad_h_NR = (grad_NO @ b_OR).mul_(ctx.scale)
        grad_x_NI = None
        if ctx.needs_input_grad[0]:
            grad_x_NI = (grad_NO @ weight_OI).addmm_(grad_h_NR, a_RI)
        grad_b_OR = (grad_NO.t() @ h_NR).mul_(ctx.scale)
        return grad_x_NI, None, None, grad_h_NR.t() @ x_NI, grad_b_OR, None


class Attached:
    """An adapter on a model. The model's other parameters are frozen until it is detached.

    tensors: of each layer, a Pair for LoRA and named parts for another kind. layers: a LoraLinear,
    or the layer of the other kind, by the name of the linear layer whose place it has.
    """

    def __init__(
        self, model: nn.Module, config: LoraConfig, tensors: Mapping[str, Pair | Parts]
    ) -> None:
        refuse_quantised(model, "taught")
        self.model, self.config = model, config
        self._linears = {name: linear_at(model, name) for name in tensors}
        assert not is_adapted(model), "detach it first"
        self._required = [(p, p.requires_grad) for p in model.parameters()]
        for parameter, _ in self._required:
            parameter.requires_grad_(False)
        layers: dict[str, Any] = {}
        for name, linear in self._linears.items():
            layers[name] = layer_of(linear, tensors[name], config)
            model.set_submodule(name, layers[name])
        self.layers: Mapping[str, Any] = MappingProxyType(layers)

    def weights(self, base: str) -> AdapterWeights:
        """Copies of the factors. base: `base_hash` of the model.

        While the training loop runs in bfloat16, these are the rounded factors.
        """
        if self.config.kind == "lora":
            pairs = {name: layer.factors for name, layer in self.layers.items()}
            return AdapterWeights(config=self.config, base=base, pairs=pairs)
        parts = {name: layer.parts for name, layer in self.layers.items()}
        return AdapterWeights(config=self.config, base=base, pairs={}, parts=parts)

    def load(self, weights: AdapterWeights) -> None:
        """Compute what `weights` say from now on; layers that they leave out change nothing.

        The factors become new parameters, so an optimizer made before does not know them. Raises
        UserError for a layer that is not attached, for another kind and for another shape.
        """
        if weights.config.kind != self.config.kind:
            raise UserError(
                f"an adapter of kind {weights.config.kind} cannot take the place of one of kind "
                f"{self.config.kind}: detach that first"
            )
        for name in (*weights.pairs, *weights.parts):
            if name not in self.layers:
                raise UserError(f"the adapter has no place for {name!r}: it is not attached there")
        check_tensors(weights, self._linears)
        self.config = weights.config
        for name, layer in self.layers.items():
            layer.scale, layer.dropout = weights.config.scale, weights.config.dropout
            if isinstance(layer, AdapterLinear):
                fresh = layer.fresh(layer, weights.config, torch.Generator())
                layer.set_parts(weights.parts.get(name) or fresh)
            else:
                layer.set_factors(weights.pairs.get(name) or zero_pair(layer, weights.config.rank))

    @contextlib.contextmanager
    def enabled(self, on: bool) -> Iterator[None]:
        """Inside, the adapter is on or off. Off, the model is the base, bit for bit."""
        before = {layer: layer.active for layer in self.layers.values()}
        for layer in before:
            layer.active = on
        try:
            yield
        finally:
            for layer, active in before.items():
                layer.active = active

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained: the factors, or the parts of another kind."""
        for layer in self.layers.values():
            named = layer.named_parameters(recurse=False)
            yield from (p for name, p in named if name not in ("weight", "bias"))

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters())

    def detach(self) -> nn.Module:
        """The model as it was, with its own layers and what required a gradient."""
        for name, linear in self._linears.items():
            linear.train(self.layers[name].training)
            self.model.set_submodule(name, linear)
        for parameter, required in self._required:
            parameter.requires_grad_(required)
        return self.model


def attach(model: nn.Module, config: LoraConfig, *, seed: int = 0) -> Attached:
    """Put a fresh adapter on the layers that the configuration targets, and freeze the rest.

    A is uniform within 1 / sqrt(in), B is zero: no output changes, and the first gradient of A
    is zero; other kinds begin as they say. The global random state is left alone. Raises UserError
    if a target or a layer is not there.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs: dict[str, Pair | Parts] = {}
    for name in targeted(model, config):
        linear = linear_at(model, name)
        if config.kind != "lora":
            pairs[name] = kind_class(config.kind).fresh(linear, config, generator)
            continue
        bound = linear.in_features**-0.5
        a_RI = torch.empty(config.rank, linear.in_features).uniform_(
            -bound, bound, generator=generator
        )
        pairs[name] = Pair(a_RI=a_RI, b_OR=torch.zeros(linear.out_features, config.rank))
    return Attached(model, config, pairs)


def attach_weights(model: nn.Module, weights: AdapterWeights) -> Attached:
    """Put an adapter that exists on the layers that it has factors for.

    Raises UserError if the model lacks one of them or has it in another shape. Whether the base
    is the right one is the caller's to check: `weights.base` against `base_hash`.
    """
    check_tensors(weights, {n: linear_at(model, n) for n in (*weights.pairs, *weights.parts)})
    return Attached(model, weights.config, weights.pairs or weights.parts)


def is_adapted(model: nn.Module) -> bool:
    """Whether an adapter of any kind is on the model."""
    return any(isinstance(module, LoraLinear | AdapterLinear) for module in model.modules())


def layer_of(linear: nn.Linear, tensors: Pair | Parts, config: LoraConfig) -> Any:
    """The layer that computes a linear layer and an update of the configuration's kind."""
    if isinstance(tensors, Pair):
        return LoraLinear(linear, tensors, config.scale, config.dropout)
    return kind_class(config.kind)(linear, tensors, config)


def check_tensors(weights: AdapterWeights, linears: Mapping[str, nn.Linear]) -> None:
    """Raise UserError unless an adapter's tensors are of the shapes of these layers."""
    for name, pair in weights.pairs.items():
        check_pair(name, pair, linears[name])
    for name, parts in weights.parts.items():
        check_parts(name, parts, linears[name], weights.config.kind)


def targeted(model: nn.Module, config: LoraConfig) -> list[str]:
    """Names of the linear layers that a configuration adapts, in the model's order.

    A target is the last part of a name, several last parts ("mixer.*_proj"), or a whole name,
    with the wildcards of the shell. Raises UserError for a target that the model has not, unless
    it is one of the usual LINEARS, and for a layer number out of range.
    """
    names = adaptable(model)
    in_layers = [n for n in names if not config.layers or block_of(n) in config.layers]
    numbers = {block_of(name) for name in names} - {None}
    for number in config.layers:
        if number not in numbers:
            raise UserError(f"the model has no layer {number}; it has {len(numbers)} from 0 on")
    for target in config.targets:
        if target not in LINEARS and not any(matches(name, target) for name in names):
            raise UserError(f"no linear layer is called {target!r}; {_known(names, target)}")
    found = [n for n in in_layers if any(matches(n, target) for target in config.targets)]
    if not found:
        asked = ", ".join(config.targets)
        raise UserError(f"the model has no linear layer called {asked}; {_known(names, asked)}")
    return found


def adaptable(model: nn.Module) -> list[str]:
    """Names of all linear layers but embeddings and head."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not set(name.split(".")) & set(NEVER)
    ]


def matches(name: str, target: str) -> bool:
    """Whether a target means this layer."""
    return fnmatchcase(name, target) or fnmatchcase(name, f"*.{target}")


def block_of(name: str) -> int | None:
    """The number of the block that a layer is in."""
    found = BLOCK.search(name)
    return int(found[1]) if found else None


def linear_at(model: nn.Module, name: str) -> nn.Linear:
    """A linear layer by name. Raises UserError if there is none."""
    try:
        module = model.get_submodule(name)
    except AttributeError:
        module = None
    if not isinstance(module, nn.Linear) or set(name.split(".")) & set(NEVER):
        raise UserError(
            f"the model has no linear layer {name!r}; {suggest(name, adaptable(model))}"
        )
    return module


def check_pair(name: str, pair: Pair, linear: nn.Linear) -> None:
    """Raise UserError unless the factors are of the layer's shape."""
    a, b = tuple(pair.a_RI.shape), tuple(pair.b_OR.shape)
    fits = len(a) == len(b) == 2 and a[0] == b[1] and a[0] > 0
    if not fits or (a[1], b[0]) != (linear.in_features, linear.out_features):
        raise UserError(
            f"the adapter's factors of {name!r} have shapes {a} and {b}, which do not fit a layer "
            f"from {linear.in_features} to {linear.out_features}: it is for another model"
        )


def zero_pair(linear: nn.Linear, rank: int) -> Pair:
    """Factors of an update that is none."""
    return Pair(
        a_RI=torch.zeros(rank, linear.in_features), b_OR=torch.zeros(linear.out_features, rank)
    )


def _known(names: list[str], target: str) -> str:
    parts = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    hint = suggest(target, parts)
    return hint if hint.startswith("known") else f"{hint} (it has {', '.join(parts)})"
