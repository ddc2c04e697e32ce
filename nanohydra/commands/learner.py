"""Work through the lessons of a learning home."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from nanohydra.commands.options import ModelOptions, find_model, parse
from nanohydra.core.log import console
from nanohydra.core.scheduling import be_nice
from nanohydra.learn.home import home_of
from nanohydra.recipe import Recipe

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, kw_only=True)
class LearnerOptions(ModelOptions):
    """Options of `nanohydra learner`."""

    home: Path | None = None
    """Folder with the lessons and the adapters; `learning` in the model's run if not given."""
    once: bool = False
    """End when the queue is empty."""
    follow: bool = False
    """End when the standard input does: with the server that started this, however it ends."""


def main(words: list[str]) -> None:
    """Run `nanohydra learner`."""
    call = parse(LearnerOptions, words, prog="learner", description=__doc__)
    run(call.options, call.recipe)


def run(options: LearnerOptions, recipe: Recipe) -> None:
    """Work until SIGINT or SIGTERM; the job in progress then goes back into the queue."""
    config = recipe.learn.learner
    # Before torch is imported, which reads it once.
    os.environ.setdefault("OMP_NUM_THREADS", str(config.threads))
    folder = find_model(options, recipe)
    home = options.home or home_of(folder)
    be_nice(config.nice)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")

    import torch

    from nanohydra.learn.learner import Learner

    torch.set_num_threads(config.threads)
    with (
        until_asked(options.follow) as ending,
        contextlib.closing(Learner(home, folder, recipe.learn)) as done,
    ):
        console(stderr=True).print(f"learning in {home}  (Ctrl-C ends it)")
        count = done.run(ending, once=options.once)
    console(stderr=True).print(f"{count} job{'' if count == 1 else 's'} done in {home}")


@contextlib.contextmanager
def until_asked(follow: bool) -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come; a second one ends the process at once.

    follow: the end of the standard input asks as well.
    """
    asked = threading.Event()
    if follow:
        threading.Thread(target=_wait_for_end, args=(asked,), daemon=True).start()

    def handle(number: int, _: FrameType | None) -> None:
        asked.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait_for_end(asked: threading.Event) -> None:
    sys.stdin.read()
    asked.set()
