"""LoKr: the update is the Kronecker product of a small matrix and a low-rank one.

LyCORIS, arXiv 2309.14859. Both sides of the weight are split into two factors as near each other
as they can be (1024 = 32 * 32), which makes it the smallest of the kinds; a size that is prime
cannot be split, and the first matrix is then a single number or row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.layer import AdapterLinear, Parts, uniform

NAMES = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")


class LokrLinear(AdapterLinear):
    """lokr_w1 (out1, in1) and lokr_w2 (out2, in2), out = out1 * out2, in = in1 * in2.

    Either may be a product instead, for example lokr_w2_a (out2, rank) lokr_w2_b (rank, in2).
    """

    peft_names: ClassVar[Mapping[str, str]] = {name: name for name in NAMES}

    @staticmethod
    def fresh(
        linear: nn.Linear, config: LoraConfig, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The first matrix is zero, the second uniform, and a product where that is smaller."""
        out1, out2 = split(linear.out_features)
        in1, in2 = split(linear.in_features)
        parts = {"lokr_w1": torch.zeros(out1, in1)}
        if config.rank < max(out2, in2) / 2:
            parts["lokr_w2_a"] = uniform((out2, config.rank), config.rank, generator)
            parts["lokr_w2_b"] = uniform((config.rank, in2), in2, generator)
        else:
            parts["lokr_w2"] = uniform((out2, in2), in2, generator)
        return parts

    @classmethod
    def shapes(cls, parts: Parts, out: int, wide: int) -> Mapping[str, tuple[int, ...]]:
        """As the class says; out1 and in1 are read from the first matrix."""
        expected: dict[str, tuple[int, ...]] = {}
        out1, in1 = _size(parts, "lokr_w1")
        for name, rows, columns in (("lokr_w1", out1, in1), ("lokr_w2", out // out1, wide // in1)):
            if name in parts:
                expected[name] = (rows, columns)
            else:
                rank = parts[f"{name}_a"].shape[1]
                expected |= {f"{name}_a": (rows, rank), f"{name}_b": (rank, columns)}
        if out % out1 or wide % in1:
            raise KeyError("lokr_w1")
        return expected

    def delta(self) -> Tensor:
        """s * kron(w1, w2)."""
        return torch.kron(self._matrix("lokr_w1"), self._matrix("lokr_w2")) * self.scale

    def _matrix(self, name: str) -> Tensor:
        whole = self._parameters.get(name)
        if whole is not None:
            return whole.float()
        a, b = self.get_parameter(f"{name}_a"), self.get_parameter(f"{name}_b")
        return a.float() @ b.float()


def _size(parts: Parts, name: str) -> tuple[int, int]:
    if name in parts:
        rows, columns = parts[name].shape
        return max(rows, 1), max(columns, 1)
    return max(parts[f"{name}_a"].shape[0], 1), max(parts[f"{name}_b"].shape[1], 1)


def split(size: int, factor: int = -1) -> tuple[int, int]:
    """Two factors of a size, the smaller first: near its root, or the first at most `factor`.

    As LyCORIS and PEFT choose them: with a factor that divides the size, exactly that one first.
    """
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    low = 1
    for divisor in range(1, (size if factor < 0 else min(size, factor)) + 1):
        if size % divisor == 0:
            low = divisor
            if divisor * divisor >= size:
                break
    return min(low, size // low), max(low, size // low)
