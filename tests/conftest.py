"""What all tests need: Ctrl-C works, also where a shell began them in the background."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell starts background jobs with SIGINT ignored, and Python leaves an ignored signal alone.
    signal.signal(signal.SIGINT, signal.default_int_handler)
