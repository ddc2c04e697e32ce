"""The contract of hooks: when each moment comes, what it may change, what it costs if absent."""

from __future__ import annotations

import torch

from nanohydra.training import Checkpointer, Hook, TrainConfig, train
from nanohydra.training.hooks import overriding

CONFIG = TrainConfig(steps=3, rows_per_step=6, row_length=12, warmup_steps=0, clip_norm=0.0)


class Recorder(Hook):
    """Takes part in every moment and counts."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.total = torch.zeros(2)

    def begin_task(self, moment) -> None:
        self.calls.append(f"begin {moment.step}")

    def mix(self, batch, moment):
        self.calls.append(f"mix {moment.step}")
        return batch

    def penalty(self, batch, moment):
        self.calls.append(f"penalty {moment.step}")
        return None

    def after_backward(self, moment) -> None:
        assert not torch.is_grad_enabled()
        self.calls.append(f"backward {moment.step}")

    def after_step(self, moment) -> None:
        self.calls.append(f"step {moment.step}")
        self.total += 1

    def end_task(self, moment) -> None:
        self.calls.append(f"end {moment.step}")

    def state_dict(self):
        return {"total": self.total, "calls": list(self.calls)}

    def load_state_dict(self, state) -> None:
        self.total, self.calls = state["total"], state["calls"]


def test_every_moment_comes_in_its_order(make_model, make_loader, float32) -> None:
    hook = Recorder()
    train(make_model(), make_loader(), CONFIG, runtime=float32, hooks=[hook])
    per_step = ["mix {0}", "penalty {0}", "backward {0}", "step {1}"]
    middle = [call.format(step, step + 1) for step in range(3) for call in per_step]
    assert hook.calls == ["begin 0", *middle, "end 3"]


def test_state_comes_back_before_the_task_goes_on(
    make_model, make_loader, float32, tmp_path
) -> None:
    checkpointer = Checkpointer(tmp_path)
    config = TrainConfig(**{**CONFIG.__dict__, "checkpoint_every": 2})
    whole = Recorder()
    train(
        make_model(), make_loader(), config, runtime=float32, hooks=[whole],
        checkpointer=checkpointer,
    )  # fmt: skip
    states = checkpointer.saved()
    for path in states[1:]:
        path.rename(tmp_path / "later")
    again = Recorder()
    train(
        make_model(), make_loader(), config, runtime=float32, hooks=[again],
        checkpointer=checkpointer, resume=True,
    )  # fmt: skip
    assert torch.equal(again.total, whole.total)
    assert [call for call in again.calls if call != "begin 2"] == whole.calls


def test_a_penalty_adds_its_gradient_once(make_model, make_loader, float32) -> None:
    class Decay(Hook):
        def penalty(self, batch, moment):
            return 0.5 * sum(p.square().sum() for p in moment.model.parameters())

        def after_backward(self, moment) -> None:
            self.grads = {n: g.clone() for n, g in moment.grads.items()}

    class Plain(Hook):
        def after_backward(self, moment) -> None:
            self.grads = {n: g.clone() for n, g in moment.grads.items()}

    config = TrainConfig(steps=1, rows_per_step=6, row_length=12, micro_rows=2)
    with_penalty, without = Decay(), Plain()
    before = {n: p.detach().clone() for n, p in make_model().named_parameters()}
    for hook in (with_penalty, without):
        train(make_model(), make_loader(), config, runtime=float32, hooks=[hook])
    for name, weight in before.items():
        expected = without.grads[name] + weight
        torch.testing.assert_close(with_penalty.grads[name], expected, rtol=1e-4, atol=1e-6)


def test_gradients_and_weights_may_be_changed(make_model, make_loader, bfloat16) -> None:
    class Freeze(Hook):
        """No gradient, and a weight set by hand."""

        def after_backward(self, moment) -> None:
            for grad in moment.grads.values():
                grad.zero_()

        def after_step(self, moment) -> None:
            moment.masters["final_norm.weight"].fill_(2.0)

    model = make_model()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    config = TrainConfig(steps=2, rows_per_step=6, row_length=12, weight_decay=0.0)
    train(model, make_loader(), config, runtime=bfloat16, hooks=[Freeze()])
    for name, parameter in model.named_parameters():
        wanted = torch.full_like(parameter, 2.0) if name == "final_norm.weight" else before[name]
        assert torch.equal(parameter, wanted)


def test_a_moment_that_is_not_overridden_is_not_called() -> None:
    class Mixes(Hook):
        def mix(self, batch, moment):
            return batch

    class Inherits(Mixes):
        pass

    hooks = [Hook(), Mixes(), Inherits()]
    assert overriding(hooks, "mix") == tuple(hooks[1:])
    assert overriding(hooks, "penalty") == ()
