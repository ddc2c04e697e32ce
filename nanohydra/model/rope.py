"""Tables of rotary positions: cosines and sines by place, plain or scaled for longer texts.

Frequencies and angles are computed in float64, so that far places keep their precision. Rotary
positions are arXiv 2104.09864; what each kind of scaling follows stands at `RopeScaling`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nanohydra.model.config import ModelConfig, RopeScaling

FIRST_LENGTH = 4096  # places of a table at first: 131072 of them would be 100 MB and rarely used


class RopeTables:
    """cos_LJ, sin_LJ, float32 (places, rotated numbers of a head / 2), growing as is needed."""

    def __init__(self, config: ModelConfig, *, local: bool = False) -> None:
        self.max_length = config.max_seq_len
        self.frequencies_J, self.magnitude = frequencies(config, local=local)
        self.fill(min(FIRST_LENGTH, self.max_length))

    @property
    def length(self) -> int:
        """Places that the tables hold now."""
        return len(self.cos_LJ)

    def fill(self, length: int) -> None:
        """Compute the tables for so many places."""
        places = torch.arange(length, device=self.frequencies_J.device).double()
        angles_LJ = torch.outer(places, self.frequencies_J)
        self.cos_LJ = (angles_LJ.cos() * self.magnitude).float()
        self.sin_LJ = (angles_LJ.sin() * self.magnitude).float()

    def cover(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """The tables on a device, with at least so many places."""
        if length > self.length:
            assert length <= self.max_length, "more places than the model has: check before calling"
            self.fill(min(self.max_length, max(length, 2 * self.length)))
        if self.cos_LJ.device != device:
            self.cos_LJ, self.sin_LJ = self.cos_LJ.to(device), self.sin_LJ.to(device)
        return self.cos_LJ, self.sin_LJ


def frequencies(config: ModelConfig, *, local: bool = False) -> tuple[Tensor, float]:
    """Radians per place, float64 (J), and what cosines and sines are multiplied by.

    local: those of sliding layers, which are never scaled where they have a base of their own.
    """
    size = config.num_rotated
    theta = config.rope_local_theta if local else config.rope_theta
    plain_J = theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    if local:
        return plain_J, 1.0
    return scale(plain_J, theta, config.rope_scaling), config.rope_scaling.magnitude


def scale(plain_J: Tensor, theta: float, scaling: RopeScaling) -> Tensor:
    """The frequencies that a kind of scaling makes of the plain ones."""
    if scaling.kind == "linear":
        return plain_J / scaling.factor
    if scaling.kind == "llama3":
        return scale_llama3(plain_J, scaling)
    if scaling.kind == "yarn":
        return scale_yarn(plain_J, theta, scaling)
    if scaling.kind == "longrope":
        divisors = torch.tensor(scaling.short_factor, dtype=torch.float64, device=plain_J.device)
        return plain_J / divisors
    return plain_J


def scale_llama3(plain_J: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1: a blend by how often a frequency turns within the original length."""
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    turns_J = scaling.original_max_seq_len * plain_J / (2 * math.pi)
    kept_J = ((turns_J - low) / (high - low)).clamp(0.0, 1.0)
    return plain_J * (kept_J + (1 - kept_J) / scaling.factor)


def scale_yarn(plain_J: Tensor, theta: float, scaling: RopeScaling) -> Tensor:
    """YaRN: a blend along the index of the frequency, arXiv 2309.00071, section 3.2."""
    size = 2 * len(plain_J)

    def index_of(turns: float) -> float:
        """Where the frequency stands that turns so often within the original length."""
        wavelength = scaling.original_max_seq_len / (turns * 2 * math.pi)
        return size * math.log(wavelength) / (2 * math.log(theta))

    first, last = index_of(scaling.beta_fast), index_of(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    index_J = torch.arange(len(plain_J), dtype=torch.float64, device=plain_J.device)
    divided_J = ((index_J - first) / max(last - first, 0.001)).clamp(0.0, 1.0)
    return plain_J * (1 - divided_J + divided_J / scaling.factor)
