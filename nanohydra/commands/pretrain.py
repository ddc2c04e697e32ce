"""Train a model on raw text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanohydra.commands.options import Options, parse, run_path
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.training import TrainResult


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Options):
    """Options of `nanohydra pretrain`."""

    out: Path | None = None
    """Folder of the run; runs/ and the recipe's name if not given."""
    data: Path | None = None
    """Text to train on, a file or folder, instead of the recipe's."""
    resume: bool = False
    """Go on from the last checkpoint."""


def main(words: list[str]) -> None:
    """Run `nanohydra pretrain`."""
    from nanohydra.commands.stages import exit_if_stopped

    call = parse(PretrainOptions, words, prog="pretrain", description=__doc__)
    command = " ".join(["nanohydra pretrain", *(w for w in words if w != "--resume"), "--resume"])
    exit_if_stopped(run(call.options, call.recipe, command=command))


def run(
    options: PretrainOptions, recipe: Recipe, *, command: str = "nanohydra pretrain --resume"
) -> TrainResult:
    """Make what is missing of tokenizer and data, train, and save the model.

    command: what to type to go on after an interruption.
    """
    from nanohydra.commands.stages import Stage, run_tokenizer, train_stage, with_data
    from nanohydra.core.runtime import setup
    from nanohydra.model import Decoder

    recipe = with_data(recipe, "pretrain", options.data)
    folder = run_path(recipe, options.out)
    runtime = setup(recipe.runtime)
    tokenizer = run_tokenizer(recipe, folder)
    stage = Stage(name="pretrain", recipe=recipe, folder=folder, command=command)
    return train_stage(stage, Decoder(recipe.model), tokenizer, runtime, resume=options.resume)
