"""From raw text to a chat model with a report, in one go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class SpeedrunOptions(Options):
    """Options of `nanohydra speedrun`."""

    out: Path | None = None
    """Folder of the run; runs/ and the recipe's name if not given."""
    data: Path | None = None
    """Text to pretrain on, a file or folder, instead of the recipe's."""
    resume: bool = False
    """Go on with a run that was stopped."""


def main(words: list[str]) -> None:
    """Run `nanohydra speedrun`."""
    call = parse(SpeedrunOptions, words, prog="speedrun", description=__doc__)
    run(call.options, call.recipe)


def run(options: SpeedrunOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra speedrun cannot run {recipe.name} yet ({options})")
