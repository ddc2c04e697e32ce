"""What is kept of one sequence between its tokens: its random numbers, counts, grammar."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from torch import Tensor

from nanohydra.engine.request import SamplingParams
from nanohydra.engine.sampling.constraint import Constraint
from nanohydra.engine.sampling.penalties import SeenTokens

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """A 64-bit number that depends on every bit of another: the finalizer of SplitMix64."""
    value &= _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def key_of(seed: int | None, index: int) -> int:
    """What a sample's random numbers begin from; sample i has those of the seed plus i."""
    return mix(secrets.randbits(64) if seed is None else seed + index + _GOLDEN)


@dataclass(eq=False, slots=True)
class SampleState:
    """One sequence's. Only `Sampler.accept` changes it.

    num_new: tokens that were generated. seen: for penalties. forbidden: ids that may never be
    chosen, (V,). constraint: where in its grammar the text is. ended: the text may not go on,
    even if no stop token says so.
    """

    params: SamplingParams
    key: int
    num_new: int = 0
    seen: SeenTokens | None = None
    forbidden: Tensor | None = None
    constraint: Constraint | None = None

    @property
    def uniform(self) -> float:
        """The next token's random number from [0, 1), a function of the key and the place."""
        return (mix(self.key + self.num_new * _GOLDEN) >> 11) * 2.0**-53

    @property
    def ended(self) -> bool:
        """Whether the grammar lets nothing follow, though no stop token was chosen."""
        return self.constraint is not None and self.constraint.ended

    @property
    def problem(self) -> str | None:
        """Why nothing can be chosen any more; None if something can."""
        return None if self.constraint is None else self.constraint.problem

    def fork(self) -> SampleState:
        """A copy that goes its own way."""
        return SampleState(
            params=self.params,
            key=self.key,
            num_new=self.num_new,
            seen=None if self.seen is None else self.seen.fork(),
            forbidden=self.forbidden,
            constraint=None if self.constraint is None else self.constraint.fork(),
        )
