"""The state of a training run on disk: named tensors and plain values, without pickle.

Knows nothing of what they mean; who saves decides the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from nanohydra.checkpoint.weights import read_tensors, write_tensors
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, read_json, sha256

TENSORS, META = "state.safetensors", "state.json"
FORMAT = 1


def save_state(folder: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write a folder with both, replacing an older one at once.

    `meta` holds JSON values with text keys; tuples come back as lists, NaN and infinities
    survive. Raises UserError if the folder holds anything else, TypeError for other values.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a folder for the training state")
    other = (
        [p for p in folder.iterdir() if p.name not in (TENSORS, META)] if folder.is_dir() else []
    )
    if other:
        raise UserError(f"{other[0]} is not part of a training state; choose another folder")
    checksum = _checksum(meta)
    with atomic_path(folder) as new:
        new.mkdir()
        write_tensors(new / TENSORS, tensors)
        hashes = {"tensors": sha256(new / TENSORS), "meta": checksum}
        text = json.dumps({"format": FORMAT, "sha256": hashes, "meta": dict(meta)}, indent=1)
        (new / META).write_text(text, encoding="utf-8")


def load_state(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` was given, on the CPU, bit for bit.

    Raises UserError naming the file that is missing or damaged.
    """
    folder = Path(folder)
    about = read_json(folder / META)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f"{folder / META} is not a training state that this version reads")
    hashes, meta = about.get("sha256", {}), about.get("meta")
    if not isinstance(meta, dict) or _checksum(meta) != hashes.get("meta"):
        raise UserError(f"{folder / META} is damaged; resume from an earlier checkpoint")
    tensors = read_tensors(folder / TENSORS)
    if sha256(folder / TENSORS) != hashes.get("tensors"):
        raise UserError(f"{folder / TENSORS} is damaged; resume from an earlier checkpoint")
    return tensors, meta


def _checksum(meta: Mapping[str, Any]) -> str:
    """The same before writing and after reading, because JSON keeps order and every float."""
    return sha256(json.dumps(dict(meta)).encode())
