"""Read, clean and tokenize the recipe's data into shards; report each drop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of `nanohydra data`."""

    out: Path | None = None
    """Folder of the run that the shards belong to."""
    data: Path | None = None
    """Text to pretrain on, a file or folder, instead of the recipe's."""


def main(words: list[str]) -> None:
    """Run `nanohydra data`."""
    call = parse(DataOptions, words, prog="data", description=__doc__)
    run(call.options, call.recipe)


def run(options: DataOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra data cannot run {recipe.name} yet ({options})")
