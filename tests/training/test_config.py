"""Configuration and schedule."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nanohydra.core.errors import UserError
from nanohydra.training import TrainConfig
from nanohydra.training.schedule import lr_factor


def test_tokens_decide_the_steps_where_steps_are_not_given() -> None:
    config = TrainConfig(tokens=1000, rows_per_step=4, row_length=64)
    assert config.tokens_per_step == 256 and config.num_steps == 4
    assert TrainConfig(steps=7, tokens=1000).num_steps == 7
    with pytest.raises(UserError, match=r"train\.steps or train\.tokens"):
        _ = TrainConfig().num_steps


@pytest.mark.parametrize(
    "bad",
    [
        {"rows_per_step": 0},
        {"log_every": 0},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"decay_fraction": 1.5},
        {"lr_floor": -0.1},
        {"betas": (0.9, 1.0)},
    ],
)
def test_values_that_cannot_work_are_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match=rf"train\.{next(iter(bad))}"):
        TrainConfig(**bad)


def test_the_configuration_imports_no_torch() -> None:
    code = "import sys, nanohydra.training.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_rate_rises_stays_and_falls_to_its_floor(decay: str) -> None:
    config = TrainConfig(steps=100, warmup_steps=10, decay=decay, decay_fraction=0.5, lr_floor=0.1)
    factors = [lr_factor(config, step, step / 100) for step in range(101)]
    assert factors[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert factors[10:51] == pytest.approx([1.0] * 41)
    assert factors[75] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in zip(factors[50:], factors[51:], strict=False))


def test_without_warm_up_and_decay_the_rate_is_constant() -> None:
    config = TrainConfig(steps=10, warmup_steps=0, decay_fraction=0.0)
    assert {lr_factor(config, step, step / 10) for step in range(11)} == {1.0}
