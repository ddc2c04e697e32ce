"""The optimizers of a run behind one small interface: fused AdamW, alone or beside Muon.

Knows stacks of weights (precision.py) and the configuration; nothing of models or data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from nanohydra.training.config import TrainConfig
from nanohydra.training.muon import Muon
from nanohydra.training.precision import Stack, Weights, copy_named


class Optimizer(Protocol):
    """Turns the collected gradients of its stacks into new masters."""

    def step(self, factor: float) -> None:
        """One update; every rate is multiplied by factor."""

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that a resumed run needs, by name; loading writes into them."""


class AdamW:
    """torch's fused AdamW over stacks, which is far faster than its other forms on a CPU too."""

    def __init__(self, stacks: Sequence[Stack], config: TrainConfig) -> None:
        self.stacks = tuple(stacks)
        groups = []
        for stack in self.stacks:
            stack.master.grad = stack.grad
            factor = config.embed_lr_factor if stack.kind in ("embedding", "head") else 1.0
            decay = config.weight_decay if stack.kind == "matrix" else 0.0
            groups.append(
                {"params": [stack.master], "peak": config.lr * factor} | {"weight_decay": decay}
            )
        self.torch = torch.optim.AdamW(
            groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True
        )
        for stack in self.stacks:  # made now, so that a resumed run has something to load into
            self.torch.state[stack.master] = {
                "step": torch.zeros((), dtype=torch.float32, device=stack.master.device),
                "exp_avg": torch.zeros_like(stack.master),
                "exp_avg_sq": torch.zeros_like(stack.master),
            }

    def step(self, factor: float) -> None:
        """One update."""
        for group in self.torch.param_groups:
            group["lr"] = group["peak"] * factor
        self.torch.step()

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Both moments per parameter, the step count per stack."""
        for stack in self.stacks:
            state = self.torch.state[stack.master]
            yield f"step/{stack.key}", state["step"]
            for moment in ("exp_avg", "exp_avg_sq"):
                for name, tensor in zip(stack.names, state[moment], strict=True):
                    yield f"{moment}/{name}", tensor


class Optimizers:
    """All optimizers of a run."""

    def __init__(self, weights: Weights, config: TrainConfig) -> None:
        for_muon = tuple(
            s for s in weights.stacks if s.kind == "matrix" and config.optimizer == "muon"
        )
        rest = tuple(s for s in weights.stacks if s not in for_muon)
        self.parts: list[Optimizer] = []
        if rest:
            self.parts.append(AdamW(rest, config))
        if for_muon:
            self.parts.append(
                Muon(
                    for_muon,
                    lr=config.muon_lr,
                    momentum=config.muon_momentum,
                    weight_decay=config.weight_decay,
                    dtype=weights.dtype,
                )
            )

    def step(self, factor: float) -> None:
        """One update of all weights."""
        for part in self.parts:
            part.step(factor)

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that a resumed run needs, by name."""
        for part in self.parts:
            yield from part.named_state()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state of a saved run. Raises UserError if it was another optimizer's."""
        copy_named(dict(self.named_state()), tensors, "optimizer state")
