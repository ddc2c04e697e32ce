"""What a pass over a model keeps for its backward pass, counted and not guessed.

Decides whether layers are computed again instead (gradient checkpointing, arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nanohydra.core.runtime import available_memory
from nanohydra.learn.directions import own_random_numbers

if TYPE_CHECKING:
    from nanohydra.learn.config import AdapterTrainConfig
    from nanohydra.model import Decoder


class Kept:
    """Storages that autograd keeps, without those of the parameters. Each counts once."""

    def __init__(self, model: nn.Module) -> None:
        self.own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.sizes: dict[int, int] = {}

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is saved; it is kept, so no other takes its address."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.own:
            self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def num_bytes(self) -> int:
        """All of them."""
        return sum(self.sizes.values())


@contextmanager
def counting(model: nn.Module) -> Iterator[Kept]:
    """Inside, what autograd keeps is counted; the graph has to live as long."""
    kept = Kept(model)
    with torch.autograd.graph.saved_tensors_hooks(kept.add, lambda tensor: tensor):
        yield kept


def activation_bytes(model: Decoder, rows: int, row_length: int) -> int:
    """Bytes that a pass over packed rows keeps, from one such row; an adapter has to be on."""
    zeros_BT = torch.zeros(1, row_length, dtype=torch.int64, device=model.device)
    places_BT = torch.arange(row_length, device=model.device)[None]
    with torch.enable_grad(), own_random_numbers(0), counting(model) as kept:
        x_BTD = model.hidden(zeros_BT, positions_BT=places_BT, segments_BT=zeros_BT)
    count = kept.num_bytes * rows
    del x_BTD  # only now: its graph is what was counted
    return count


def recomputes(model: Decoder, config: AdapterTrainConfig, row_length: int) -> bool:
    """Whether the layers of a training should be computed again in its backward passes."""
    if config.checkpointing != "auto":
        return config.checkpointing == "on"
    needed = activation_bytes(model, config.rows_per_step, row_length)
    return needed > config.checkpointing_share * free_memory(model.device)


def free_memory(device: torch.device) -> int:
    """Bytes that may still be taken where a model lies."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory()
