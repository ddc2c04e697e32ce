"""Which family a decoder is written as, and what a config.json says about the family and shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nanohydra.checkpoint.families import FAMILIES
from nanohydra.checkpoint.families.base import Family, Reader
from nanohydra.core.errors import UserError
from nanohydra.core.files import read_json
from nanohydra.core.registry import suggest
from nanohydra.model.config import ModelConfig


def family_of(config: ModelConfig) -> Family:
    """The family that the model was loaded from, else the first that expresses it exactly.

    Raises UserError if `config.family` is no name of the table.
    """
    names = [config.family] if config.family else []
    for name in (*names, *FAMILIES):
        family: Family = FAMILIES.load(name)()
        if family.fits(config):
            return family
    raise AssertionError("the last family fits everything")


def read_config(hf: Any) -> tuple[Family, ModelConfig]:
    """The family and shape of a config.json. Raises UserError for what is not known here."""
    name = hf.get("model_type") if isinstance(hf, Mapping) else None
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise UserError(
            f"unknown architecture {name!r}; {suggest(str(name), FAMILIES)} "
            f"(all that are known: {known})"
        )
    family: Family = FAMILIES.load(str(name))()
    Reader(hf).refuse("quantization_config")
    config = family.from_hf(hf)
    if family_of(config).model_type != name and family.fits(config):
        config = replace(config, family=str(name))
    return family, config


def read_config_file(path: Path) -> tuple[Family, ModelConfig]:
    """The same of a file, which the error names."""
    try:
        return read_config(read_json(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
