"""Train one version from the lessons of an alias's many, under the same gate."""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.commands.options import Options, parse
from nanohydra.commands.reach import reach
from nanohydra.core.log import console
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ConsolidateOptions(Options):
    """Options of `nanohydra consolidate`."""

    alias: str = "default"
    """The name whose versions are put together."""
    server: str = "http://127.0.0.1:8000"
    """The running server that learns."""
    model: str | None = None
    """Folder of a model or of its run, or its name at the hub, instead of a server."""
    api_key: str = ""
    """Key of the server."""


def main(words: list[str]) -> None:
    """Run `nanohydra consolidate`."""
    call = parse(ConsolidateOptions, words, prog="consolidate", description=__doc__)
    run(call.options, call.recipe)


def run(options: ConsolidateOptions, recipe: Recipe) -> None:
    """Queue the job and say which it is; with a folder, a learner has to do it."""
    with reach(options.server, options.model, options.api_key) as learned:
        job = learned.consolidate(options.alias)
    hint = f"; run: nanohydra learner --model {options.model} --once" if options.model else ""
    console().print(
        f"job {job['id']}: {len(job['lessons'])} lessons of {options.alias!r} into one "
        f"version{hint}",
        markup=False,
    )
