"""Decoders that no published family expresses: our own fields and tensor names, read only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from nanohydra.checkpoint.families.base import Entry, Family
from nanohydra.core.config import from_dict, to_dict
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder
from nanohydra.model.config import ModelConfig


class Native(Family):
    """Fits every decoder, so it stands last in the table."""

    model_type = "nanohydra"
    architecture = "NanohydraDecoder"

    def fits(self, config: ModelConfig) -> bool:
        """Always."""
        return True

    def to_hf(self, config: ModelConfig) -> dict[str, Any]:
        """The fields of ModelConfig, apart from those that other programs may look for."""
        return {"model": to_dict(config)}

    def from_hf(self, hf: Mapping[str, Any]) -> ModelConfig:
        """Unknown fields are refused, with a suggestion."""
        if not isinstance(hf.get("model"), Mapping):
            raise UserError("the table 'model' is missing")
        return from_dict(ModelConfig, hf["model"], "in 'model'")

    def entries(self, config: ModelConfig) -> Iterator[Entry]:
        """The names of the decoder's own state dict."""
        with torch.device("meta"):
            names = Decoder(config).state_dict()
        for name in names:
            if not (config.tie_embeddings and name == "head.weight"):
                yield Entry(name, (name,))
