"""A model as a folder for others: weights, tokenizer files as they were, card, and an adapter.

Appears at once or not at all. `transformers` loads it as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nanohydra.checkpoint.folder import FILES, Loaded, save
from nanohydra.checkpoint.manifest import MANIFEST, RESERVED, read_manifest, write_manifest
from nanohydra.checkpoint.names import CONFIG
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path
from nanohydra.tokenizer.files import FILES as TOKENIZER_FILES

CARD, ADAPTER = "README.md", "adapter"
OLDER = ("vocab.json", "merges.txt", "added_tokens.json", "chat_template.json")


def write_folder(
    out: Path,
    loaded: Loaded,
    source: Path,
    *,
    card: str,
    manifest: Mapping[str, Any],
    beside: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write the model that was loaded from `source`, or replace what was exported before.

    card: the text of README.md. manifest: what is said of the export beyond the source's own.
    beside: may write an adapter to the folder that it is given. Raises UserError if `out` is not
    empty and no model, or holds the source.
    """
    check_target(out, source)
    given = {key: value for key, value in loaded.manifest.items() if key not in RESERVED}
    given |= manifest
    with atomic_path(out) as new:
        save(new, loaded.model, loaded.tokenizer, manifest=given)
        if not loaded.tokenizer.native:
            _copy_tokenizer(source, new)
            _describe_again(new, given)
        (new / CARD).write_text(card, encoding="utf-8")
        beside(new / ADAPTER)


def check_target(out: Path, source: Path) -> None:
    """Raise UserError unless nothing but an earlier export would be lost by writing to `out`."""
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise UserError(f"{out} holds the model that is exported; choose another folder")
    if out.is_file():
        raise UserError(f"{out} is a file; choose a folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    known = {*FILES, *OLDER, CARD, ADAPTER}
    other = sorted(path.name for path in out.iterdir() if path.name not in known)
    if other or not (out / CONFIG).is_file():
        what = f"holds {other[0]!r}, which is no part of a model" if other else "holds no model"
        raise UserError(
            f"{out} is not empty and {what}; choose another folder, because an export replaces "
            "the whole of it"
        )


def _copy_tokenizer(source: Path, new: Path) -> None:
    """The tokenizer's files as they were, which other programs may read in other ways than we."""
    for name in (*TOKENIZER_FILES, *OLDER):
        if (source / name).is_file():
            shutil.copyfile(source / name, new / name)


def _describe_again(new: Path, given: Mapping[str, Any]) -> None:
    """The manifest with the hashes of the files as they are now."""
    written = ("version", "format")  # by write_manifest itself
    about = {k: v for k, v in read_manifest(new)["nanohydra"].items() if k not in written}
    (new / MANIFEST).unlink()  # which lists the files that are there
    write_manifest(new, given, about)
