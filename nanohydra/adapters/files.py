"""An adapter as a folder: PEFT's layout, and a manifest that says what base it is for.

    adapter_config.json  adapter_model.safetensors  manifest.json

Nothing is loaded that could run code or that is for another base. Knows nothing of versions and
aliases; they are the bank's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nanohydra.adapters.base import base_hash
from nanohydra.adapters.config import LoraConfig
from nanohydra.adapters.layer import Parts
from nanohydra.adapters.peft import check_finite, export_adapter, import_adapter, read_settings
from nanohydra.adapters.peft_kinds import export_kind, import_kind, kind_in
from nanohydra.adapters.weights import AdapterWeights, Pair
from nanohydra.checkpoint.manifest import MANIFEST, read_manifest, verify_files, write_manifest
from nanohydra.checkpoint.weights import PICKLES, read_tensors, write_tensors
from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.errors import UserError
from nanohydra.core.files import atomic_path, read_json, write_json
from nanohydra.model import ModelConfig

SETTINGS, FACTORS = "adapter_config.json", "adapter_model.safetensors"
FILES = (SETTINGS, FACTORS, MANIFEST)


def save_adapter(
    folder: str | Path,
    weights: AdapterWeights,
    model_config: ModelConfig,
    *,
    manifest: Mapping[str, Any],
) -> None:
    """Write an adapter's folder, or replace one, at once.

    manifest: the caller's own part of manifest.json; its keys "nanohydra" and "files" are taken.
    Raises UserError for factors that are not finite or do not fit the model, and if the folder
    holds other things than an adapter.
    """
    folder = Path(folder)
    _check_target(folder)
    for name, pair in weights.pairs.items():
        check_finite(name, pair)
    export = export_adapter if weights.config.kind == "lora" else export_kind
    fields, tensors = export(weights, model_config)
    about = {
        "adapter": weights.id,
        "base": weights.base,
        "created": time.time(),
        "lora": to_dict(weights.config),
        "model": to_dict(model_config),
        # What the file fills up with zeros is cut off again on loading.
        "ranks": {name: len(pair.a_RI) for name, pair in weights.pairs.items()},
    }
    with atomic_path(folder) as new:
        new.mkdir()
        write_json(new / SETTINGS, fields)
        write_tensors(new / FACTORS, tensors)
        write_manifest(new, manifest, about)


def load_adapter(
    folder: str | Path,
    *,
    model: nn.Module | None = None,
    config: ModelConfig | None = None,
    base: str | None = None,
) -> AdapterWeights:
    """Read an adapter that `save_adapter` or PEFT wrote, and refuse what is not right.

    model: for an adapter of PEFT, which does not say what its base is (or give its `config` and
    its hash as `base`); with a model, or a base, an adapter for another base is refused. Raises
    UserError naming the file and the reason: missing, damaged, a pickle, another kind of adapter,
    another base, wrong shapes, not finite.
    """
    folder = Path(folder)
    _check_source(folder)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    about = manifest.get("nanohydra", {})
    config = config or getattr(model, "config", None)
    if "model" in about and config is None:
        config = from_dict(ModelConfig, about["model"], f"in {folder / MANIFEST}")
    if config is None:
        raise UserError(f"{folder} does not say which model it is for; give the model")
    if base is None and model is not None:
        base = base_hash(model)
    base = _check_base(folder, about, base)
    hf = read_json(folder / SETTINGS)
    try:
        if not isinstance(hf, dict):
            raise UserError("it is not a table")
        kind = kind_in(hf)
        settings = read_settings(hf) if kind == "lora" else None
    except UserError as error:
        raise UserError(f"{folder / SETTINGS}: {error}") from None
    pairs: Mapping[str, Pair] = {}
    parts: Mapping[str, Parts] = {}
    try:
        tensors = read_tensors(folder / FACTORS)
        if settings is None:
            lora, parts = import_kind(hf, tensors, config)
        else:
            lora, pairs = import_adapter(settings, tensors, config)
    except UserError as error:
        raise UserError(f"{folder / FACTORS}: {error}") from None
    if about:
        lora = from_dict(LoraConfig, about["lora"], f"in {folder / MANIFEST}")
        pairs = _trim(pairs, about["ranks"])
    weights = AdapterWeights(config=lora, base=base, pairs=pairs, parts=parts)
    if about and weights.id != about["adapter"]:
        raise UserError(f"{folder} is damaged: its content is not what its manifest names")
    return weights


def _trim(pairs: Mapping[str, Pair], ranks: Mapping[str, int]) -> dict[str, Pair]:
    """The pairs as they were before they were written: without fillings and empty blocks."""
    result: dict[str, Pair] = {}
    for name, rank in ranks.items():
        a_RI, b_OR = pairs[name].a_RI, pairs[name].b_OR
        start = _first_column(name, ranks, pairs)
        rows = slice(start, start + rank)
        result[name] = Pair(a_RI=a_RI[rows].contiguous(), b_OR=b_OR[:, rows].contiguous())
    return result


def _first_column(name: str, ranks: Mapping[str, int], pairs: Mapping[str, Pair]) -> int:
    """Where a layer's block begins: after those before it that share its A."""
    shared = [n for n in pairs if pairs[n].a_RI is pairs[name].a_RI]
    return sum(ranks.get(n, 0) for n in shared[: shared.index(name)])


def _check_base(folder: Path, about: Mapping[str, Any], base: str | None) -> str:
    """The base that the adapter is for. Raises UserError if it is another one than `base`."""
    if about and "adapter" not in about:
        raise UserError(f"{folder} holds a model, not an adapter")
    own = about.get("base")
    if base is None and own is None:
        raise UserError(f"{folder} does not say which base it is for; give the model")
    if base is not None and own is not None and base != own:
        raise UserError(
            f"{folder} was trained on another base ({own[:12]}...) than this model "
            f"({base[:12]}...); its update would mean something else here"
        )
    return str(own or base)


def _check_source(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"there is no adapter in {folder}: it is not a folder")
    if not (folder / FACTORS).is_file():
        for path in sorted(folder.iterdir()):
            if path.suffix in PICKLES:
                raise UserError(
                    f"{path} is a pickle, which can run any code when it is loaded, so it is never "
                    "read; convert it to safetensors where you trust it, for example with peft: "
                    "PeftModel.from_pretrained(base, folder).save_pretrained(new_folder)"
                )
    for name in (SETTINGS, FACTORS):
        if not (folder / name).is_file():
            raise UserError(f"there is no adapter in {folder}: {name} is missing")


def _check_target(folder: Path) -> None:
    """Replacing a folder removes what is in it, so only an adapter's own files may be there."""
    if folder.is_dir():
        other = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if other:
            raise UserError(
                f"{folder} holds {other[0]!r}, which is not part of an adapter; choose another "
                "folder, because saving replaces the whole of it"
            )
    elif folder.exists():
        raise UserError(f"{folder} is a file; choose a folder to save the adapter to")
