"""A small random model, and an adapter that changes what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nanohydra.adapters import LoraConfig, attach, base_hash, save_adapter
from nanohydra.checkpoint import Loaded
from nanohydra.testing_models import random_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    path = tmp_path_factory.mktemp("llm") / "model"
    random_model(path)
    return path


@pytest.fixture
def loaded(folder: Path) -> Loaded:
    """The model, afresh for each test."""
    from nanohydra import load

    return load(folder)


@pytest.fixture
def adapter(loaded: Loaded, tmp_path: Path) -> Path:
    """The folder of an adapter."""
    return make_adapter(loaded, tmp_path / "adapter", seed=1)


def make_adapter(loaded: Loaded, path: Path, seed: int) -> Path:
    """An adapter with an update that is far from zero, written to a folder."""
    attached = attach(loaded.model, LoraConfig(rank=4), seed=seed)
    weights = attached.weights(base_hash(loaded.model))
    attached.detach()
    generator = torch.Generator().manual_seed(seed)
    for pair in weights.pairs.values():
        pair.b_OR.normal_(std=0.5, generator=generator)
    save_adapter(path, weights, loaded.config, manifest={})
    return path
