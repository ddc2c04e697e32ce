"""What each strategy is about, on numbers small enough to follow."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nanohydra.adapters import AdapterWeights, LoraConfig, Pair, base_hash
from nanohydra.continual.config import ContinualConfig
from nanohydra.continual.distillation import divergences, mean_divergence
from nanohydra.continual.router import Router
from nanohydra.continual.run import run_strategy
from nanohydra.continual.strategies import STRATEGIES, check_options, make
from nanohydra.continual.strategies.agem import project
from nanohydra.continual.strategies.olora import overlap
from nanohydra.continual.writing import written
from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE
from nanohydra.testing_streams import LENGTH, ROWS, VOCAB, toy_lab, toy_stream
from nanohydra.training import Hook, train
from nanohydra.training.hooks import Moment


@pytest.fixture(scope="module")
def stream(tmp_path_factory) -> Any:
    return toy_stream(tmp_path_factory.mktemp("stream"))


def moment_of(lab) -> Moment:
    masters = {n: p.detach() for n, p in lab.model.named_parameters()}
    grads = {n: torch.zeros_like(p) for n, p in masters.items()}
    return Moment(model=lab.model, masters=masters, grads=grads, step=0)


def test_a_gradient_is_projected_only_where_it_points_against_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    grads = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
    reference = [torch.randn(3, 4, generator=generator), torch.randn(5, generator=generator)]
    flat, ref = (torch.cat([t.flatten() for t in ts]) for ts in (grads, reference))
    if flat @ ref > 0:
        reference, ref = [-t for t in reference], -ref
    project(grads, reference)
    found = torch.cat([t.flatten() for t in grads])
    torch.testing.assert_close(found, flat - (flat @ ref) / (ref @ ref) * ref)
    assert abs(float(found @ ref)) < 1e-5
    before = [t.clone() for t in grads]
    project(grads, [-t for t in grads])  # exactly against it: nothing is left
    assert max(float(t.abs().max()) for t in grads) < 1e-6
    project(before, before)  # along it: nothing changes
    torch.testing.assert_close(torch.cat([t.flatten() for t in before]), found)


def test_agem_compares_with_the_gradient_of_the_kept_rows(stream) -> None:
    lab = toy_lab(stream, options={"agem": {"rows": 3}})
    strategy: Any = make("agem", lab)
    strategy.tasks = (0,)
    old = next(lab.loader((0,), batches=1, seed=1))
    strategy.mix(old, moment_of(lab))
    moment = moment_of(lab)
    strategy.after_backward(moment)  # the first task has nothing before it
    assert not any(g.any() for g in moment.grads.values())
    logits = lab.model(old.ids_BT, segments_BT=old.segments_BT, positions_BT=old.positions_BT)
    loss = F.cross_entropy(logits.flatten(0, 1), old.labels_BT.flatten(), ignore_index=IGNORE)
    names = [name for name, _ in lab.model.named_parameters()]
    wanted = torch.autograd.grad(loss, list(lab.model.parameters()))
    found = strategy.reference(old, moment)
    for name, grad, expected in zip(names, found, wanted, strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-6, msg=name)
    assert all(p.grad is None for p in lab.model.parameters())


def test_subspaces_overlap_unless_they_are_orthogonal() -> None:
    eye = torch.eye(6)
    assert float(overlap({"q": eye[:2]}, {"q": eye[2:5]})) == 0.0
    new = (2 * eye[1:3]).requires_grad_()
    total = overlap({"q": eye[:2], "k": eye[:1]}, {"q": new, "k": -3 * eye[:1]})
    assert total.item() == 2.0 + 3.0  # |A_old A_new^T|: row 1 of q, and row 0 of k
    (grad,) = torch.autograd.grad(total, [new])
    assert torch.equal(grad, torch.stack([eye[1], torch.zeros(6)]))  # only what overlaps is drawn


def test_the_penalty_of_olora_is_felt_in_training(stream, tmp_path: Path) -> None:
    """Stronger, the subspaces end less alike; it is part of the loss that is logged, not 0.0."""

    def alike(strength: float) -> float:
        lab = toy_lab(stream, steps=40, options={"olora": {"strength": strength}})
        strategy: Any = make("olora", lab)
        for task in (0, 1):
            strategy.tasks = (task,)
            strategy.prepare()
            loader = lab.loader((task,), batches=40, seed=task)
            train(lab.model, loader, strategy.train_config, runtime=lab.runtime, hooks=[strategy])
            if task:
                with torch.no_grad():
                    penalty = strategy.penalty(next(loader, None), moment_of(lab))
                assert float(penalty) > 0 or not strength
            strategy.conclude()
        first, second = (
            {name: pair.a_RI for name, pair in weights.pairs.items()}
            for weights in strategy.adapters.values()
        )
        return float(overlap(first, second))

    assert alike(0.5) < 0.5 * alike(0.0)


def test_lwf_adds_the_divergence_from_the_model_before(stream) -> None:
    lab = toy_lab(stream, options={"lwf": {"strength": 2.0}})
    strategy: Any = make("lwf", lab)
    strategy.tasks = (0,)
    strategy.prepare()
    assert strategy.teacher is None and strategy.memory_bytes == 0
    strategy.tasks = (1,)
    strategy.prepare()
    before = copy.deepcopy(lab.model)
    with torch.no_grad():
        for p in lab.model.parameters():
            p.add_(0.05)
    batch = next(lab.loader((1,), batches=1, seed=1))
    found = strategy.train_step(batch, moment_of(lab))
    grads = [p.grad.clone() for p in lab.model.parameters()]
    lab.model.zero_grad()
    arguments = {"segments_BT": batch.segments_BT, "positions_BT": batch.positions_BT}
    mask = batch.labels_BT != IGNORE
    here = lab.model(batch.ids_BT, **arguments)[mask].log_softmax(-1)
    then = before(batch.ids_BT, **arguments)[mask].log_softmax(-1).detach()
    wanted = F.nll_loss(here, batch.labels_BT[mask])
    wanted = wanted + 2.0 * F.kl_div(here, then, log_target=True, reduction="batchmean")
    torch.testing.assert_close(found, wanted.detach())
    for grad, expected in zip(
        grads, torch.autograd.grad(wanted, list(lab.model.parameters())), strict=True
    ):
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=1e-6)
    assert strategy.memory_bytes == sum(p.nbytes for p in lab.model.parameters())


def test_divergence_in_parts_is_the_divergence(stream, monkeypatch) -> None:
    lab = toy_lab(stream)
    width = lab.model.config.hidden_size
    base, x = torch.randn(9, width), torch.randn(9, width, requires_grad=True)
    whole = mean_divergence(lab.model, base, lab.model, x)
    (expected,) = torch.autograd.grad(whole, [x])
    monkeypatch.setattr("nanohydra.continual.distillation.LOGITS_AT_ONCE", 2 * VOCAB)
    parts = mean_divergence(lab.model, base, lab.model, x)
    (found,) = torch.autograd.grad(parts, [x])
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(found, expected)
    assert divergences(lab.model, base, lab.model, base).abs().max().item() < 1e-6


def test_a_hook_may_take_the_place_of_the_passes(stream) -> None:
    """With the loss that the loop itself would take, the weights come out the same."""

    class Same(Hook):
        def train_step(self, batch, moment):
            logits = moment.model(
                batch.ids_BT, positions_BT=batch.positions_BT, segments_BT=batch.segments_BT
            )
            loss = F.cross_entropy(
                logits.flatten(0, 1), batch.labels_BT.flatten(), ignore_index=IGNORE
            )
            loss.backward()
            return loss.detach()

    weights, losses = [], []
    for hooks in ([], [Same()]):
        lab = toy_lab(stream)
        loader = lab.loader((0,), batches=8, seed=0)
        result = train(lab.model, loader, lab.config.train, runtime=lab.runtime, hooks=hooks)
        weights.append([p.detach() for p in lab.model.parameters()])
        losses.append(result.loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-4)


def test_adapters_of_an_oracle_never_forget_and_the_base_stays(stream, tmp_path: Path) -> None:
    lab = toy_lab(stream, steps=20)
    before = base_hash(lab.model)
    found = run_strategy("lora_per_task", lab, tmp_path)
    assert base_hash(lab.model) == before
    for task in range(len(stream)):
        column = [row[task] for row in found.R]
        assert len(set(column[: task + 1])) == 1  # the base answers what was not learned
        assert len(set(column[task + 1 :])) == 1 and column[-1] > column[0]
    assert found.added_parameters[-1] == 3 * found.added_parameters[0]
    assert found.memory_bytes[-1] == 4 * found.added_parameters[-1]


def test_nested_adapters_forget_nothing_either(stream, tmp_path: Path) -> None:
    lab = toy_lab(stream, steps=20)
    before = base_hash(lab.model)
    found = run_strategy("nested_lora", lab, tmp_path)
    assert base_hash(lab.model) == before
    for task in range(len(stream)):
        assert len({row[task] for row in found.R[task + 1 :]}) == 1


def test_a_router_tells_clouds_apart_and_abstains_far_from_all() -> None:
    generator = torch.Generator().manual_seed(0)

    def cloud(x: float, y: float, count: int = 60) -> torch.Tensor:
        points = torch.randn(count, 5, generator=generator, dtype=torch.float64)
        points[:, 0] = 10 * points[:, 0] + x  # so wide that distance alone would not tell them
        points[:, 1] += y
        return points

    router = Router()
    assert router.choose(cloud(0, 0, 2)) == [None, None]
    router.learn(0, cloud(0, 0))
    router.learn(4, cloud(3, 8))
    assert router.choose(cloud(3, 0)).count(0) >= 59
    assert router.choose(cloud(0, 8)).count(4) >= 59
    assert set(router.choose(cloud(0, 300, 9))) == {None}
    state = router.state_dict()
    again = Router()
    again.load_state_dict(state)
    probe = cloud(1, 4)
    assert again.choose(probe) == router.choose(probe)
    before = router.means[0].clone()
    router.learn(7, cloud(0, -20))
    assert torch.equal(router.means[0], before)


def test_a_model_writes_what_it_would_say(stream) -> None:
    """Rows begin with the prefix, labels are the next tokens, likely tokens are drawn most."""
    lab = toy_lab(stream)
    train(
        lab.model, lab.loader((0,), batches=60, seed=0), lab.config.train.__class__(
            steps=60, rows_per_step=ROWS, row_length=LENGTH, optimizer="adamw", lr=1e-2, eps=1e-8
        ), runtime=lab.runtime,
    )  # fmt: skip
    random = torch.Generator().manual_seed(0)
    batch = written(lab.model, (1,), count=130, length=LENGTH, random=random)
    assert batch.ids_BT.shape == batch.labels_BT.shape == (130, LENGTH)
    assert torch.equal(batch.ids_BT[:, 1:], batch.labels_BT[:, :-1])
    assert (batch.ids_BT[:, 0] == 1).all() and lab.model.training
    counted = (batch.labels_BT[:, 1:] - batch.ids_BT[:, 1:]) % (VOCAB - 2) == 1
    assert counted.float().mean() > 0.5  # the task is to count on by one
    logits = lab.model(batch.ids_BT).detach()
    mean_nll = float(F.cross_entropy(logits.flatten(0, 1), batch.labels_BT.flatten()))
    entropy = float(-(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean())
    assert abs(mean_nll - entropy) < 0.15  # drawn from the model's own distribution
    free = written(lab.model, (), count=3, length=4, random=random)
    assert (free.labels_BT != IGNORE).all()


def test_merging_all_of_one_change_is_that_task(stream, tmp_path: Path) -> None:
    """After one task the merged model is the task's own; after more it is worse at each of them."""
    lab = toy_lab(stream, steps=40, options={"merge_ties": {"density": 1.0}})
    naive = run_strategy("naive", toy_lab(stream, steps=40), tmp_path / "n")
    for name in ("merge_average", "merge_ties"):
        found = run_strategy(name, lab, tmp_path / name)
        assert found.R[1] == pytest.approx(naive.R[1], abs=1e-4)
        first = [row[0] for row in found.R]
        assert first[1] > first[2] > first[0] - 5.0  # type: ignore[operator]
        assert found.memory_bytes[-1] == 3 * sum(p.nbytes for p in lab.model.parameters())


def test_an_adapter_that_cannot_be_stacked_is_said(stream) -> None:
    lab = toy_lab(stream)
    config = ContinualConfig(
        train=lab.config.train,
        adapter_train=lab.config.adapter_train,
        adapter=LoraConfig(rank=2, kind="dora"),
    )
    strategy = make("nested_lora", type(lab)(**{**lab.__dict__, "config": config}))
    strategy.tasks = (0,)
    with pytest.raises(UserError, match="kind dora cannot be stacked"):
        strategy.prepare()


def test_options_are_those_of_the_strategy(stream) -> None:
    train_config = toy_lab(stream).config.train
    for options, words in (
        ({"ewk": {}}, "did you mean 'ewc'"),
        ({"ewc": {"strenght": 1}}, "did you mean 'strength'"),
        ({"naive": {"share": 1}}, "unknown key 'share'"),
        ({"replay": {"share": 1.0}}, "it lies in"),
    ):
        with pytest.raises(UserError, match=words):
            check_options(
                ContinualConfig(train=train_config, adapter_train=train_config, options=options)
            )
    assert "naive" in STRATEGIES


def test_packed_adapters_come_back() -> None:
    from nanohydra.continual.strategies.lora_per_task import packed, unpacked

    weights = AdapterWeights(
        config=LoraConfig(rank=2),
        base="b",
        pairs={"q": Pair(a_RI=torch.randn(2, 3), b_OR=torch.randn(4, 2))},
    )
    assert unpacked(packed(weights)).id == weights.id
