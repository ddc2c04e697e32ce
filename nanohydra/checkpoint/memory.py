"""What a model folder takes in memory, known before anything of it is loaded.

From config.json and the headers of the weight files alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from nanohydra.checkpoint.families.choice import read_config_file
from nanohydra.checkpoint.weights import ModelTensors
from nanohydra.core.errors import UserError
from nanohydra.core.runtime import available_memory
from nanohydra.model.config import ModelConfig
from nanohydra.model.plan import count

USUAL_LENGTH = 4096  # tokens of one conversation that a loaded model should have room for
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes that a model takes.

    weights: of all tensors in the dtype that they are loaded in. state: what decoding keeps for
    one sequence of `length` tokens.
    """

    weights: int
    state: int
    length: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.state


def estimate_memory(
    folder: str | Path, *, dtype: torch.dtype | None = None, length: int | None = None
) -> Footprint:
    """What a folder's model takes. dtype: None keeps that of the file.

    length: tokens of a sequence to decode, None for the model's own limit, at most USUAL_LENGTH.
    Raises UserError as `checkpoint.load` does for a folder that cannot be read.
    """
    folder = Path(folder)
    _, config = read_config_file(folder / "config.json")
    return footprint(config, ModelTensors(folder, dtype=dtype), length)


def footprint(config: ModelConfig, tensors: ModelTensors, length: int | None = None) -> Footprint:
    """The same of a shape and tensors that are not read yet."""
    weights = sum(map(tensors.num_bytes, tensors))
    length = min(config.max_seq_len, USUAL_LENGTH) if length is None else length
    counts = count(config, length)  # the state of 2-byte numbers
    state = counts.state_bytes_per_token * length + counts.state_bytes_fixed
    return Footprint(weights=weights, state=state * tensors.main_dtype.itemsize // 2, length=length)


def check_memory(folder: Path, need: Footprint, dtype: torch.dtype | None) -> None:
    """Raise UserError, with the ways out, if a model cannot fit into the memory that is free."""
    free = available_memory()
    if need.total <= free:
        return
    smaller = "" if dtype == torch.bfloat16 else "load it in bfloat16, "
    raise UserError(
        f"{folder} does not fit into memory: its weights take {need.weights / GIB:.2f} GiB and one "
        f"conversation of {need.length} tokens {need.state / GIB:.2f} GiB, but only "
        f"{free / GIB:.2f} GiB are free; {smaller}take a smaller model, or end other programs"
    )
