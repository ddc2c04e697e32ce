"""Chat with a model in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ChatOptions(Options):
    """Options of `nanohydra chat`."""

    model: Path | None = None
    """Folder of the model; the recipe's run if not given."""
    system: str = ""
    """System prompt."""
    max_tokens: int = 256
    """Longest reply in tokens."""
    temperature: float = 0.7
    """0 always takes the likeliest token."""
    seed: int | None = None
    """Repeat the same replies."""


def main(words: list[str]) -> None:
    """Run `nanohydra chat`."""
    call = parse(ChatOptions, words, prog="chat", description=__doc__)
    run(call.options, call.recipe)


def run(options: ChatOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra chat cannot run {recipe.name} yet ({options})")
