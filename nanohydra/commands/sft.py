"""Fine-tune a pretrained model on conversations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nanohydra.commands.options import Options, parse, run_path
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe

if TYPE_CHECKING:
    from nanohydra.training import TrainResult


@dataclass(frozen=True, kw_only=True)
class SftOptions(Options):
    """Options of `nanohydra sft`."""

    out: Path | None = None
    """Folder of the run; runs/ and the recipe's name if not given."""
    model: Path | None = None
    """Model to start from, instead of the run's pretrained one."""
    data: Path | None = None
    """Conversations, a file or folder, instead of the recipe's."""
    resume: bool = False
    """Go on from the last checkpoint."""


def main(words: list[str]) -> None:
    """Run `nanohydra sft`."""
    from nanohydra.commands.stages import exit_if_stopped

    call = parse(SftOptions, words, prog="sft", description=__doc__)
    command = " ".join(["nanohydra sft", *(w for w in words if w != "--resume"), "--resume"])
    exit_if_stopped(run(call.options, call.recipe, command=command))


def run(
    options: SftOptions, recipe: Recipe, *, command: str = "nanohydra sft --resume"
) -> TrainResult:
    """Start from a model, make its data if missing, train, and save.

    command: what to type to go on after an interruption. Raises UserError if there is no model to
    start from, or if it is shorter than the recipe's rows.
    """
    import torch

    from nanohydra.checkpoint import load
    from nanohydra.commands.stages import PRETRAINED, Stage, train_stage, with_data
    from nanohydra.core.runtime import setup

    recipe = with_data(recipe, "sft", options.data)
    folder = run_path(recipe, options.out)
    stage = Stage(name="sft", recipe=recipe, folder=folder, command=command)
    runtime = setup(recipe.runtime)
    start = options.model or folder / PRETRAINED
    if options.model is None and not start.is_dir():
        raise UserError(f"there is no {start}; run `nanohydra pretrain` first, or give --model")
    loaded = load(start, device=runtime.device, dtype=torch.float32)
    if stage.config.row_length > loaded.config.max_seq_len:
        raise UserError(
            f"sft.row_length is {stage.config.row_length}, but the model in {start} sees at most "
            f"{loaded.config.max_seq_len} tokens; lower it"
        )
    return train_stage(stage, loaded.model, loaded.tokenizer, runtime, resume=options.resume)
