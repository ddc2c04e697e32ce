"""One trial of learning new text: a low-rank adapter or all weights, measured alike.

What is measured: the loss on new text that was held out, the loss on what the model knew before
(their difference from the start is the forgetting), speed, memory and size on disk.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.core.runtime import RuntimeConfig
from nanohydra.data.config import LoaderConfig, Packing, SourceConfig
from nanohydra.training.config import TrainConfig

if TYPE_CHECKING:
    from nanohydra.adapters import AdapterWeights, LoraConfig
    from nanohydra.core.types import Batch
    from nanohydra.data import Shards
    from nanohydra.tokenizer import Tokenizer

VALIDATION_BATCHES = 8
BUILT_IN = ("primer", "pycode", "pydocs")
KNOWN_PER_DOMAIN = 30


@dataclass(frozen=True, kw_only=True)
class Texts:
    """New text to learn, and held-out rows of it and of what the model knew before."""

    new: Mapping[str, Shards]
    packing: Packing
    new_heldout: Sequence[Batch]
    known: Sequence[Batch]


@dataclass(frozen=True, kw_only=True)
class Point:
    """Losses in nats per token after a number of steps."""

    step: int
    new_loss: float
    known_loss: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial; the first point is the base before any step.

    forgetting: by how many nats per token the loss on known text rose; 0.0488 is 5% of
    perplexity. tokens_per_second: in the fastest of the stretches between two measurements, which
    others on the machine disturbed least. peak_memory_bytes: above what the process held before
    the model was loaded; None where the system does not say. disk_bytes: of what was learned.
    new_targets, known_targets: how many tokens the losses are means over.
    """

    name: str
    rank: int | None
    lr: float
    trained_parameters: int
    points: tuple[Point, ...]
    tokens_per_second: float
    train_loss: float
    peak_memory_bytes: int | None
    disk_bytes: int
    new_targets: int
    known_targets: int
    weights: AdapterWeights | None = None

    @property
    def forgetting(self) -> float:
        """Rise of the loss on known text, nats per token."""
        return self.points[-1].known_loss - self.points[0].known_loss

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the tensors."""
        values = {k: v for k, v in vars(self).items() if k not in ("weights", "points")}
        last = self.points[-1]
        return {
            **values,
            "new_loss": last.new_loss,
            "known_loss": last.known_loss,
            "forgetting": self.forgetting,
            "perplexity_change": math.expm1(self.forgetting),
            "points": [asdict(point) for point in self.points],
        }


def source(name: str, *, split: str, limit: int) -> SourceConfig:
    """A file, folder or glob, or a source that is built in; of the primer all domains."""
    if name == "primer":
        from nanohydra.data.primer import DOMAINS

        return SourceConfig(
            kind="primer", split=split, counts=dict.fromkeys(DOMAINS, KNOWN_PER_DOMAIN)
        )
    kind = name if name in BUILT_IN else "auto"
    return SourceConfig(kind=kind, path="" if kind == name else name, limit=limit)


def prepare_texts(folder: Path, tokenizer: Tokenizer, *, new: str, known: str, limit: int) -> None:
    """Encode both texts into `folder`. A tenth of the new one is held out.

    Raises UserError for what cannot be read and for too little of it.
    """
    from nanohydra.data import CleanConfig, prepare

    sources = {"new": source(new, split="train", limit=limit)}
    prepare(sources, CleanConfig(), tokenizer, folder / "new", valid_fraction=0.1)
    sources = {"known": source(known, split="test", limit=limit)}
    prepare(sources, CleanConfig(), tokenizer, folder / "known")


def open_texts(folder: Path, fingerprint: str, config: TrainConfig) -> Texts:
    """What `prepare_texts` wrote. Raises UserError if there is too little to measure."""
    from nanohydra.data import Loader, open_split

    shards = {
        "train": open_split(folder / "new", "train", fingerprint=fingerprint),
        "valid": open_split(folder / "new", "valid", fingerprint=fingerprint),
        "known": open_split(folder / "known", "train", fingerprint=fingerprint),
    }
    # A record with places that carry no loss is a conversation, which must stay whole.
    packing: dict[str, Packing] = {
        split: "pad"
        if any(held.num_targets < held.num_tokens - len(held) for held in of.values())
        else "crop"
        for split, of in shards.items()
    }

    def rows(split: str) -> list[Batch]:
        one_pass = LoaderConfig(
            rows_per_batch=config.rows_per_step,
            row_length=config.row_length,
            packing=packing[split],
        )
        return list(islice(Loader(shards[split], one_pass), VALIDATION_BATCHES))

    texts = Texts(
        new=shards["train"],
        packing=packing["train"],
        new_heldout=rows("valid"),
        known=rows("known"),
    )
    for name, batches in (("new", texts.new_heldout), ("known", texts.known)):
        if not batches:
            raise UserError(f"there is too little {name} text to measure a loss on")
    return texts


class Curve:
    """A tracker that keeps what the report draws."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.speeds: list[float] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep the losses and the speed."""
        if "tokens_per_second" in metrics:
            self.speeds.append(metrics["tokens_per_second"])
        if "new_loss" in metrics:
            self.points.append(
                Point(step=step, new_loss=metrics["new_loss"], known_loss=metrics["known_loss"])
            )

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to train, and on what: an adapter, or all weights if lora is None.

    model: its folder. texts: the folder that `prepare_texts` wrote.
    """

    name: str
    model: Path
    texts: Path
    config: TrainConfig
    lora: LoraConfig | None
    runtime: RuntimeConfig


def run_apart(trial: Trial) -> Outcome:
    """Run a trial in a process of its own, so that none pays for another's memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_without_weights, trial).result()


def _without_weights(trial: Trial) -> Outcome:
    return replace(run_trial(trial), weights=None)


def run_trial(trial: Trial) -> Outcome:
    """Load the model anew, train and measure."""
    import torch

    from nanohydra.adapters import attach, base_hash
    from nanohydra.checkpoint import load
    from nanohydra.core.runtime import setup
    from nanohydra.data import Loader
    from nanohydra.training import train, validation_loss

    runtime, config, seed = setup(trial.runtime), trial.config, trial.runtime.seed
    with PeakMemory(runtime.device) as memory:
        loaded = load(trial.model, device=runtime.device, dtype=torch.float32)
        model = loaded.model
        texts = open_texts(trial.texts, loaded.tokenizer.fingerprint, config)
        base = base_hash(model)
        attached = attach(model, trial.lora, seed=seed) if trial.lora else None

        def losses() -> dict[str, float]:
            return {
                f"{which}_loss": validation_loss(model, batches, device=runtime.device)["val_loss"]
                for which, batches in (("new", texts.new_heldout), ("known", texts.known))
            }

        curve = Curve()
        loader_config = LoaderConfig(
            rows_per_batch=config.rows_per_step,
            row_length=config.row_length,
            packing=texts.packing,
            total_batches=config.num_steps,
            seed=seed,
        )
        curve.log(0, losses())
        result = train(
            model,
            Loader(texts.new, loader_config),
            config,
            runtime=runtime,
            tracker=curve,
            validate=losses,
        )
    if result.stopped in ("SIGINT", "SIGTERM"):
        raise KeyboardInterrupt
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Outcome(
        name=trial.name,
        rank=trial.lora.rank if trial.lora else None,
        lr=config.lr,
        trained_parameters=trained,
        points=tuple(curve.points),
        tokens_per_second=max(curve.speeds),
        train_loss=result.loss,
        peak_memory_bytes=memory.peak,
        disk_bytes=4 * trained,  # float32, as trained
        new_targets=sum(batch.num_targets for batch in texts.new_heldout),
        known_targets=sum(batch.num_targets for batch in texts.known),
        weights=attached.weights(base) if attached else None,
    )


class PeakMemory:
    """The most memory used inside, above what was held at the beginning."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.peak: int | None = None

    def __enter__(self) -> PeakMemory:
        """Begin to count from what is held now, if the system can."""
        from nanohydra.training.process import return_free_memory

        self.before: int | None = None
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return self
        return_free_memory()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets the peak, VmHWM
            self.before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        """Read the peak."""
        if self.before is None:
            return
        if self.device.startswith("cuda"):
            import torch

            self.peak = torch.cuda.max_memory_allocated(self.device) - self.before
            return
        high = _status("VmHWM")
        self.peak = None if high is None else high - self.before


def _status(field: str) -> int | None:
    """A size in /proc/self/status in bytes."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None
