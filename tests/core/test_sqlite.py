"""The switch to write-ahead logging waits for its turn."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from nanohydra.core.sqlite import use_wal


def test_the_switch_waits_for_another_process(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE things (name TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
            start = time.monotonic()
            use_wal(connection, 20.0)
            assert time.monotonic() - start > 0.1
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        timer.join()


def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE things (name TEXT)")
        other.execute("BEGIN EXCLUSIVE")
        with (
            closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            use_wal(connection, 0.05)
