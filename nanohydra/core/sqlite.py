"""What each SQLite file of the project needs: write-ahead logging, even where two begin at once."""

from __future__ import annotations

import sqlite3
import time


def use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch a file to write-ahead logging, waiting for others that are just doing the same.

    SQLite does not wait by itself for this: the switch fails at once where it meets another.
    Raises sqlite3.OperationalError when the file stays locked.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
