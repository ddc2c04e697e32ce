"""What every strategy must do, over the table: a line in it is a line of this test."""

from __future__ import annotations

import re
import signal
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from nanohydra.continual.run import Interrupted, Watch, base_scores, run_strategy
from nanohydra.continual.strategies import STRATEGIES, make
from nanohydra.continual.strategy import RANDOM, tensor_bytes
from nanohydra.testing_streams import toy_lab, toy_stream

ROW_BYTES = 4 * 16 * 2  # of the toy stream, in 16 bits
BUDGET = 10 * ROW_BYTES + 7
OPTIONS = {  # of whatever strategy has them
    "budget_bytes": BUDGET,
    "fisher_rows": 8,
    "rows": 8,
    "strength": 1.0,
    "density": 0.9,
}


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> Any:
    return toy_stream(tmp_path_factory.mktemp("stream"))


def options_of(name: str) -> dict[str, dict[str, Any]]:
    fields = STRATEGIES.load(name).Config.__dataclass_fields__
    return {name: {key: value for key, value in OPTIONS.items() if key in fields}}


class StopAt:
    """A tracker that sends a signal when a step is logged."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, step: int, metrics) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGTERM)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float32) for name in STRATEGIES]
    + [(name, torch.bfloat16) for name in ("naive", "replay", "ewc", "lora_per_task")],
)
def test_resumed_equals_uninterrupted(name: str, dtype, stream, tmp_path: Path) -> None:
    """Killed within the second stage, between steps; and the matrix is whole and finite."""
    whole = toy_lab(stream, dtype=dtype, options=options_of(name), seed=1)
    expected = run_strategy(name, whole, tmp_path / "whole")
    stages = make(name, whole).stages()
    for t, row in enumerate(expected.R):
        evaluated = t == 0 or any(tasks[-1] == t - 1 for tasks in stages)
        assert all((score is not None) == evaluated for score in row)
    again = toy_lab(stream, dtype=dtype, options=options_of(name), seed=1)
    started: list[str] = []
    with pytest.raises(Interrupted):
        run_strategy(
            name, again, tmp_path / "killed",
            watch=Watch(tracker=lambda title, steps: stopping(started, title, len(stages))),
        )  # fmt: skip
    resumed = toy_lab(stream, dtype=dtype, options=options_of(name), seed=1)
    found = run_strategy(name, resumed, tmp_path / "killed")
    assert found.R == expected.R
    assert (found.memory_bytes, found.added_parameters) == (
        expected.memory_bytes, expected.added_parameters,
    )  # fmt: skip
    for (key, one), (_, other) in zip(
        whole.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), key
    assert not (tmp_path / "killed").exists()


def stopping(started: list[str], title: str, num_stages: int) -> StopAt | None:
    started.append(title)
    return StopAt(4) if len(started) == min(2, num_stages) else None


@pytest.mark.parametrize("name", STRATEGIES)
def test_memory_stays_within_its_bound(name: str, stream, tmp_path: Path) -> None:
    """A budget is kept; without one, at most a few copies of the weights for each task."""
    lab = toy_lab(stream, options=options_of(name))
    found = run_strategy(name, lab, tmp_path)
    weights = sum(p.nbytes for p in lab.model.parameters())
    config = make(name, lab).config
    known = [number for number in found.memory_bytes if number is not None]
    if hasattr(config, "budget_bytes"):
        assert 0 < known[-1] <= BUDGET
    else:
        assert known[-1] <= 2 * weights * len(stream)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_learns_and_says_what_it_keeps(name: str, stream, tmp_path: Path) -> None:
    lab = toy_lab(stream, steps=30, options=options_of(name))
    base = base_scores(lab)
    found = run_strategy(name, lab, tmp_path, base_row=base)
    assert found.R[0] == base
    last = len(stream) - 1
    final, before = found.R[last + 1][last], base[last]
    assert final is not None and before is not None and final > before + 0.1
    state = make(name, lab).state_dict()
    assert RANDOM in state and tensor_bytes(state) >= 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_base_is_given_back(name: str, stream, tmp_path: Path) -> None:
    """No adapter stays on the model, and every parameter is trained again by whoever comes next."""
    lab = toy_lab(stream, steps=2, options=options_of(name))
    names = [key for key, _ in lab.model.named_parameters()]
    run_strategy(name, lab, tmp_path)
    assert [key for key, _ in lab.model.named_parameters()] == names
    assert all(p.requires_grad and p.dtype == torch.float32 for p in lab.model.parameters())


def test_the_example_of_contributing_works(stream, tmp_path: Path, monkeypatch) -> None:
    """Its code as a module and its line in the table: no more is needed."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = text.partition("## A strategy against forgetting")[2].partition("\n## ")[0]
    code = textwrap.dedent(part.partition("```python\n")[2].partition("```")[0])
    name, target = re.findall(r'"(\w+)": "(nanohydra\.[\w.]+:\w+)"', part)[0]
    module = types.ModuleType(target.partition(":")[0])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(
        "from dataclasses import dataclass\n"
        "from nanohydra.continual.strategy import Strategy\n" + code,
        module.__dict__,
    )
    monkeypatch.setitem(STRATEGIES.entries, name, target)
    ends = []
    for strength in (0.0, 1.0):
        lab = toy_lab(stream, options={name: {"strength": strength}})
        ends.append(run_strategy(name, lab, tmp_path / str(strength)).R)
    assert ends[0] == run_strategy("naive", toy_lab(stream), tmp_path / "naive").R != ends[1]
