"""Train a model on raw text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


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
    call = parse(PretrainOptions, words, prog="pretrain", description=__doc__)
    run(call.options, call.recipe)


def run(options: PretrainOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra pretrain cannot run {recipe.name} yet ({options})")
