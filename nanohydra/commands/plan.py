"""What a recipe will take: parameters, FLOPs, memory, time and cost on a device."""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.commands.options import Options, parse
from nanohydra.core.errors import UserError
from nanohydra.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class PlanOptions(Options):
    """Options of `nanohydra plan`."""

    device: str = "cpu"
    """Name of the device to plan for."""
    price: float = 0.0
    """Price of the device per hour, for the cost."""


def main(words: list[str]) -> None:
    """Run `nanohydra plan`."""
    call = parse(PlanOptions, words, prog="plan", description=__doc__)
    run(call.options, call.recipe)


def run(options: PlanOptions, recipe: Recipe) -> None:
    """Not wired yet."""
    raise UserError(f"nanohydra plan cannot run {recipe.name} yet ({options})")
