"""The one training loop: batches -> better weights, for pretraining, SFT and adapters alike.

It knows a model with `hidden` and `head`, a loader of batches, and the hook contract. It knows
nothing of text, tokenizers, files or of why the batches are what they are.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import torch
from torch import Tensor, nn

from nanohydra.core.errors import UserError
from nanohydra.core.log import Tracker
from nanohydra.core.runtime import Runtime
from nanohydra.core.types import Batch
from nanohydra.kernels import linear_cross_entropy
from nanohydra.training.batches import micro_batches
from nanohydra.training.config import TrainConfig
from nanohydra.training.guard import Guard
from nanohydra.training.hooks import Hook, Moment, overriding
from nanohydra.training.metrics import Meter
from nanohydra.training.optimizers import Optimizers
from nanohydra.training.precision import Weights
from nanohydra.training.process import (
    StopRequest,
    freed_memory_kept,
    no_garbage_collection,
    return_free_memory,
    stop_on_signals,
)
from nanohydra.training.schedule import lr_factor
from nanohydra.training.state import pack, random_state, set_random_state, unpack

if TYPE_CHECKING:
    from nanohydra.training.checkpointer import Checkpointer

STEPS_BETWEEN_TRIMS = 50


class Loader(Protocol):
    """An endless source of batches, one per step, that can continue where it was."""

    def __iter__(self) -> Iterator[Batch]:
        """The batches from here on."""

    def state_dict(self) -> Mapping[str, Any]:
        """Where it is: nested dicts and lists of arrays and JSON values."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from there."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended.

    loss: mean over the last logged steps. seconds: of all parts of a resumed run. metrics: the
    last ones of every name, validation included.
    """

    step: int
    num_steps: int
    loss: float
    tokens: int
    seconds: float
    stopped: Literal["finished", "time", "SIGINT", "SIGTERM"]
    metrics: Mapping[str, float]

    @property
    def tokens_per_second(self) -> float:
        """Over the whole run, with validation and saving."""
        return self.tokens / self.seconds if self.seconds else 0.0


def train(
    model: nn.Module,
    loader: Loader,
    config: TrainConfig,
    *,
    runtime: Runtime,
    tracker: Tracker | None = None,
    hooks: Sequence[Hook] = (),
    checkpointer: Checkpointer | None = None,
    resume: bool = False,
    validate: Callable[[], Mapping[str, float]] | None = None,
    sample: Callable[[], None] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> TrainResult:
    """Train the model in place and leave it with float32 weights.

    resume: continue from the checkpointer's newest state, bit for bit as if never interrupted.
    validate, sample: called every config.validate_every / sample_every steps and after the last,
        with the model in evaluation mode and the random state protected.
    on_step: called with the number of steps done and the step's mean loss.

    SIGINT and SIGTERM end the run after the step in progress, saved; see TrainResult.stopped.
    Raises UserError when the loss or gradient breaks down, with nothing broken kept or saved.
    """
    with Weights(model, runtime.dtype) as weights:
        run = _Run(model, weights, loader, config, runtime, hooks, checkpointer)
        run.tracker, run.validate, run.sample, run.on_step = tracker, validate, sample, on_step
        if resume:
            run.load()
        was_training = model.training
        model.train()
        try:
            with stop_on_signals() as stop, no_garbage_collection(), freed_memory_kept():
                return run.to_the_end(stop)
        finally:
            model.train(was_training)


class _Run:
    """The state of one call of `train`."""

    tracker: Tracker | None = None
    validate: Callable[[], Mapping[str, float]] | None = None
    sample: Callable[[], None] | None = None
    on_step: Callable[[int, float], None] | None = None

    def __init__(
        self,
        model: nn.Module,
        weights: Weights,
        loader: Loader,
        config: TrainConfig,
        runtime: Runtime,
        hooks: Sequence[Hook],
        checkpointer: Checkpointer | None,
    ) -> None:
        self.model, self.weights, self.loader, self.config = model, weights, loader, config
        self.device, self.hooks, self.checkpointer = runtime.device, hooks, checkpointer
        self.num_steps = config.num_steps
        self.optimizers = Optimizers(weights, config)
        self.guard = Guard(config)
        self.step, self.tokens = 0, 0
        self.metrics: dict[str, float] = {}
        self.seconds_before = 0.0  # of the runs that this one continues
        self.started = time.monotonic()
        self.masters, self.grads = dict(weights.named_masters()), dict(weights.named_grads())
        self.mixers, self.penalties = overriding(hooks, "mix"), overriding(hooks, "penalty")
        self.train_steps = overriding(hooks, "train_step")
        assert len(self.train_steps) < 2, "two hooks cannot both take the place of the passes"
        self.after_backward = overriding(hooks, "after_backward")
        self.after_step = overriding(hooks, "after_step")
        self.meter = Meter(model, config.row_length, runtime.device)
        self.hidden = cast(Any, model).hidden
        on = runtime.device.startswith("cuda") if config.compile == "auto" else None
        if on or config.compile == "on":
            self.hidden = torch.compile(self.hidden)

    @property
    def seconds(self) -> float:
        """Time used so far, including the runs that this one continues."""
        return self.seconds_before + time.monotonic() - self.started

    @property
    def progress(self) -> float:
        """Share of the run that is done, by steps or by the time budget."""
        by_time = self.seconds / self.config.max_seconds if self.config.max_seconds else 0.0
        return max(self.step / self.num_steps, by_time)

    def moment(self) -> Moment:
        """What hooks are shown."""
        return Moment(model=self.model, masters=self.masters, grads=self.grads, step=self.step)

    def to_the_end(self, stop: StopRequest) -> TrainResult:
        """All steps that are left, or those until a signal or the end of the time budget."""
        self.started = time.monotonic()
        for hook in self.hooks:
            hook.begin_task(self.moment())
        batches = iter(self.loader)
        while self.step < self.num_steps and self.progress < 1.0 and not stop.signal_name:
            batch = next(batches, None)
            if batch is None:
                raise UserError(f"the data ended after step {self.step} of {self.num_steps}")
            self.one_step(batch)
            self.due_work(last=self.step == self.num_steps or self.progress >= 1.0)
        stopped: Any = "finished" if self.step >= self.num_steps else stop.signal_name or "time"
        if stopped in ("finished", "time"):
            for hook in self.hooks:
                hook.end_task(self.moment())
        if self.checkpointer and (stop.signal_name or self.config.checkpoint_every):
            self.save()
        return TrainResult(
            step=self.step,
            num_steps=self.num_steps,
            loss=self.meter.last_loss,
            tokens=self.tokens,
            seconds=self.seconds,
            stopped=stopped,
            metrics=self.metrics,
        )

    def one_step(self, batch: Batch) -> None:
        """Forward, backward, update. Raises UserError before an update that would do damage."""
        for hook in self.mixers:
            batch = hook.mix(batch, self.moment())
        factor = lr_factor(self.config, self.step, self.progress)
        loss = self.backward(batch)
        with torch.no_grad():
            for hook in self.after_backward:
                hook.after_backward(self.moment())
            norm = self.weights.grad_norm()
            loss_nats, grad_norm = torch.stack([loss, norm]).tolist()  # the one wait for the device
            self.guard.check(self.step + 1, loss_nats, grad_norm, self.last_good())
            if self.config.clip_norm and grad_norm > self.config.clip_norm:
                self.weights.scale_grads(self.config.clip_norm / grad_norm)
            self.optimizers.step(factor)
            self.weights.refresh()
        self.step += 1
        num_tokens = int((batch.segments_BT >= 0).sum())
        self.tokens += num_tokens
        self.meter.add(loss_nats, grad_norm, factor * self.config.main_lr, num_tokens)
        for hook in self.after_step:
            hook.after_step(self.moment())
        if self.on_step:
            self.on_step(self.step, loss_nats)

    def backward(self, batch: Batch) -> Tensor:
        """Collect the gradient of the mean loss over all targets of the step; that loss."""
        if self.train_steps:
            total = self.train_steps[0].train_step(batch, self.moment())
            self.weights.collect(first=True)
            return total + self.add_penalties(batch, first=False)
        num_targets = batch.num_targets
        # Not per micro-batch: their shares of the targets differ.
        scale = 1.0 / max(num_targets, 1)
        total = torch.zeros((), device=self.device)
        first = True
        for micro in micro_batches(batch, self.config.micro_rows, self.device):
            x_BTD = self.hidden(
                micro.ids_BT, positions_BT=micro.positions_BT, segments_BT=micro.segments_BT
            )
            model = cast(Any, self.model)
            loss, _ = linear_cross_entropy(
                x_BTD.flatten(0, 1),
                model.head.weight,
                micro.labels_BT.flatten(),
                softcap=model.config.logit_softcap,
            )
            loss = loss * scale
            loss.backward()  # type: ignore[no-untyped-call]
            self.weights.collect(first=first)
            first = False
            total += loss.detach()
        return total + self.add_penalties(batch, first=first)

    def add_penalties(self, batch: Batch, *, first: bool) -> Tensor:
        """Collect the gradients of what hooks add to the loss; the sum of that."""
        total = torch.zeros((), device=self.device)
        for hook in self.penalties:
            penalty = hook.penalty(batch, self.moment())
            if penalty is not None:
                penalty.backward()  # type: ignore[no-untyped-call]
                self.weights.collect(first=first)
                first = False
                total += penalty.detach()
        if first:
            self.weights.collect(first=True)  # nothing to learn from: zero
        return total

    def due_work(self, *, last: bool) -> None:
        """What happens between steps every so often: log, validate, sample, save."""
        config = self.config
        metrics: dict[str, float] = {}
        if self.step % STEPS_BETWEEN_TRIMS == 0:
            return_free_memory()
        if last or self.step % config.log_every == 0:
            metrics |= self.meter.read()
            metrics |= {"tokens": float(self.tokens), "seconds": self.seconds}
        with self.meter.paused():
            if self.validate and due(self.step, config.validate_every, last):
                with self.evaluating():
                    metrics |= self.validate()
            self.metrics |= metrics
            if metrics and self.tracker is not None:
                self.tracker.log(self.step, metrics)
            if self.sample and due(self.step, config.sample_every, last):
                with self.evaluating():
                    self.sample()
            if self.checkpointer and due(self.step, config.checkpoint_every, False):
                self.save()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model in evaluation mode, without gradients; random states as if never called."""
        state = random_state()
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train()
            set_random_state(state)

    def last_good(self) -> str | None:
        """Where the newest saved state lies."""
        latest = self.checkpointer.latest() if self.checkpointer else None
        return str(latest) if latest else None

    def save(self) -> None:
        """Everything that `load` needs to go on bit for bit."""
        assert self.checkpointer is not None
        tensors = {f"weights/{name}": t for name, t in self.masters.items()}
        tensors |= {f"optimizer/{name}": t for name, t in self.optimizers.named_state()}
        meta = {
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "losses": list(self.guard.losses),
            "random": random_state(),
            "loader": self.loader.state_dict(),
            "hooks": [hook.state_dict() for hook in self.hooks],
        }
        packed: dict[str, Any] = {k: pack(v, k, tensors) for k, v in meta.items()}
        self.checkpointer.save(self.step, tensors, packed)

    def load(self) -> None:
        """Continue from the newest saved state."""
        if self.checkpointer is None:
            raise UserError("nothing to resume from: the run saves no states")
        tensors, packed = self.checkpointer.load()
        with torch.no_grad():
            self.weights.load(with_prefix(tensors, "weights/"))
            self.optimizers.load(with_prefix(tensors, "optimizer/"))
        meta = unpack(packed, tensors)
        self.step, self.tokens = meta["step"], meta["tokens"]
        self.seconds_before = meta["seconds"]
        self.guard.losses.extend(meta["losses"])
        self.loader.load_state_dict(meta["loader"])
        if len(meta["hooks"]) != len(self.hooks):
            raise UserError(f"the saved run had {len(meta['hooks'])} hooks, not {len(self.hooks)}")
        for hook, state in zip(self.hooks, meta["hooks"], strict=True):
            hook.load_state_dict(state)
        set_random_state(meta["random"])


def due(step: int, every: int, last: bool) -> bool:
    """Whether something that happens every so many steps (0 = never) happens now."""
    return bool(every) and (last or step % every == 0)


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, by the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
