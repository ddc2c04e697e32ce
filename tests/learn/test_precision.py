"""In which dtype learner and gate load a base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nanohydra.checkpoint import Loaded, load, save
from nanohydra.learn import directions, precision
from nanohydra.learn.config import AdapterTrainConfig, LearnConfig
from nanohydra.learn.directions import collect
from nanohydra.learn.learner import Learner
from nanohydra.learn.precision import gate_dtype, train_dtype
from nanohydra.learn.samples import Sample
from nanohydra.learn.store import LearningStore
from tests.learn.learning import submit


def saved_in(loaded: Loaded, folder: Path, dtype: torch.dtype) -> Path:
    save(folder, loaded.model.to(dtype), loaded.tokenizer, manifest={})
    return folder


def test_a_base_is_copied_to_float32_only_where_that_is_fast_and_fits(
    loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_in(loaded, tmp_path / "small", torch.bfloat16)
    size = 4 * sum(parameter.numel() for parameter in loaded.model.parameters())
    auto = AdapterTrainConfig()
    for fast, free, wanted in (
        (True, 100 * size, torch.bfloat16),
        (False, 3 * size, torch.float32),
        (False, 2 * size, torch.bfloat16),
    ):
        monkeypatch.setattr(precision, "multiplies_bfloat16_fast", lambda _, fast=fast: fast)
        monkeypatch.setattr(precision, "available_memory", lambda free=free: free)
        assert train_dtype(auto, folder) == wanted
        assert train_dtype(AdapterTrainConfig(dtype="float32"), folder) == torch.float32


def test_the_gate_reads_a_base_as_it_is_served_but_never_in_float16(
    model_folder: Path, tmp_path: Path
) -> None:
    config = AdapterTrainConfig(dtype="bfloat16")
    for stored, wanted in ((torch.bfloat16, None), (torch.float16, torch.bfloat16)):
        folder = saved_in(load(model_folder), tmp_path / str(stored), stored)
        assert gate_dtype(config, folder) == wanted


def test_a_base_stays_in_bfloat16_while_an_adapter_is_trained(
    loaded: Loaded,
    tmp_path: Path,
    store: LearningStore,
    gate_here: None,
    settings: Callable[..., LearnConfig],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = saved_in(loaded, tmp_path / "small", torch.bfloat16)
    job = submit(store)
    with caplog.at_level("INFO"):
        learner = Learner(tmp_path, folder, settings("--train.dtype=bfloat16"))
    assert "the base is loaded in bfloat16" in caplog.text
    places = {name: p.data_ptr() for name, p in learner.loaded.model.named_parameters()}
    learner.run(lambda: False, once=True)
    assert store.job(job).state == "live"
    after = dict(learner.loaded.model.named_parameters())
    assert {name: p.data_ptr() for name, p in after.items()} == places
    assert {p.dtype for p in after.values()} == {torch.bfloat16}
    (row,) = store.ledger(event="trained", job=job)
    assert row.details["dtype"] == "bfloat16"
    learner.close()


def test_of_a_large_model_fewer_inputs_are_kept_and_in_its_own_dtype(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded.model.to(torch.bfloat16)
    samples = [Sample(ids=tuple(range(5, 55)), mask=(True,) * 50)] * 20
    names = ["blocks.0.mixer.q_proj", "blocks.0.mixer.k_proj", "blocks.1.feed_forward.down_proj"]
    all_of_them = collect(model, names, samples)
    (held,) = {len(torch.cat(each)) for each in all_of_them.held.values()}
    assert held == 980 and all_of_them.of(names[1]).dtype == torch.float32
    assert {each.dtype for parts in all_of_them.held.values() for each in parts} == {model.dtype}
    monkeypatch.setattr(directions, "MAX_BYTES", 1000)
    (few,) = {len(torch.cat(each)) for each in collect(model, names, samples).held.values()}
    assert directions.LEAST_INPUTS * 0.9 < few < held / 3
