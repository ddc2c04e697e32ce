"""Train a tokenizer, or inspect one: bytes per token by kind of text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions(Options):
    """Options of `nanohydra tokenizer`."""

    action: tyro.conf.Positional[Literal["train", "inspect"]]
    """What to do."""
    data: Path | None = None
    """Text to train on or to inspect with, instead of the recipe's."""
    out: Path | None = None
    """Folder of the run that the tokenizer belongs to."""


def main(words: list[str]) -> None:
    """Run `nanohydra tokenizer`."""
    call = parse(TokenizerOptions, words, prog="tokenizer", description=__doc__)
    run(call.options, call.recipe)


def run(options: TokenizerOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra tokenizer cannot run {recipe.name} yet ({options})")
