"""Where an adapter looks: the inputs of a layer that lessons have and anchors do not.

An update B A x is nothing for an x that A does not see. So the rows of A are the directions in
which a layer's inputs are strong for the lessons and weak for the anchors (the first generalised
eigenvectors of the two), they stay as they are, and B alone is trained. Frozen A: LoRA-FA, arXiv
2308.03303; away from what is to be kept: AlphaEdit, arXiv 2410.02355.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nanohydra.adapters.lora import linear_at
from nanohydra.learn.samples import Sample, pack
from nanohydra.model import Decoder

if TYPE_CHECKING:
    from nanohydra.adapters.lora import Attached

ROWS_AT_ONCE = 16
EXACT_WIDTH = 1024  # up to here all directions of the anchors are known, beyond the strongest
NUM_STRONGEST = 256
MAX_INPUTS, LEAST_INPUTS = 4096, 256  # of one layer
MAX_BYTES = 2**30  # of all layers together, which limits the inputs of a large model


@dataclass
class Inputs:
    """The inputs of some layers, each (N, I). same: layer -> the one whose it shares."""

    held: dict[str, list[Tensor]] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> Tensor:
        """Those of one layer in float32."""
        return torch.cat(self.held[self.same.get(name, name)]).float()


@dataclass(frozen=True, kw_only=True, eq=False)
class Spread:
    """How far the anchors' inputs of one layer reach in each direction.

    basis_IK: orthonormal. gain_K: what a direction is multiplied by, 1 where the anchors have
    nothing and less the more they have.
    """

    basis_IK: Tensor
    gain_K: Tensor

    @classmethod
    def of(cls, x_NI: Tensor, floor: float) -> Spread:
        """Measured from inputs; floor: variance that counts as none, as a share of the mean one."""
        width = x_NI.shape[1]
        if width <= EXACT_WIDTH:
            variance_K, basis_IK = torch.linalg.eigh(x_NI.mT @ x_NI / len(x_NI))
        else:
            rank = min(NUM_STRONGEST, *x_NI.shape)
            _, size_K, basis_IK = torch.svd_lowrank(x_NI, q=rank)
            variance_K = size_K.square() / len(x_NI)
        least = floor * float(x_NI.square().sum()) / x_NI.numel()
        gain_K = (least / (variance_K.clamp_min(0) + least)).sqrt()
        return cls(basis_IK=basis_IK.contiguous(), gain_K=gain_K)

    def weaken(self, x_NI: Tensor) -> Tensor:
        """The same vectors with less of what anchors have."""
        return x_NI + ((x_NI @ self.basis_IK) * (self.gain_K - 1)) @ self.basis_IK.mT

    def directions(self, x_NI: Tensor, rank: int) -> Tensor:
        """The `rank` directions in which inputs exceed the anchors' most, unit rows (rank, I).

        Fewer where there are fewer inputs.
        """
        rank = min(rank, *x_NI.shape)
        _, _, v_IR = torch.svd_lowrank(self.weaken(x_NI), q=rank)
        return nn.functional.normalize(self.weaken(v_IR.mT), dim=-1)


@torch.no_grad()
def collect(model: Decoder, names: Iterable[str], samples: Sequence[Sample]) -> Inputs:
    """What the layers of these names are given when the model reads samples.

    Of many tokens about MAX_INPUTS are kept, taken evenly, and of a large model fewer.
    """
    inputs, names = Inputs(), list(names)
    width = sum(linear_at(model, name).in_features for name in names)
    most = max(LEAST_INPUTS, MAX_BYTES // max(1, width * model.dtype.itemsize))
    stride = math.ceil(sum(len(sample.ids) - 1 for sample in samples) / min(MAX_INPUTS, most))
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    mask_BT = torch.zeros(0)
    last: tuple[str, Tensor | None] = ("", None)

    def look(name: str, x_BTI: Tensor) -> None:
        nonlocal last
        if x_BTI is last[1]:  # as of q, k and v
            inputs.same[name] = last[0]
            return
        last = name, x_BTI
        inputs.held.setdefault(name, []).append(x_BTI[mask_BT][::stride].cpu())

    with watching(model, names, look):
        for start in range(0, len(ordered), ROWS_AT_ONCE):
            batch = pack([[sample] for sample in ordered[start : start + ROWS_AT_ONCE]]).batch
            mask_BT = (batch.segments_BT >= 0).to(model.device)
            model.hidden(batch.ids_BT.to(model.device))
    return inputs


@contextmanager
def watching(
    model: Decoder, names: Iterable[str], look: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Calls look(name, input) whenever one of the layers is called."""

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: look(name, given[0])

    handles = [linear_at(model, name).register_forward_pre_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def spreads(
    model: Decoder, names: Sequence[str], samples: Sequence[Sample], *, floor: float
) -> dict[str, Spread]:
    """The spread of every named layer; layers that share their input share it too."""
    if not samples:
        return {}
    inputs = collect(model, names, samples)
    with own_random_numbers(0):
        found = {name: Spread.of(inputs.of(name), floor) for name in inputs.held}
    return {name: found[inputs.same.get(name, name)] for name in names}


def aim(attached: Attached, known: Mapping[str, Spread], lessons: Inputs, *, seed: int) -> None:
    """Set and freeze A wherever the spread is known. The model's outputs stay as they are.

    lessons: inputs by the lessons' samples. Rows beyond the directions that there are stay random.
    """
    with own_random_numbers(seed):
        for name, layer in attached.layers.items():
            if name not in known:
                continue
            rows_RI = known[name].directions(lessons.of(name), len(layer.lora_a))
            with torch.no_grad():  # as long as the rows of a fresh adapter are on average
                layer.lora_a[: len(rows_RI)] = rows_RI * 3**-0.5
            layer.lora_a.requires_grad_(False)


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Inside, the CPU's random numbers follow the seed; outside they go on as if never used."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
