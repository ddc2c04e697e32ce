"""Continue a text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(Options):
    """Options of `nanohydra generate`."""

    prompt: tyro.conf.Positional[str] = ""
    """The text to continue."""
    model: Path | None = None
    """Folder of the model; the recipe's run if not given."""
    num_samples: int = 1
    """How many continuations."""
    max_tokens: int = 256
    """Longest continuation in tokens."""
    temperature: float = 1.0
    """0 always takes the likeliest token."""
    top_k: int = 0
    """Sample among the k likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Sample among the likeliest tokens of this total probability."""
    min_p: float = 0.0
    """Leave out tokens less likely than this share of the likeliest."""
    seed: int | None = None
    """Repeat the same samples."""


def main(words: list[str]) -> None:
    """Run `nanohydra generate`."""
    call = parse(GenerateOptions, words, prog="generate", description=__doc__)
    run(call.options, call.recipe)


def run(options: GenerateOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra generate cannot run {recipe.name} yet ({options})")
