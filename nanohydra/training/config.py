"""What a training run is told, as one frozen dataclass. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of the loop; a rate or factor of 0 switches the thing off.

    steps, tokens: how long to train; tokens (all places of the rows) is used if steps is 0.
    rows_per_step, row_length: shape of the batch of one step. micro_rows: rows that pass
        through the model at a time (0 = all), which changes memory, not the gradient.
    optimizer: "muon" uses Muon for the matrices of the blocks and AdamW for the rest.
    lr: AdamW's rate; muon_lr: Muon's; embed_lr_factor: multiplies lr for embeddings and head.
    weight_decay: decoupled, on block matrices only, times the rate.
    warmup_steps, decay, decay_fraction, lr_floor: the rate rises linearly, stays, and over the
        last decay_fraction of the run falls to lr_floor of its peak.
    clip_norm: largest global gradient norm.
    divergence_factor: stop if the loss exceeds this many running medians (and 1 nat that often).
    checkpoint_every, validate_every, sample_every, log_every: steps between.
    compile: torch.compile of the model; "auto" is on for CUDA only.
    max_seconds: time budget. The rate schedule then follows the time used where that is further
        along than the steps, so that the decay is complete at the end; such a run cannot be
        reproduced exactly.
    """

    steps: int = 0
    tokens: int = 0
    rows_per_step: int = 16
    row_length: int = 256
    micro_rows: int = 0
    optimizer: Literal["muon", "adamw"] = "muon"
    lr: float = 3e-3
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    embed_lr_factor: float = 1.0
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-10
    weight_decay: float = 0.1
    warmup_steps: int = 20
    decay: Literal["linear", "cosine"] = "linear"
    decay_fraction: float = 0.5
    lr_floor: float = 0.0
    clip_norm: float = 1.0
    divergence_factor: float = 4.0
    checkpoint_every: int = 0
    validate_every: int = 0
    sample_every: int = 0
    log_every: int = 10
    compile: Literal["auto", "on", "off"] = "auto"
    max_seconds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        for name in ("rows_per_step", "row_length", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} must be at least 1, not {getattr(self, name)}")
        names = ("steps", "tokens", "micro_rows", "warmup_steps", "lr", "muon_lr", "clip_norm")
        for name in (*names, "weight_decay", "max_seconds", "eps"):
            if not getattr(self, name) >= 0:
                raise UserError(f"train.{name} must not be negative, but is {getattr(self, name)}")
        for name in ("decay_fraction", "lr_floor", "muon_momentum"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"train.{name} must be in [0, 1], not {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"train.betas must be in [0, 1), not {self.betas}")

    @property
    def tokens_per_step(self) -> int:
        """Places in the rows of one step."""
        return self.rows_per_step * self.row_length

    @property
    def num_steps(self) -> int:
        """How many steps the run has. Raises UserError if neither steps nor tokens is set."""
        if self.steps:
            return self.steps
        if not self.tokens:
            raise UserError("set train.steps or train.tokens: how long to train")
        return -(-self.tokens // self.tokens_per_step)

    @property
    def main_lr(self) -> float:
        """The peak rate of the matrices."""
        return self.muon_lr if self.optimizer == "muon" else self.lr
