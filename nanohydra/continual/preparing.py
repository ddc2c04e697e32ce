"""From a stream's configuration to shards and held-out batches on disk, made once per run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nanohydra.continual.config import ContinualConfig, TaskConfig
from nanohydra.continual.stream import Stream, Task
from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.data import Loader, LoaderConfig, open_split, prepare
from nanohydra.data.config import SourceConfig
from nanohydra.data.preparation import REPORT
from nanohydra.data.reading import find_files
from nanohydra.tokenizer import Tokenizer

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a task is read from: the recipe's first choice, or its second."""

    sources: Mapping[str, SourceConfig]
    heldout: Mapping[str, SourceConfig]

    @property
    def labels(self) -> list[str]:
        """For a report."""
        return [source.label for source in self.sources.values()]


def choose(task: TaskConfig) -> Chosen:
    """The task's sources, or what it names for where a file of these is not there.

    Raises UserError if a file is missing and there is nothing else.
    """
    error = missing((*task.sources.values(), *task.heldout.values()))
    if error is None:
        return Chosen(sources=task.sources, heldout=task.heldout)
    if not task.otherwise:
        raise UserError(
            f"the task {task.name!r} lacks its data: {error}; put it there, or name other sources "
            "in continual.tasks"
        ) from error
    return Chosen(sources=task.otherwise, heldout={})


def missing(sources: Iterable[SourceConfig]) -> UserError | None:
    """What a source's path lacks, if one of them does."""
    try:
        for source in sources:
            if source.path and source.kind != "hf":
                find_files(source.path)
    except UserError as error:
        return error
    return None


def open_stream(
    config: ContinualConfig, tokenizer: Tokenizer, folder: Path, *, say: Say = lambda text: None
) -> tuple[Stream, dict[str, list[str]]]:
    """The stream with its shards in `folder`, and the labels of what each task was read from.

    Shards that are there are used again. Raises UserError if they are of other sources or another
    tokenizer, and for a task that has nothing to be measured on.
    """
    tasks, labels = [], {}
    for task in config.tasks:
        chosen = choose(task)
        labels[task.name] = chosen.labels
        place = folder / task.name
        if not place.exists():
            say(f"reading {task.name} from {', '.join(chosen.labels)}")
            prepare(
                chosen.sources,
                task.clean,
                tokenizer,
                place,
                heldout=chosen.heldout,
                valid_fraction=0.0 if chosen.heldout else task.valid_fraction,
                hold_out=task.hold_out,
            )
        check_sources(place, chosen)
        tasks.append(open_task(task, place, config, tokenizer))
    return Stream(tasks=tuple(tasks), packing=config.packing), labels


def check_sources(place: Path, chosen: Chosen) -> None:
    """Raise UserError if prepared data are of other sources than those wanted."""
    report = read_json(place / REPORT)
    there = {s["name"]: s["config"] for s in report["sources"] if not s["heldout"]}
    if there != {name: to_dict(source) for name, source in chosen.sources.items()}:
        raise UserError(
            f"{place} holds data of other sources than the recipe names; remove it or choose "
            "another folder with --out"
        )


def open_task(task: TaskConfig, place: Path, config: ContinualConfig, tokenizer: Tokenizer) -> Task:
    """A task of prepared data, with the first of its held-out batches."""
    fingerprint = tokenizer.fingerprint
    held = open_split(place, "valid", fingerprint=fingerprint)
    if not held:
        raise UserError(f"the task {task.name!r} has no held-out records; raise valid_fraction")
    rows = LoaderConfig(
        rows_per_batch=config.train.rows_per_step,
        row_length=config.train.row_length,
        packing=config.packing,
    )
    evaluation = tuple(islice(Loader(held, rows), config.eval_batches))
    return Task(
        name=task.name,
        train=open_split(place, "train", fingerprint=fingerprint),
        evaluation=evaluation,
        metric=task.metric,
    )
