"""Configs refuse what cannot work, and read from TOML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nanohydra.core.config import from_dict, load_config, to_dict
from nanohydra.core.errors import UserError
from nanohydra.data import CleanConfig, LoaderConfig, Phase, QualityConfig, SourceConfig


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"rows_per_batch": 0}, "rows_per_batch is 0"),
        ({"row_length": 1}, "row_length is 1"),
        ({"total_batches": -1}, "total_batches is -1"),
        ({"buffer_size": 0}, "buffer_size is 0"),
        ({"weights": {"a": -1}}, "none below"),
        ({"weights": {"a": 0}}, "one above 0"),
        ({"weights": {"a": float("nan")}}, "none below"),
        ({"weights": {"a": 1}, "phases": (Phase(weights={"a": 1}),)}, "not both"),
        ({"phases": (Phase(until=0.5, weights={"a": 1}),)}, "until=1.0"),
        (
            {"phases": (Phase(until=0.5, weights={"a": 1}), Phase(until=0.4, weights={"a": 1}))},
            "must lie after 0.5",
        ),
    ],
)
def test_a_loader_config_that_cannot_work_is_refused(values, what):
    with pytest.raises(ValueError, match=what):
        LoaderConfig(**values)


@pytest.mark.parametrize(
    "values", [{"near_threshold": 0.0}, {"near_permutations": 0}, {"overlap_ngram_words": 0}]
)
def test_a_clean_config_that_cannot_work_is_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        CleanConfig(**values)


def test_configs_survive_plain_json_and_toml(tmp_path: Path):
    clean = CleanConfig(quality=QualityConfig(min_words=3), evaluation=(SourceConfig(path="x"),))
    assert from_dict(CleanConfig, to_dict(clean)) == clean
    file = tmp_path / "loader.toml"
    file.write_text(
        "[[phases]]\nuntil = 0.3\nweights = {a = 1}\n[[phases]]\nweights = {a = 1, b = 2.5}\n"
    )
    config = load_config(LoaderConfig, file, ["--row_length=64"])
    assert config.row_length == 64
    assert config.all_phases[1].weights == {"a": 1.0, "b": 2.5}
    with pytest.raises(UserError, match="row_lenght"):
        load_config(LoaderConfig, None, ["--row_lenght=64"])


def test_configs_import_nothing_heavy():
    code = (
        "import sys, nanohydra.data.config, nanohydra.data; "
        "print([m for m in ('torch', 'numpy', 'datasets', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
