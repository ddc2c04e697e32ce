"""Fine-tune a pretrained model on conversations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


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
    call = parse(SftOptions, words, prog="sft", description=__doc__)
    run(call.options, call.recipe)


def run(options: SftOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra sft cannot run {recipe.name} yet ({options})")
