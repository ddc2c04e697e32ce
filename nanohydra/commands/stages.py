"""What `pretrain` and `sft` have in common: a run's folder, its data, one call of the loop.

A run's folder holds tokenizer/, data/STAGE/, states/STAGE/ (to resume), metrics.jsonl, the model
after pretraining in pretrained/ if fine-tuning follows, and the finished one in model/.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nanohydra.commands.data import FOLDER as DATA
from nanohydra.commands.data import prepare_corpus, source_name
from nanohydra.commands.tokenizer import FOLDER as TOKENIZER
from nanohydra.core.errors import UserError
from nanohydra.core.log import TerminalTracker, Trackers, console, summary_table
from nanohydra.recipe import CorpusConfig, Recipe

if TYPE_CHECKING:
    from nanohydra.core.runtime import Runtime
    from nanohydra.core.types import Batch
    from nanohydra.data import LoaderConfig, Shards
    from nanohydra.model import Decoder
    from nanohydra.tokenizer import Tokenizer
    from nanohydra.training import TrainConfig, TrainResult

StageName = Literal["pretrain", "sft"]
STATES, PRETRAINED, MODEL, METRICS = "states", "pretrained", "model", "metrics.jsonl"
VALIDATION_BATCHES = 16  # of each source
NUM_SAMPLES, SAMPLE_TOKENS, PROMPT_TOKENS = 3, 64, 12


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run: its settings and where its things lie."""

    name: StageName
    recipe: Recipe
    folder: Path
    command: str

    @property
    def config(self) -> TrainConfig:
        """How the stage trains. Raises UserError if the recipe has no such stage."""
        config = getattr(self.recipe, self.name)
        if config is None:
            raise UserError(f"the recipe {self.recipe.name!r} has no [{self.name}]")
        result: TrainConfig = config
        return result

    @property
    def corpus(self) -> CorpusConfig:
        """What the stage reads."""
        corpus: CorpusConfig = getattr(self.recipe.data, self.name)
        return corpus

    @property
    def output(self) -> Path:
        """Where the trained model goes."""
        last = self.name == "sft" or self.recipe.sft is None
        return self.folder / (MODEL if last else PRETRAINED)

    def loader_config(self, *, endless: bool) -> LoaderConfig:
        """Rows for training, or one pass for validation."""
        from nanohydra.data import LoaderConfig

        corpus, config = self.corpus, self.config
        return LoaderConfig(
            rows_per_batch=config.rows_per_step,
            row_length=config.row_length,
            packing=corpus.packing,
            weights=corpus.weights if endless else {},
            phases=corpus.phases if endless else (),
            seed=self.recipe.runtime.seed,
            total_batches=config.num_steps if endless else 0,
            buffer_size=corpus.buffer_size,
        )


def with_data(recipe: Recipe, name: StageName, path: Path | None) -> Recipe:
    """The recipe, reading one file or folder in a stage instead of its own sources."""
    if path is None:
        return recipe
    from nanohydra.data import SourceConfig

    corpus: CorpusConfig = getattr(recipe.data, name)
    source = {source_name(str(path)): SourceConfig(path=str(path))}
    fraction = corpus.valid_fraction or CorpusConfig().valid_fraction
    changed = replace(
        corpus, sources=source, heldout={}, weights={}, phases=(), valid_fraction=fraction
    )
    return replace(recipe, data=replace(recipe.data, **{name: changed}))


def run_tokenizer(recipe: Recipe, folder: Path) -> Tokenizer:
    """The run's tokenizer, trained now if it has none."""
    from nanohydra.commands.tokenizer import train
    from nanohydra.tokenizer import Tokenizer

    if (folder / TOKENIZER).is_dir():
        return Tokenizer.load(folder / TOKENIZER)
    return train(recipe, out=folder)


def stage_shards(stage: Stage, tokenizer: Tokenizer) -> dict[str, dict[str, Shards]]:
    """The stage's shards by split and name, prepared now if the run has none.

    Raises UserError if the run's folder holds shards of other sources.
    """
    from nanohydra.core.config import to_dict
    from nanohydra.core.files import read_json
    from nanohydra.data import open_split

    folder, corpus = stage.folder / DATA / stage.name, stage.corpus
    if not corpus.sources:
        raise UserError(f"the recipe has no sources in data.{stage.name}; give --data")
    if not folder.exists():
        prepare_corpus(corpus, tokenizer, folder)
    report = read_json(folder / "report.json")
    there = {s["name"]: s["config"] for s in report["sources"] if not s["heldout"]}
    if there != {name: to_dict(source) for name, source in corpus.sources.items()}:
        raise UserError(
            f"{folder} holds data of other sources than the recipe names; "
            "remove it or choose another folder with --out"
        )
    fingerprint = tokenizer.fingerprint
    return {
        "train": open_split(folder, "train", fingerprint=fingerprint),
        "valid": open_split(folder, "valid", fingerprint=fingerprint),
    }


def train_stage(
    stage: Stage, model: Decoder, tokenizer: Tokenizer, runtime: Runtime, *, resume: bool
) -> TrainResult:
    """Train, save the model unless a signal stopped the run, and say what came of it."""
    from nanohydra.core.runtime import peak_memory_bytes
    from nanohydra.data import Loader
    from nanohydra.training import Checkpointer, train

    shards = stage_shards(stage, tokenizer)
    loader = Loader(shards["train"], stage.loader_config(endless=True))
    checkpointer = Checkpointer(stage.folder / STATES / stage.name)
    if not resume:
        checkpointer.clear()
    tracker = Trackers(
        [
            StageMetrics(stage.folder / METRICS, stage.name, checkpointer.latest_step()),
            TerminalTracker(stage.name, total_steps=stage.config.num_steps),
        ]
    )
    batches = validation_batches(stage, shards["valid"])
    sampler = Sampler(model, tokenizer, shards["valid"] or shards["train"])
    try:
        result = train(
            model.to(runtime.device),
            loader,
            stage.config,
            runtime=runtime,
            tracker=tracker,
            checkpointer=checkpointer,
            resume=resume,
            validate=validator(model, tokenizer, batches, stage, runtime) if batches else None,
            sample=sampler.show,
        )
    finally:
        tracker.close()
    if result.stopped in ("SIGINT", "SIGTERM"):
        console().print(
            f"stopped by {result.stopped} after step {result.step} of {result.num_steps}; "
            f"go on with: {stage.command}",
            soft_wrap=True,
        )
        return result
    save_model(stage, model, tokenizer, result)
    rows = {
        "steps": result.step,
        "tokens": result.tokens,
        "time": f"{result.seconds:.1f} s",
        "tokens per second": result.tokens_per_second,
        "training loss": result.loss,
        **{name: value for name, value in result.metrics.items() if name.startswith("val_")},
        "peak memory": f"{peak_memory_bytes(runtime.device) / 2**30:.2f} GiB",
        "written to": str(stage.output),
    }
    summary_table(stage.name, rows)
    return result


def exit_if_stopped(result: TrainResult) -> None:
    """After a signal, leave with the code that a shell expects, so that no later command runs."""
    codes = {"SIGINT": 130, "SIGTERM": 143}
    if result.stopped in codes:
        raise SystemExit(codes[result.stopped])


def save_model(stage: Stage, model: Decoder, tokenizer: Tokenizer, result: TrainResult) -> None:
    """The model's folder, with the resolved recipe and how training ended."""
    from nanohydra.checkpoint import save
    from nanohydra.core.config import to_dict

    manifest = {
        "recipe": to_dict(stage.recipe),
        "stage": stage.name,
        "step": result.step,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "metrics": {k: v for k, v in result.metrics.items() if math.isfinite(v)},
    }
    save(stage.output, model, tokenizer, manifest=manifest)


def validation_batches(stage: Stage, shards: Mapping[str, Shards]) -> list[Batch]:
    """The first held-out rows of each source."""
    from nanohydra.data import Loader

    config = stage.loader_config(endless=False)
    loaders = (Loader({name: held}, config) for name, held in shards.items())
    return list(chain(*(islice(loader, VALIDATION_BATCHES) for loader in loaders)))


def validator(
    model: Decoder, tokenizer: Tokenizer, batches: list[Batch], stage: Stage, runtime: Runtime
) -> Any:
    """What measures the model on held-out rows."""
    from nanohydra.training import validation_loss

    return lambda: validation_loss(
        model,
        batches,
        token_num_bytes=tokenizer.token_num_bytes,
        device=runtime.device,
        micro_rows=stage.config.micro_rows,
    )


class Sampler:
    """Shows how the model continues a few held-out records."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer, shards: Mapping[str, Shards]) -> None:
        self.model, self.tokenizer = model, tokenizer
        records = [held[i] for held in shards.values() for i in range(min(len(held), 2))]
        self.prompts = [
            self.prompt(ids.tolist(), mask.tolist()) for ids, mask in records[:NUM_SAMPLES]
        ]

    def prompt(self, ids: list[int], mask: list[bool]) -> list[int]:
        """A conversation up to the first answer, or the first tokens of a text."""
        begin = mask.index(True) if True in mask else 0
        end = begin if begin > len(self.tokenizer.prefix_ids) else PROMPT_TOKENS
        return ids[: min(end, self.model.config.max_seq_len // 2)]

    def show(self) -> None:
        """Print each prompt and its greedy continuation."""
        from nanohydra.engine import Engine, EngineConfig, SamplingParams, generate

        ends = (self.tokenizer.bos_id, self.tokenizer.end_id)
        stop = tuple(id for id in ends if id is not None)
        params = SamplingParams(temperature=0.0, max_tokens=SAMPLE_TOKENS, stop_ids=stop)
        room = max(map(len, self.prompts), default=0) + SAMPLE_TOKENS
        length = min(room, self.model.config.max_seq_len)
        engine = Engine(self.model, EngineConfig(max_rows=NUM_SAMPLES, max_length=length))
        out = console(stderr=True)
        for prompt, reply in zip(self.prompts, generate(engine, self.prompts, params), strict=True):
            text = self.tokenizer.decode(prompt, skip_special=False)
            out.print(text, style="dim", markup=False, soft_wrap=True, end="")
            out.print(self.tokenizer.decode(reply.ids), markup=False, soft_wrap=True)


class StageMetrics:
    """metrics.jsonl of a run: one line a step, with the stage.

    Keeps what earlier stages wrote, and this one's lines up to resume_step, so that a curve never
    runs twice; the first stage begins a new file.
    """

    def __init__(self, path: Path, stage: StageName, resume_step: int) -> None:
        self.stage = stage
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(path) if self._keeps(json.loads(line), resume_step)]
        self.file = path.open("w", encoding="utf-8")
        self.file.writelines(kept)
        self.file.flush()

    def _keeps(self, row: Mapping[str, Any], resume_step: int) -> bool:
        if row.get("stage") == self.stage:
            return int(row["step"]) <= resume_step
        return self.stage != "pretrain"

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one line; what is not finite becomes null."""
        values = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
        self.file.write(json.dumps({"step": step, "stage": self.stage, **values}) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _lines(path: Path) -> list[str]:
    """Whole lines only: a crash may have cut the last one short."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line + "\n" for line in text.splitlines() if line.endswith("}")]
