"""Files that are never half written: atomic paths, strict JSON, hashes, run folders.

Whoever reads sees the old file or the new one, also after a crash in between.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nanohydra.core.errors import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: write a file or a folder there, and it becomes `path`.

    On an error it is removed and `path` stays as it was. The name ends as `path` does, because
    some writers look at the suffix or add one. Raises UserError if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        if temporary.is_dir() and path.is_dir():
            _exchange(temporary, path)  # a rename cannot replace a folder that has files
        else:
            os.replace(temporary, path)
        _flush_to_disk(path.parent, deep=False)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise not_written(path, error) from error
        raise
    finally:
        _remove(temporary)


def not_written(path: Path, error: Exception) -> UserError:
    """What a person is told when a file cannot be written; libraries have errors of their own."""
    return UserError(
        f"{path.name} could not be written ({error}); what was there before is unchanged; "
        "free some space, or choose another place"
    )


def write_json(path: Path, obj: Any) -> None:
    """Write strict JSON atomically. NaN and infinity, which JSON lacks, become null."""
    text = json.dumps(json_safe(obj), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file says. Raises UserError if it is missing or malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def json_safe(obj: Any) -> Any:
    """A copy in which numbers that JSON lacks are null, paths text and tuples lists."""
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    if isinstance(obj, Mapping):
        return {str(key): json_safe(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [json_safe(value) for value in obj]
    return str(obj) if isinstance(obj, Path) else obj


def sha256(source: Path | bytes) -> str:
    """The SHA-256 of a file's content or of bytes, in hexadecimal."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def run_folder(path: Path) -> Iterator[Path]:
    """Make the folder of a run and keep it for this process while the context lasts.

    Raises UserError if another process writes there, or if `path` is no folder. The lock goes
    with the process, however it ends.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("a+")
    except OSError as error:
        raise UserError(f"cannot write to the folder {path}: {error}") from error
    with lock:
        if not _try_lock(lock.fileno()):
            lock.seek(0)
            owner = lock.read().strip() or "?"
            raise UserError(
                f"{path} is being written by process {owner}; wait for it or choose another folder"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield path


def _try_lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: nothing is locked
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _flush_to_disk(path: Path, *, deep: bool = True) -> None:
    """Make sure that a file, or a folder with what is in it, survives a power cut."""
    if path.is_dir() and deep:
        for inner in path.iterdir():
            _flush_to_disk(inner)
    if path.is_dir() and os.name != "posix":
        return  # elsewhere a folder cannot be opened
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders: in one step on Linux, elsewhere in two renames."""
    if sys.platform == "linux":
        here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of renameat2(2)
        rename = getattr(ctypes.CDLL(None), "renameat2", None)
        if rename and rename(here, os.fsencode(new), here, os.fsencode(old), exchange) == 0:
            return
    aside = old.with_name(f"{new.name}.old")
    os.replace(old, aside)
    try:
        os.replace(new, old)
    except OSError:
        os.replace(aside, old)
        raise
    os.replace(aside, new)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
