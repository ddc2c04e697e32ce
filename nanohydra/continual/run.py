"""One strategy with one seed through a whole stream: train, evaluate, save, and go on if killed.

What is done is kept after each task, and within a task when a signal asks to stop; resumed, a run
ends with the same bits as one that was never interrupted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nanohydra.checkpoint import load_state, save_state
from nanohydra.continual.evaluation import scores
from nanohydra.continual.results import SeedResult
from nanohydra.continual.strategies import make
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.errors import UserError
from nanohydra.core.log import Tracker
from nanohydra.training import Checkpointer, TrainConfig, TrainResult, train
from nanohydra.training.loop import with_prefix
from nanohydra.training.state import pack, unpack

DONE, LOOP = "done", "loop"  # in the folder of a run's states
STAGE_SEED = 1000  # between the seeds of two runs, so that no two stages see one order of rows
Row = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What a run tells: a tracker for a stage's steps, and each row of R as it is measured."""

    tracker: Callable[[str, int], Tracker | None] = lambda title, steps: None
    on_row: Callable[[Sequence[int], Row, float], None] = lambda tasks, row, seconds: None


class Interrupted(Exception):
    """A signal stopped the run after a step; all is saved to go on."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


def run_strategy(
    name: str, lab: Lab, folder: Path, *, base_row: Row | None = None, watch: Watch | None = None
) -> SeedResult:
    """Learn the stream with one strategy and measure every task after every stage.

    folder: of the states that a resumed run goes on from, removed when all is done; what is in it
        is gone on from. base_row: the base's scores, measured now if not given.
    Raises Interrupted after a signal, and UserError for a state of another run.
    """
    run = _Run(name, lab, folder, watch or Watch())
    run.start(base_row)
    for number in range(run.done, len(run.stages)):
        run.stage(number)
    shutil.rmtree(folder, ignore_errors=True)
    return run.result()


def base_scores(lab: Lab) -> Row:
    """The base's scores on all tasks."""
    lab.load_weights(lab.base)
    return scores(Strategy(lab, None), range(len(lab.stream)))


class _Run:
    """The state of one call of `run_strategy`."""

    def __init__(self, name: str, lab: Lab, folder: Path, watch: Watch) -> None:
        self.name, self.lab, self.folder, self.watch = name, lab, folder, watch
        lab.load_weights(lab.base)
        self.strategy = make(name, lab)
        self.stages = self.strategy.stages()
        self.done = 0
        count = len(lab.stream)
        self.R: list[Row] = [(None,) * count for _ in range(count + 1)]
        self.seconds: list[float | None] = [None] * count
        self.memory: list[int | None] = [None] * count
        self.added: list[int | None] = [None] * count

    @property
    def identity(self) -> dict[str, Any]:
        """What a saved state must agree in."""
        return {
            "strategy": self.name,
            "seed": self.lab.seed,
            "tasks": list(self.lab.stream.names),
            "options": dict(self.lab.config.options.get(self.name, {})),
        }

    def start(self, base_row: Row | None) -> None:
        """At the beginning, or after the last stage that was saved."""
        if (self.folder / DONE).exists():
            self.load()
        else:
            self.R[0] = base_row if base_row is not None else base_scores(self.lab)

    def stage(self, number: int) -> None:
        """Train on a stage's tasks, then measure all."""
        strategy, lab = self.strategy, self.lab
        strategy.tasks = tasks = self.stages[number]
        seed = lab.seed * STAGE_SEED + number
        torch.manual_seed(seed)
        started = time.monotonic()
        strategy.prepare()
        before = time.monotonic() - started
        config = stage_config(strategy.train_config, len(tasks))
        loader = lab.loader(tasks, batches=config.num_steps, seed=seed)
        result = self.train(config, loader, number)
        started = time.monotonic()
        strategy.conclude()
        seconds = before + result.seconds + time.monotonic() - started
        last = tasks[-1]
        self.R[last + 1] = scores(strategy, range(len(lab.stream)))
        self.seconds[last] = seconds
        self.memory[last] = strategy.memory_bytes
        self.added[last] = strategy.added_parameters
        self.done = number + 1
        self.save()
        self.watch.on_row(tasks, self.R[last + 1], seconds)

    def train(self, config: TrainConfig, loader: Any, number: int) -> TrainResult:
        """The loop, from where a signal stopped it. Raises Interrupted."""
        names = " + ".join(self.lab.stream.names[task] for task in self.strategy.tasks)
        title = f"{self.name}, seed {self.lab.seed}: {names}"
        tracker = self.watch.tracker(title, config.num_steps)
        checkpointer = Checkpointer(self.folder / f"{LOOP}-{number}", keep=1)
        try:
            result = train(
                self.lab.model,
                loader,
                config,
                runtime=self.lab.runtime,
                tracker=tracker,
                hooks=[self.strategy],
                checkpointer=checkpointer,
                resume=checkpointer.latest() is not None,
            )
        finally:
            if tracker is not None:
                tracker.close()
        if result.stopped in ("SIGINT", "SIGTERM"):
            raise Interrupted(result.stopped)
        return result

    def save(self) -> None:
        """What the next stage begins with; the loop's own states of this one are over."""
        tensors: dict[str, Tensor] = {
            f"model/{name}": p.detach().cpu() for name, p in self.lab.model.named_parameters()
        }
        meta = {
            "identity": self.identity,
            "done": self.done,
            "R": self.R,
            "seconds": self.seconds,
            "memory": self.memory,
            "added": self.added,
            "strategy": self.strategy.state_dict(),
        }
        packed = {key: pack(value, key, tensors) for key, value in meta.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        save_state(self.folder / DONE, unshared(tensors), packed)
        shutil.rmtree(self.folder / f"{LOOP}-{self.done - 1}", ignore_errors=True)

    def load(self) -> None:
        """Go on from `save`. Raises UserError for the state of another run."""
        tensors, packed = load_state(self.folder / DONE)
        meta = unpack(packed, tensors)
        if meta["identity"] != self.identity:
            raise UserError(
                f"{self.folder} is the state of another run ({meta['identity']}); remove it or "
                "choose another folder with --out"
            )
        self.lab.load_weights(with_prefix(tensors, "model/"))
        self.strategy.load_state_dict(meta["strategy"])
        self.done = meta["done"]
        self.R = [tuple(row) for row in meta["R"]]
        self.seconds, self.memory, self.added = meta["seconds"], meta["memory"], meta["added"]

    def result(self) -> SeedResult:
        """What came of it."""
        return SeedResult(
            seed=self.lab.seed,
            R=tuple(self.R),
            seconds=tuple(self.seconds),
            memory_bytes=tuple(self.memory),
            added_parameters=tuple(self.added),
            notes={"options": dict(self.lab.config.options.get(self.name, {}))},
        )


def stage_config(config: TrainConfig, num_tasks: int) -> TrainConfig:
    """A stage on several tasks has as many steps as these have one by one."""
    return replace(config, steps=config.num_steps * num_tasks)


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of views and of tensors that share memory, which a file cannot hold twice."""
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
