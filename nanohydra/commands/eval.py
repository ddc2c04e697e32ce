"""Measure a model: tasks with intervals, bits per byte, perplexity; write a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class EvalOptions(Options):
    """Options of `nanohydra eval`."""

    model: Path | None = None
    """Folder of the model; the recipe's run if not given."""
    out: Path | None = None
    """Where the report is written; the model's folder if not given."""


def main(words: list[str]) -> None:
    """Run `nanohydra eval`."""
    call = parse(EvalOptions, words, prog="eval", description=__doc__)
    run(call.options, call.recipe)


def run(options: EvalOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra eval cannot run {recipe.name} yet ({options})")
