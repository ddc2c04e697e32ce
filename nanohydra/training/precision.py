"""The one place where training decides about precision: float32 masters, computing copies.

The optimizer owns float32 weights. The model computes with copies of them in the compute dtype,
refreshed once per optimizer step, so that no forward or backward pass casts a weight. Gradients
arrive in the compute dtype and are summed over micro-batches in float32. Parameters of one shape
lie in one stack, so that an optimizer handles them with one operation. If the compute dtype is
float32, copy and master are the same memory, and nothing is cast at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from nanohydra.core.errors import UserError
from nanohydra.training.groups import Kind, kind_of, muon_splits


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """K parameters of one kind, shape and split, as tensors (K, *shape)."""

    kind: Kind
    splits: tuple[int, ...]
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]
    master: Tensor
    grad: Tensor
    compute: Tensor
    grads: tuple[Tensor, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Views of `grad`, one per parameter."""
        object.__setattr__(self, "grads", tuple(self.grad.unbind()))

    @property
    def key(self) -> str:
        """A short name that is unique among the stacks of a model."""
        return f"{self.kind}:{self.names[0]}"


class Weights:
    """The trained parameters of a model while it is being trained.

    Use as a context: inside, the model holds weights of the compute dtype; on leaving, trained
    parameters are float32 masters and frozen ones are what they were before.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        if dtype not in (torch.float32, torch.bfloat16):
            raise UserError(f"training computes in float32 or bfloat16, not in {dtype}")
        self.dtype = dtype
        named = dict(model.named_parameters())
        self._frozen = {n: (p, p.data) for n, p in named.items() if not p.requires_grad}
        groups: dict[tuple[object, ...], list[str]] = {}
        for name, parameter in named.items():
            if parameter.requires_grad:
                kind = kind_of(name, parameter)
                key = (kind, tuple(parameter.shape), muon_splits(parameter), parameter.device)
                groups.setdefault(key, []).append(name)
        if not groups:
            raise UserError("the model has no parameter that requires a gradient")
        self.stacks = tuple(
            self._stack(key[0], names, {n: named[n] for n in names})  # type: ignore[arg-type]
            for key, names in groups.items()
        )

    def _stack(self, kind: Kind, names: list[str], named: Mapping[str, nn.Parameter]) -> Stack:
        parameters = tuple(named.values())
        master = torch.stack([p.detach().float() for p in parameters])
        return Stack(
            kind=kind,
            splits=muon_splits(parameters[0]),
            names=tuple(names),
            parameters=parameters,
            master=master,
            grad=torch.zeros_like(master),
            compute=master if self.dtype == torch.float32 else master.to(self.dtype),
        )

    def __enter__(self) -> Weights:
        """Give the model its computing copies."""
        for stack in self.stacks:
            for parameter, compute in zip(stack.parameters, stack.compute, strict=True):
                parameter.grad = None
                parameter.data = compute
        for parameter, data in self._frozen.values():
            parameter.data = data.to(self.dtype)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the model its float32 weights."""
        for stack in self.stacks:
            for parameter, master in zip(stack.parameters, stack.master, strict=True):
                parameter.grad = None
                parameter.data = master
        for parameter, data in self._frozen.values():
            parameter.data = data

    def collect(self, *, first: bool) -> None:
        """Take the gradients of a backward pass, adding to those taken unless it is the first."""
        for stack in self.stacks:
            targets, sources = [], []
            for parameter, grad in zip(stack.parameters, stack.grads, strict=True):
                if parameter.grad is not None:
                    targets.append(grad)
                    sources.append(parameter.grad)
                elif first:
                    grad.zero_()
                parameter.grad = None
            if targets:
                (torch._foreach_copy_ if first else torch._foreach_add_)(targets, sources)

    def refresh(self) -> None:
        """Round the masters into the computing copies; once after each optimizer step."""
        if self.dtype != torch.float32:
            for stack in self.stacks:
                stack.compute.copy_(stack.master)

    def grad_norm(self) -> Tensor:
        """Global 2-norm of the collected gradients, a float32 scalar."""
        norms = torch._foreach_norm([stack.grad for stack in self.stacks])
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
        return norm

    def scale_grads(self, factor: float | Tensor) -> None:
        """Multiply all collected gradients."""
        torch._foreach_mul_([stack.grad for stack in self.stacks], factor)

    def named_masters(self) -> Iterator[tuple[str, Tensor]]:
        """Name and float32 weight of every trained parameter."""
        return ((n, t) for s in self.stacks for n, t in zip(s.names, s.master, strict=True))

    def named_grads(self) -> Iterator[tuple[str, Tensor]]:
        """Name and float32 gradient of every trained parameter; writing into it counts."""
        return ((n, t) for s in self.stacks for n, t in zip(s.names, s.grads, strict=True))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take masters from a saved state. Raises UserError if names or shapes differ."""
        copy_named(dict(self.named_masters()), tensors, "weights")
        self.refresh()


def copy_named(targets: Mapping[str, Tensor], sources: Mapping[str, Tensor], what: str) -> None:
    """Copy tensors by name. Raises UserError unless names and shapes are the same."""
    if targets.keys() != sources.keys():
        names = sorted(targets.keys() ^ sources.keys())
        raise UserError(f"the saved {what} belong to another model: {names[0]!r} is in one only")
    for name, target in targets.items():
        if target.shape != sources[name].shape:
            raise UserError(
                f"the saved {what} belong to another model: {name!r} has shape "
                f"{tuple(sources[name].shape)}, not {tuple(target.shape)}"
            )
        target.copy_(sources[name])
