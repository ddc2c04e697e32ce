"""The loop: what it computes per step, when it stops, what it keeps and what it says."""

from __future__ import annotations

import gc
import itertools
import math
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE
from nanohydra.training import Checkpointer, TrainConfig, loop, train
from nanohydra.training.precision import Weights

CONFIG = TrainConfig(
    steps=4, rows_per_step=6, row_length=12, warmup_steps=0, lr=0.01, muon_lr=0.02, log_every=2
)


class Rows(list):
    """A tracker that remembers."""

    def log(self, step, metrics):
        self.append((step, dict(metrics)))

    def close(self):
        pass


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns(make_model, make_loader, request, optimizer, precision) -> None:
    model = make_model(hidden_size=32)
    runtime = request.getfixturevalue(precision)
    config = replace(CONFIG, steps=80, optimizer=optimizer, log_every=1)
    rows, batch = Rows(), make_loader().batch(1)
    result = train(model, itertools.repeat(batch), config, runtime=runtime, tracker=rows)
    assert rows[0][1]["loss"] > 2.5 and result.loss < 0.5
    assert result.stopped == "finished" and result.step == 80
    assert result.tokens == 80 * 72 and result.tokens_per_second > 0
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Gradients:
    """Remembers the gradient of the first step."""

    def __new__(cls):
        from nanohydra.training import Hook

        class Keep(Hook):
            grads: dict[str, torch.Tensor] = {}

            def after_backward(self, moment):
                if not moment.step:
                    self.grads = {n: g.clone() for n, g in moment.grads.items()}

        return Keep()


@pytest.mark.parametrize("micro_rows", [0, 1, 2, 4])
def test_the_gradient_is_of_the_mean_over_all_targets(
    make_model, make_loader, float32, micro_rows
) -> None:
    """Whatever the split into micro-batches, whose numbers of targets differ."""
    reference, batch = make_model(), make_loader().batch(1)
    F.cross_entropy(
        reference(batch.ids_BT).flatten(0, 1), batch.labels_BT.flatten(), ignore_index=IGNORE
    ).backward()
    keep = Gradients()
    config = replace(CONFIG, steps=1, micro_rows=micro_rows)
    train(make_model(), make_loader(), config, runtime=float32, hooks=[keep])
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(keep.grads[name], parameter.grad, rtol=1e-4, atol=1e-7)


def test_clipping_bounds_the_global_norm(make_model, make_loader, float32) -> None:
    model, norms = make_model(), []

    class Small(Weights):
        def scale_grads(self, factor):
            super().scale_grads(factor)
            norms.append(float(self.grad_norm()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nanohydra.training.loop.Weights", Small)
        train(model, make_loader(), replace(CONFIG, clip_norm=0.05), runtime=float32)
    assert norms == pytest.approx([0.05] * 4, rel=1e-5)


class MaskedLoader:
    """Masks every label of some rows, or of the whole batch at some steps."""

    def __init__(self, inner, rows=(), steps=()):
        self.inner, self.rows, self.steps = inner, list(rows), steps

    def __iter__(self):
        for number, batch in enumerate(self.inner, start=1):
            labels = batch.labels_BT.clone()
            labels[self.rows] = IGNORE
            if number in self.steps:
                labels[:] = IGNORE
            yield replace(batch, labels_BT=labels)

    def state_dict(self):
        return self.inner.state_dict()


def test_rows_and_steps_without_a_target_do_no_harm(make_model, make_loader, float32) -> None:
    model, losses = make_model(), []
    loader = MaskedLoader(make_loader(), rows=[0, 3], steps=[2])
    config = replace(CONFIG, micro_rows=1)
    train(model, loader, config, runtime=float32, on_step=lambda step, loss: losses.append(loss))
    assert losses[1] == 0.0 and all(math.isfinite(loss) for loss in losses)
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_broken_step_changes_and_saves_nothing(
    make_model, make_loader, bfloat16, tmp_path: Path
) -> None:
    good, model = make_model(), make_model()
    train(good, make_loader(), replace(CONFIG, steps=3, decay_fraction=0.0), runtime=bfloat16)

    def poison(step, loss):
        if step == 3:
            model.final_norm.weight.data[0] = float("nan")  # the copy that computes

    config = replace(CONFIG, steps=5, decay_fraction=0.0, checkpoint_every=2)
    checkpointer = Checkpointer(tmp_path)
    with pytest.raises(UserError, match=r"step 4: the loss is nan.*step-00000002.*train\.lr"):
        train(
            model, make_loader(), config, runtime=bfloat16, checkpointer=checkpointer,
            on_step=poison,
        )  # fmt: skip
    assert same(weights_of(model), weights_of(good))
    assert [path.name for path in checkpointer.saved()] == ["step-00000002"]


def test_divergence_is_told_from_noise(make_model, make_loader, float32) -> None:
    config = replace(CONFIG, steps=40, muon_lr=0.0, lr=0.0, divergence_factor=1.5)

    def spoil(step, loss):
        if step == 30:
            model.final_norm.weight.data *= 1000

    model = make_model()
    with pytest.raises(UserError, match=r"step 31: the loss jumped to .* start again"):
        train(model, make_loader(), config, runtime=float32, on_step=spoil)
    model = make_model()
    off = replace(config, divergence_factor=0.0)
    assert train(model, make_loader(), off, runtime=float32, on_step=spoil).step == 40


def test_a_time_budget_ends_the_run_with_its_decay_complete(
    make_model, make_loader, float32, monkeypatch
) -> None:
    clock = itertools.count()
    # The loop's own name for it: event loops of other tests' threads live by the real clock.
    fake = SimpleNamespace(monotonic=lambda: next(clock) * 0.1)
    monkeypatch.setattr(loop, "time", fake)
    rows = Rows()
    config = replace(CONFIG, steps=10**6, max_seconds=30.0, log_every=1)
    result = train(make_model(), make_loader(), config, runtime=float32, tracker=rows)
    assert result.stopped == "time" and 10 < result.step < 300
    assert rows[0][1]["lr"] == CONFIG.muon_lr and rows[-1][0] == result.step
    assert rows[-1][1]["lr"] < 0.1 * CONFIG.muon_lr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step(
    make_model, make_loader, float32, tmp_path, number
) -> None:
    before = signal.getsignal(number)
    checkpointer = Checkpointer(tmp_path)
    result = train(
        make_model(), make_loader(), CONFIG, runtime=float32, checkpointer=checkpointer,
        on_step=lambda step, loss: signal.raise_signal(number) if step == 2 else None,
    )  # fmt: skip
    assert result.stopped == signal.Signals(number).name and result.step == 2
    assert checkpointer.latest_step() == 2
    assert signal.getsignal(number) is before


def test_a_second_signal_does_not_wait(make_model, make_loader, float32) -> None:
    def twice(step, loss):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(make_model(), make_loader(), CONFIG, runtime=float32, on_step=twice)


def test_the_garbage_collector_rests_and_comes_back(make_model, make_loader, float32) -> None:
    enabled = []
    train(
        make_model(), make_loader(), CONFIG, runtime=float32,
        on_step=lambda step, loss: enabled.append(gc.isenabled()),
    )  # fmt: skip
    assert not any(enabled) and gc.isenabled() and gc.get_freeze_count() == 0


def test_metrics_validation_and_samples_come_when_due(make_model, make_loader, float32) -> None:
    model, rows, modes = make_model(dropout=0.1), Rows(), []

    def validate():
        modes.append((model.training, torch.is_grad_enabled()))
        torch.rand(5)
        return {"val_loss": 1.5}

    sampled = []
    config = replace(CONFIG, steps=7, log_every=2, validate_every=3, sample_every=5)
    result = train(
        model.eval(), make_loader(), config, runtime=float32, tracker=rows, validate=validate,
        sample=lambda: sampled.append(model.training),
    )  # fmt: skip
    assert [step for step, _ in rows] == [2, 3, 4, 6, 7]
    assert [step for step, m in rows if "val_loss" in m] == [3, 6, 7]
    assert [step for step, m in rows if "loss" in m] == [2, 4, 6, 7]
    assert modes == [(False, False)] * 3 and sampled == [False] * 2
    assert not model.training  # as it was before
    wanted = {"loss", "grad_norm", "lr", "tokens_per_second", "tokens", "seconds"}
    assert wanted <= result.metrics.keys() and result.metrics["val_loss"] == 1.5
    assert result.metrics["peak_memory_bytes"] > 1e6


def test_looking_does_not_change_the_run(make_model, make_loader, float32) -> None:
    quiet, watched = make_model(dropout=0.2), make_model(dropout=0.2)
    torch.manual_seed(0)
    train(quiet, make_loader(), CONFIG, runtime=float32)
    torch.manual_seed(0)
    train(
        watched, make_loader(), replace(CONFIG, sample_every=1), runtime=float32,
        sample=lambda: torch.rand(3),
    )  # fmt: skip
    assert same(weights_of(quiet), weights_of(watched))


def test_data_that_ends_too_early_is_an_error(make_model, make_loader, float32) -> None:
    class Short(MaskedLoader):
        def __iter__(self):
            return iter([self.inner.batch(1), self.inner.batch(2)])

    with pytest.raises(UserError, match="data ended after step 2 of 4"):
        train(make_model(), Short(make_loader()), CONFIG, runtime=float32)
