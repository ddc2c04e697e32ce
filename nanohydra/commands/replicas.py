"""Serve a model by several processes behind one port: what `nanohydra serve --replicas N` does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nanohydra.core.errors import UserError
from nanohydra.core.log import console
from nanohydra.core.runtime import available_cores

if TYPE_CHECKING:
    from nanohydra.commands.serve import ServeOptions
    from nanohydra.recipe import Recipe
    from nanohydra.server import ServerConfig

GPUS = Path("/proc/driver/nvidia/gpus")


def run_replicas(
    options: ServeOptions, recipe: Recipe, words: Sequence[str], settings: ServerConfig
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UserError for options that do not go together."""
    from nanohydra.server.replicas import Launch, Replica
    from nanohydra.server.router import Router

    if options.replicas < 1:
        raise UserError(f"--replicas is {options.replicas}; give at least 1")
    if options.learn:
        raise UserError("replicas only answer: add --no-learn, or serve without --replicas")
    replicas = []
    for number in range(options.replicas):
        environment = environment_of(number, dict(os.environ))
        own = [*words, *options_of(options, recipe)]
        replicas.append(Replica(number, Launch(command=Command(own), environment=environment)))

    def greet(url: str) -> None:
        count = options.replicas
        console().print(f"{settings.model_name} at {url}, {count} replicas  (Ctrl-C ends it)")

    asyncio.run(Router(replicas, settings).run(greet))
    console().print("all replicas have ended")


class Command:
    """The words that start one replica on a port; the last of an option that is repeated counts."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)

    def __call__(self, port: int) -> list[str]:
        """The whole command."""
        return [sys.executable, "-m", "nanohydra", "serve", *self.words, "--port", str(port)]


def options_of(options: ServeOptions, recipe: Recipe) -> list[str]:
    """What every replica is told beside the words of the command line."""
    words = ["--replicas", "1", "--host", "127.0.0.1", "--no-open"]
    if not recipe.runtime.threads:
        share = max(1, available_cores() // options.replicas)
        words.append(f"--runtime.threads={share}")
    return words


def environment_of(number: int, environment: dict[str, str]) -> dict[str, str]:
    """A replica's environment: of several GPUs, its own one."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    found = named.split(",") if named else [str(i) for i in range(num_gpus())]
    if len(found) > 1:
        environment["CUDA_VISIBLE_DEVICES"] = found[number % len(found)]
    return environment


def num_gpus() -> int:
    """How many GPUs the driver shows; torch is not asked, as that would take one."""
    return len(list(GPUS.iterdir())) if GPUS.is_dir() else 0
