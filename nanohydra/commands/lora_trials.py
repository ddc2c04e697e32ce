"""One trial of learning new text: a low-rank adapter or all weights, measured alike.

What is measured: the loss on new text that was held out, the loss on what the model knew before
(their difference from the start is the forgetting), speed, memory and size on disk.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.data.config import LoaderConfig, SourceConfig
from nanohydra.training.config import TrainConfig

if TYPE_CHECKING:
    from nanohydra.adapters import AdapterWeights, LoraConfig
    from nanohydra.core.runtime import Runtime
    from nanohydra.core.types import Batch
    from nanohydra.data import Shards
    from nanohydra.tokenizer import Tokenizer

VALIDATION_BATCHES = 24
BUILT_IN = ("primer", "pycode", "pydocs")
KNOWN_PER_DOMAIN = 30


@dataclass(frozen=True, kw_only=True)
class Texts:
    """New text to learn, and held-out rows of it and of what the model knew before."""

    new: Mapping[str, Shards]
    packing: str
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
    perplexity. peak_memory_bytes: above what the process held before the model was loaded; None
    where the system does not say. disk_bytes: what has to be stored of what was learned.
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


def read_texts(
    folder: Path,
    tokenizer: Tokenizer,
    *,
    new: str,
    known: str,
    limit: int,
    config: TrainConfig,
) -> Texts:
    """Encode both texts into `folder`. A tenth of the new one is held out.

    Raises UserError for what cannot be read and for too little of it.
    """
    from nanohydra.data import CleanConfig, Loader, open_split, prepare

    sources = {"new": source(new, split="train", limit=limit)}
    prepare(sources, CleanConfig(), tokenizer, folder / "new", valid_fraction=0.1)
    sources = {"known": source(known, split="test", limit=limit)}
    prepare(sources, CleanConfig(), tokenizer, folder / "known")
    made_with = tokenizer.fingerprint
    shards = {
        "train": open_split(folder / "new", "train", fingerprint=made_with),
        "valid": open_split(folder / "new", "valid", fingerprint=made_with),
        "known": open_split(folder / "known", "train", fingerprint=made_with),
    }
    # A record with places that carry no loss is a conversation, which must stay whole.
    whole = {
        split: any(held.num_targets < held.num_tokens - len(held) for held in of.values())
        for split, of in shards.items()
    }

    def rows(split: str) -> list[Batch]:
        one_pass = LoaderConfig(
            rows_per_batch=config.rows_per_step,
            row_length=config.row_length,
            packing="pad" if whole[split] else "crop",
        )
        return list(islice(Loader(shards[split], one_pass), VALIDATION_BATCHES))

    texts = Texts(
        new=shards["train"],
        packing="pad" if whole["train"] else "crop",
        new_heldout=rows("valid"),
        known=rows("known"),
    )
    if not texts.new_heldout or not texts.known:
        raise UserError(f"there is too little text in {new if texts.known else known} to measure")
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


def run_trial(
    name: str,
    folder: Path,
    texts: Texts,
    config: TrainConfig,
    runtime: Runtime,
    *,
    lora: LoraConfig | None,
    seed: int = 0,
) -> Outcome:
    """Load the model anew, train an adapter (or all weights, lora=None) and measure."""
    import torch

    from nanohydra.adapters import attach, base_hash
    from nanohydra.checkpoint import load
    from nanohydra.core.runtime import RuntimeConfig, setup
    from nanohydra.data import Loader
    from nanohydra.training import train, validation_loss

    setup(RuntimeConfig(device=runtime.device, threads=runtime.threads, seed=seed))
    with PeakMemory(runtime.device) as memory:
        model = load(folder, device=runtime.device, dtype=torch.float32).model
        base = base_hash(model)
        attached = attach(model, lora, seed=seed) if lora else None

        def losses() -> dict[str, float]:
            return {
                f"{which}_loss": validation_loss(model, batches, device=runtime.device)["val_loss"]
                for which, batches in (("new", texts.new_heldout), ("known", texts.known))
            }

        curve = Curve()
        loader_config = LoaderConfig(
            rows_per_batch=config.rows_per_step,
            row_length=config.row_length,
            packing="pad" if texts.packing == "pad" else "crop",
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
    speeds = sorted(curve.speeds)
    return Outcome(
        name=name,
        rank=lora.rank if lora else None,
        lr=config.lr,
        trained_parameters=trained,
        points=tuple(curve.points),
        tokens_per_second=speeds[len(speeds) // 2],
        train_loss=result.loss,
        peak_memory_bytes=memory.peak,
        disk_bytes=4 * trained,  # float32, as trained
        weights=attached.weights(base) if attached else None,
    )


def with_rate(config: TrainConfig, lr: float) -> TrainConfig:
    """The same training at another rate."""
    return replace(config, lr=lr)


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
