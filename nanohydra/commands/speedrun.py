"""From raw text to a chat model with a report, in one go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.commands.options import Options, parse, run_path
from nanohydra.core.config import to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, write_json
from nanohydra.core.log import console
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.commands.stages import Stage
    from nanohydra.core.runtime import Runtime
    from nanohydra.eval import Likelihood
    from nanohydra.training import TrainResult

RECIPE, SECONDS = "recipe.json", "seconds.json"
TEXT_SHARE = 0.3  # of the tokens of fine-tuning, where the pretraining was on a user's text
HELD_OUT_NAMES = ("heldout", "valid", "validation", "val", "test")


@dataclass(frozen=True, kw_only=True)
class SpeedrunOptions(Options):
    """Options of `nanohydra speedrun`."""

    out: Path | None = None
    """Folder of the run; runs/ and the recipe's name if not given."""
    data: Path | None = None
    """Text to pretrain on, a file or folder, instead of the recipe's. If its name says "train" and
    a file beside it says "heldout", "valid" or "test" in that place, bits per byte are of that."""
    resume: bool = False
    """Go on with a run that was stopped, or begin one."""


def main(words: list[str]) -> None:
    """Run `nanohydra speedrun`."""
    call = parse(SpeedrunOptions, words, prog="speedrun", description=__doc__)
    command = " ".join(["nanohydra speedrun", *(w for w in words if w != "--resume"), "--resume"])
    run(call.options, call.recipe, command=command)


def run(options: SpeedrunOptions, recipe: Recipe, *, command: str) -> None:
    """Tokenizer, data, pretraining, fine-tuning, evaluation and report; what is done is kept.

    command: what to type to go on after an interruption. Raises UserError if the folder holds
    another run, and SystemExit after a signal.
    """
    from nanohydra.commands.stages import MODEL, PRETRAINED, Stage, exit_if_stopped, with_data
    from nanohydra.core.runtime import setup

    folder = run_path(recipe, options.out)
    recipe = with_held_out(with_data(recipe, "pretrain", options.data), options.data)
    recipe = with_text_kept(recipe) if options.data else recipe
    claim(folder, recipe, resume=options.resume)
    runtime = setup(recipe.runtime)
    clock = Clock(folder / SECONDS)
    for name in ("pretrain", "sft"):
        if name == "sft" and recipe.sft is None:
            continue
        stage = Stage(name=name, recipe=recipe, folder=folder, command=command)
        done = (stage.output, folder / MODEL) if name == "pretrain" else (stage.output,)
        if not any(path.is_dir() for path in done):
            exit_if_stopped(run_stage(stage, runtime, clock))
    report(recipe, folder, clock, folder / PRETRAINED)


def with_text_kept(recipe: Recipe) -> Recipe:
    """The recipe with the text that it is pretrained on in its fine-tuning too.

    Conversations alone would make the model forget it. Left as it is where fine-tuning has no
    weights of its own.
    """
    text, talk = recipe.data.pretrain, recipe.data.sft
    if recipe.sft is None or not talk.weights or talk.phases:
        return recipe
    share = TEXT_SHARE / (1 - TEXT_SHARE) * sum(talk.weights.values())
    names = {name: f"text_{name}" for name in text.sources}
    talk = replace(
        talk,
        sources={**talk.sources, **{names[name]: each for name, each in text.sources.items()}},
        weights={**talk.weights, **dict.fromkeys(names.values(), share / len(names))},
    )
    return replace(recipe, data=replace(recipe.data, sft=talk))


def with_held_out(recipe: Recipe, data: Path | None) -> Recipe:
    """The recipe, scoring the held-out file beside the user's data if one is there."""
    if data is None or recipe.eval.text is not None:
        return recipe
    for name in HELD_OUT_NAMES:
        path = data.with_name(data.name.replace("train", name))
        if path != data and path.exists():
            console(stderr=True).print(f"bits per byte will be of {path}", soft_wrap=True)
            return replace(recipe, eval=replace(recipe.eval, text=path))
    return recipe


def claim(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder this run's own. Raises UserError if another run lies there."""
    mine = to_dict(recipe)
    path = folder / RECIPE
    if path.exists():
        if not resume:
            raise UserError(
                f"{folder} holds a run already; --resume goes on with it, --out takes another "
                "folder, and removing the folder starts afresh"
            )
        changed = sorted(differences(read_json(path), mine))
        if changed:
            raise UserError(
                f"the run in {folder} was begun with other settings ({', '.join(changed[:3])}); "
                "give the same ones, or another folder with --out"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no speedrun; give a new folder as --out")
    else:
        write_json(path, mine)


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Dotted keys in which two plain configurations differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() | new.keys():
            name = f"{where}.{key}" if where else key
            yield from differences(old.get(key), new.get(key), name)
    elif old != new:
        yield where


class Clock:
    """Seconds of the stages, kept in a file so that an interrupted run counts all its time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = read_json(path) if path.exists() else {}

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Add the time of a block, whether or not it ends well."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin
            write_json(self.path, self.seconds)


def run_stage(stage: Stage, runtime: Runtime, clock: Clock) -> TrainResult:
    """Make what the stage needs, each part timed, and train."""
    from nanohydra.commands import pretrain, sft
    from nanohydra.commands.stages import STATES, run_tokenizer, stage_shards
    from nanohydra.training import Checkpointer

    with clock.timing("tokenizer"):
        tokenizer = run_tokenizer(stage.recipe, stage.folder)
    with clock.timing("data"):
        stage_shards(stage, tokenizer)
    resume = Checkpointer(stage.folder / STATES / stage.name).latest() is not None
    with clock.timing(stage.name):
        if stage.name == "pretrain":
            options = pretrain.PretrainOptions(out=stage.folder, resume=resume)
            return pretrain.run(options, stage.recipe, command=stage.command)
        fine = sft.SftOptions(out=stage.folder, resume=resume)
        return sft.run(fine, stage.recipe, command=stage.command)


def report(recipe: Recipe, folder: Path, clock: Clock, pretrained: Path) -> None:
    """Evaluate the finished model, and the pretrained one as text; write and print the report."""
    from nanohydra import __version__
    from nanohydra.checkpoint import load
    from nanohydra.commands.eval import measure, print_summary, score_text
    from nanohydra.commands.stages import METRICS, MODEL
    from nanohydra.core.runtime import describe_machine, peak_memory_bytes, setup
    from nanohydra.eval import RunFacts, report_run

    runtime = setup(recipe.runtime)
    loaded = load(folder / MODEL, device=runtime.device)
    before: Likelihood | None = None
    with clock.timing("evaluation"):
        if pretrained.is_dir():
            before = score_text(load(pretrained, device=runtime.device), recipe)
        measured = measure(loaded, recipe)
    stages = {k: v for k, v in clock.seconds.items() if k not in ("pretrain", "sft")}
    facts = RunFacts(
        name=folder.resolve().name,
        params=sum(parameter.numel() for parameter in loaded.model.parameters()),
        peak_memory_bytes=peak_memory_bytes(runtime.device),
        stages=stages,
        configuration=to_dict(recipe),
        machine=describe_machine(),
        version=__version__,
        pretrained=before,
    )
    written: Mapping[str, Any] = report_run(
        folder,
        facts,
        results=measured.results,
        likelihood=measured.likelihood,
        targets=recipe.eval.targets,
        metrics=folder / METRICS,
    )
    print_summary(written, folder)
