"""Keeps routers ready: what goes live is read before anyone asks about it.

A new version's lessons are some hundred short texts to embed, for which the first request after it
would have to wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from nanohydra.learn.planner import Planner

EVERY_SECONDS = 0.5
logger = logging.getLogger(__name__)


class Watch:
    """A thread that lets planners prepare themselves.

    stamp: looked at every so many seconds; it is another one whenever something may have changed.
    planners: those that there are now.
    """

    def __init__(
        self,
        stamp: Callable[[], object],
        planners: Callable[[], Sequence[Planner]],
        every: float = EVERY_SECONDS,
    ) -> None:
        self._stamp = stamp
        self._planners = planners
        self._every = every
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="router-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it, after what it is about."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        done: object = None
        while not self._ending.wait(self._every):
            try:
                if (stamp := self._stamp()) != done:
                    for planner in self._planners():
                        planner.prepare()
                    done = stamp
            except Exception:  # a file that is locked, or damaged: a request will say so
                logger.debug("the routers were not prepared", exc_info=True)
