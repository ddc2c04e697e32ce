"""Serve a model over HTTP: the OpenAI API and a chat page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """Options of `nanohydra serve`."""

    model: Path | None = None
    """Folder of the model; the recipe's run if not given."""
    host: str = "127.0.0.1"
    """Address to listen on; other than this machine needs --api-key."""
    port: int = 8000
    """Port to listen on."""
    api_key: str = ""
    """Key that clients must send."""
    open: bool = False
    """Open the page in the browser, where there is one."""


def main(words: list[str]) -> None:
    """Run `nanohydra serve`."""
    call = parse(ServeOptions, words, prog="serve", description=__doc__)
    run(call.options, call.recipe)


def run(options: ServeOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra serve cannot run {recipe.name} yet ({options})")
