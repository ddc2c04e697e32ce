"""manifest.json: what a model folder is, which version wrote it, and the hash of every file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nanohydra
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json, sha256, write_json

MANIFEST = "manifest.json"
FORMAT = 1
RESERVED = ("nanohydra", "files")


def write_manifest(folder: Path, given: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Describe the files that are in the folder now. `given` is the caller's own part."""
    for key in RESERVED:
        assert key not in given, f"the manifest's key {key!r} is written by nanohydra itself"
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    own = {"version": nanohydra.__version__, "format": FORMAT, **about}
    write_json(folder / MANIFEST, {"nanohydra": own, "files": files, **given})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest, or an empty mapping for a folder that another program wrote.

    Raises UserError if it is malformed or newer than this program.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("nanohydra"), dict):
        raise UserError(f"{path} is not a manifest of nanohydra; remove it to load the rest")
    written = manifest["nanohydra"].get("format")
    if written != FORMAT:
        raise UserError(
            f"{path} has format {written!r}, this version of nanohydra reads {FORMAT}; update it"
        )
    return manifest


def verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Compare every file that the manifest names. Raises UserError naming the first wrong one."""
    for name, expected in manifest.get("files", {}).items():
        path = folder / Path(name).name
        if not path.is_file():
            raise UserError(f"{path} is missing; the manifest of this model names it")
        size = path.stat().st_size
        if size != expected["bytes"]:
            raise UserError(
                f"{path} has {size} bytes, its manifest says {expected['bytes']}: it is "
                "truncated or was changed; take the folder from a backup"
            )
        if sha256(path) != expected["sha256"]:
            raise UserError(
                f"{path} does not have the SHA-256 that its manifest says: it is damaged or was "
                f"changed; take it from a backup, or remove {MANIFEST} if you changed it yourself"
            )
