"""The contract of a strategy: a hook of the training loop that knows which task comes when.

Any of the six moments of nanohydra.training.Hook, `train_step` for what they do not allow, and
around a stage of training `prepare` and `conclude`, where the model's own weights may be replaced
or adapters put on it. What must outlive a stage is in `state_dict`; its tensors are the memory
that is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from nanohydra.continual.config import ContinualConfig
from nanohydra.continual.stream import Stream
from nanohydra.core.runtime import Runtime
from nanohydra.core.types import Batch
from nanohydra.data import Loader, LoaderConfig
from nanohydra.model import Decoder
from nanohydra.training.config import TrainConfig
from nanohydra.training.hooks import Hook

RANDOM = "random"  # the key of a state that is a generator's, and no memory


@dataclass(frozen=True, kw_only=True)
class NoOptions:
    """The options of a strategy that has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lab:
    """What every strategy works with.

    model: the one that is trained, on the runtime's device; its weights are the base's when a
    run begins. base: copies of them. seed: of the order of data, of fresh adapters and of what
    a strategy draws. prefix: ids that every document begins with.
    """

    model: Decoder
    base: Mapping[str, Tensor]
    stream: Stream
    config: ContinualConfig
    runtime: Runtime
    seed: int = 0
    prefix: tuple[int, ...] = ()

    def loader(self, tasks: tuple[int, ...], *, batches: int, seed: int) -> Loader:
        """Rows of some tasks, an equal share of each; of a task's sources as they are large."""
        shards, weights = {}, {}
        for number in tasks:
            task = self.stream.tasks[number]
            total = sum(found.num_tokens for found in task.train.values())
            for name, found in task.train.items():
                key = f"{number}.{name}"
                shards[key], weights[key] = found, found.num_tokens / total
        config = LoaderConfig(
            rows_per_batch=self.config.train.rows_per_step,
            row_length=self.config.train.row_length,
            packing=self.stream.packing,
            weights=weights,
            seed=seed,
            total_batches=batches,
        )
        return Loader(shards, config)

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into the model by their names."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(weights[name])


class Strategy(Hook):
    """Override what the strategy is about; without changes it is naive training.

    Config: what the strategy can be told, a frozen dataclass beside its class.
    tasks: those of the stage that is being trained, in the stream's numbers from 0.
    """

    Config: ClassVar[type[Any]] = NoOptions

    def __init__(self, lab: Lab, config: Any) -> None:
        self.lab, self.config = lab, config
        self.tasks: tuple[int, ...] = ()
        self.random = torch.Generator().manual_seed(lab.seed)

    @property
    def train_config(self) -> TrainConfig:
        """How one task is trained."""
        return self.lab.config.train

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """The tasks that are trained on together, stage after stage."""
        return tuple((number,) for number in range(len(self.lab.stream)))

    def prepare(self) -> None:
        """Before the loop takes the model's weights. Called again if the stage is resumed."""

    def conclude(self) -> None:
        """After a stage that ended: the model holds float32 weights again."""

    def answered(self, batch: Batch, task: int) -> Iterator[Batch]:
        """The batch in parts, each out while the model is as it would answer that part.

        task: where the batch is from, which only a strategy with an oracle may look at.
        """
        yield batch

    @property
    def memory_bytes(self) -> int:
        """What is kept beside the model so that learning can go on: the tensors of the state."""
        state = {key: value for key, value in self.state_dict().items() if key != RANDOM}
        return tensor_bytes(state)

    @property
    def added_parameters(self) -> int:
        """How many parameters answers need beside the base's own."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """The state of the generator; overriding methods add to it."""
        return {RANDOM: self.random.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved state."""
        self.random.set_state(state[RANDOM])


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(tensor_bytes, value.values()))
    return sum(map(tensor_bytes, value)) if isinstance(value, (list, tuple)) else 0
