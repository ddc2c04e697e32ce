"""EWC: the Fisher against autograd on single examples, and against squares of batch means."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nanohydra.continual.fisher import fisher_diagonal
from nanohydra.continual.strategies.ewc import Ewc, EwcConfig, OnlineEwc
from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder, ModelConfig
from nanohydra.testing_streams import toy_lab, toy_stream
from nanohydra.training.hooks import Moment

VOCAB, ROWS, LENGTH = 11, 5, 6


@pytest.fixture
def model() -> Decoder:
    torch.manual_seed(3)
    return Decoder(
        ModelConfig(
            vocab_size=VOCAB,
            hidden_size=8,
            num_layers=1,
            num_heads=2,
            num_kv_heads=1,
            max_seq_len=16,
            tie_embeddings=False,
        )  # fmt: skip
    )


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, VOCAB, (ROWS, LENGTH + 1), generator=generator)
    labels = ids[:, 1:].clone()
    labels[0, :4] = IGNORE
    labels[3] = IGNORE  # a row without a target counts for nothing
    return Batch(
        ids_BT=ids[:, :-1],
        labels_BT=labels,
        positions_BT=torch.arange(LENGTH).expand(ROWS, LENGTH),
        segments_BT=torch.zeros(ROWS, LENGTH, dtype=torch.int64),
    )


def row_grads(model: Decoder, batch: Batch, labels: torch.Tensor) -> list[dict[str, Any]]:
    """The gradient of each row's log-likelihood, by plain autograd over the whole model."""
    found = []
    for row in range(ROWS):
        model.zero_grad()
        logits = model(batch.ids_BT[row : row + 1])[0]
        score = -F.cross_entropy(logits, labels[row], ignore_index=IGNORE, reduction="sum")
        score.backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    model.zero_grad()
    return found


def test_with_given_labels_it_is_the_mean_of_squared_row_gradients(model, batch) -> None:
    found = fisher_diagonal(model, [batch], random=torch.Generator(), labels="given")
    grads = row_grads(model, batch, batch.labels_BT)
    for name, fisher in found.items():
        wanted = sum(g[name].square() for g in grads) / batch.num_targets
        torch.testing.assert_close(fisher, wanted, rtol=1e-4, atol=1e-9)
    assert found.keys() == {name for name, _ in model.named_parameters()}


def test_with_sampled_labels_it_is_so_for_the_labels_drawn(model, batch) -> None:
    """The same labels are drawn here with the same generator."""
    random = torch.Generator().manual_seed(9)
    labels = torch.full_like(batch.labels_BT, IGNORE)
    for row in range(ROWS):
        mask = batch.labels_BT[row] != IGNORE
        if mask.any():
            chances = model(batch.ids_BT[row : row + 1])[0, mask].softmax(-1).detach()
            labels[row, mask] = torch.multinomial(chances, 1, generator=random)[:, 0]
    found = fisher_diagonal(model, [batch], random=torch.Generator().manual_seed(9))
    grads = row_grads(model, batch, labels)
    for name, fisher in found.items():
        wanted = sum(g[name].square() for g in grads) / batch.num_targets
        torch.testing.assert_close(fisher, wanted, rtol=1e-4, atol=1e-9)


def test_it_estimates_the_sum_over_all_labels(model, batch) -> None:
    """The exact Fisher of one place: every label, weighted by its probability."""
    one = Batch(
        ids_BT=batch.ids_BT[1:2],
        labels_BT=torch.where(torch.arange(LENGTH) == 3, batch.labels_BT[1:2], IGNORE),
        positions_BT=batch.positions_BT[1:2],
        segments_BT=batch.segments_BT[1:2],
    )
    exact = torch.zeros_like(model.head.weight)
    logs = model(one.ids_BT)[0, 3].log_softmax(-1)
    for label in range(VOCAB):
        (grad,) = torch.autograd.grad(logs[label], [model.head.weight], retain_graph=True)
        exact += logs[label].exp().detach() * grad.square()
    found = fisher_diagonal(model, [one] * 800, random=torch.Generator().manual_seed(1))
    ratio = found["head.weight"].sum() / exact.sum()
    assert 0.9 < float(ratio) < 1.1


def test_squaring_the_mean_of_a_batch_is_too_small_by_about_its_size(model) -> None:
    """What Avalanche does with batches above one; with one row in each the two agree.

    Its EWCPlugin averages, over batches, the square of the gradient of the batch's mean loss. For
    B independent rows that is E[g^2] / B, where E[g^2] is asked for.
    """
    torch.manual_seed(0)
    rows, size = 64, 16
    ids = torch.randint(0, VOCAB, (rows, 2))
    whole = Batch(
        ids_BT=ids[:, :1],
        labels_BT=ids[:, 1:],
        positions_BT=torch.zeros(rows, 1, dtype=torch.int64),
        segments_BT=torch.zeros(rows, 1, dtype=torch.int64),
    )
    mine = fisher_diagonal(model, [whole], random=torch.Generator().manual_seed(2))
    # The same labels for the other way.
    random = torch.Generator().manual_seed(2)
    chances = model(whole.ids_BT)[:, 0].softmax(-1).detach()
    labels = torch.cat([torch.multinomial(row[None], 1, generator=random) for row in chances])
    for batch_size, low, high in ((1, 0.999, 1.001), (size, 0.4 / size, 2.5 / size)):
        theirs = torch.zeros_like(model.head.weight)
        for first in range(0, rows, batch_size):
            part = slice(first, first + batch_size)
            logits = model(whole.ids_BT[part])[:, 0]
            loss = F.cross_entropy(logits, labels[part, 0])
            (grad,) = torch.autograd.grad(loss, [model.head.weight])
            theirs += grad.square()
        num_batches = rows // batch_size
        ratio = float((theirs / num_batches).sum() / mine["head.weight"].sum())
        assert low < ratio < high, (batch_size, ratio)


def moment_of(lab) -> Moment:
    masters = {n: p.detach() for n, p in lab.model.named_parameters()}
    grads = {n: torch.zeros_like(p) for n, p in masters.items()}
    return Moment(model=lab.model, masters=masters, grads=grads, step=0)


@pytest.fixture
def lab(tmp_path) -> Any:
    return toy_lab(toy_stream(tmp_path))


def pulled(strategy: Ewc, lab) -> dict[str, torch.Tensor]:
    moment = moment_of(lab)
    strategy.after_backward(moment)
    return dict(moment.grads)


def test_one_parabola_pulls_like_the_sum_of_those_of_all_tasks(lab) -> None:
    """With Fishers and weights of three tasks kept apart, as the paper writes it."""
    strategy = Ewc(lab, EwcConfig(strength=3.0, fisher_rows=4))
    kept = []
    for task in range(3):
        strategy.tasks = (task,)
        before = {n: f.clone() for n, f in strategy.fisher.items()}
        with torch.no_grad():
            for p in lab.model.parameters():
                p.add_(0.1 * torch.randn(p.shape, generator=strategy.random))
        strategy.conclude()
        fisher = {n: f - before.get(n, 0.0) for n, f in strategy.fisher.items()}
        kept.append((fisher, {n: p.detach().clone() for n, p in lab.model.named_parameters()}))
    with torch.no_grad():
        for p in lab.model.parameters():
            p.add_(0.1)
    wanted = {
        name: 3.0 * sum(f[name] * (p.detach() - old[name]) for f, old in kept)
        for name, p in lab.model.named_parameters()
    }
    for name, grad in pulled(strategy, lab).items():
        torch.testing.assert_close(grad, wanted[name], rtol=2e-3, atol=1e-6)
    assert strategy.memory_bytes == 2 * sum(p.nbytes for p in lab.model.parameters())


def test_online_the_old_fades_and_the_centre_moves(lab) -> None:
    strategy = OnlineEwc(lab, EwcConfig(strength=1.0, fisher_rows=4, decay=0.5))
    strategy.tasks = (0,)
    assert not any(grad.any() for grad in pulled(strategy, lab).values())
    strategy.conclude()
    first = {n: f.clone() for n, f in strategy.fisher.items()}
    assert not any(grad.any() for grad in pulled(strategy, lab).values())  # at the centre
    with torch.no_grad():
        lab.model.embed.weight.add_(1.0)
    moved = pulled(strategy, lab)
    torch.testing.assert_close(moved["embed.weight"], first["embed.weight"])
    strategy.config = EwcConfig(strength=1.0, fisher_rows=4, decay=0.0)
    strategy.conclude()
    assert not any(grad.any() for grad in pulled(strategy, lab).values())
    assert not torch.equal(strategy.fisher["embed.weight"], first["embed.weight"])
