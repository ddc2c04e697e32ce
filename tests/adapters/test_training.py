"""The one training loop on an attached adapter: only the factors move, by AdamW, in any dtype."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch

from nanohydra.adapters import LoraConfig, attach, attach_weights, base_hash
from nanohydra.adapters.base import exact_hash
from nanohydra.core.runtime import Runtime
from nanohydra.core.types import Batch
from nanohydra.model import Decoder
from nanohydra.training import TrainConfig, train
from nanohydra.training.groups import kind_of
from nanohydra.training.optimizers import AdamW, Optimizers
from nanohydra.training.precision import Weights

Make = Callable[..., Decoder]
CONFIG = TrainConfig(
    steps=12, optimizer="adamw", lr=1e-2, rows_per_step=4, row_length=16, warmup_steps=2
)


class Successors:
    """Rows that count upwards from anywhere."""

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0)
        while True:
            ids = (torch.randint(60, (4, 1), generator=generator) + torch.arange(17)) % 60
            yield Batch(
                ids_BT=ids[:, :-1],
                labels_BT=ids[:, 1:].contiguous(),
                positions_BT=torch.arange(16).expand(4, 16),
                segments_BT=torch.zeros(4, 16, dtype=torch.int64),
            )

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def runtime(dtype: torch.dtype) -> Runtime:
    return Runtime(device="cpu", dtype=dtype, threads=1)


@pytest.mark.parametrize(
    ("kind", "stored", "computed"),
    [
        ("qwen3", torch.float32, torch.float32),
        ("qwen3", torch.float32, torch.bfloat16),
        ("qwen3", torch.bfloat16, torch.float32),
        ("qwen3", torch.bfloat16, torch.bfloat16),
        ("lfm2", torch.float32, torch.bfloat16),
        ("gpt2", torch.float32, torch.bfloat16),
    ],
)
def test_only_the_factors_are_trained(
    make_model: Make, kind: str, stored: torch.dtype, computed: torch.dtype, ids_BT: torch.Tensor
) -> None:
    model = make_model(kind).to(stored)
    base, exact = base_hash(model), exact_hash(model)
    attached = attach(model, LoraConfig(rank=4))
    fresh = attached.weights(base)
    dtypes = set()

    def look(step: int, loss: float) -> None:
        dtypes.update(p.dtype for p in model.parameters())

    losses: list[float] = []
    result = train(
        model,
        Successors(),
        CONFIG,
        runtime=runtime(computed),
        on_step=lambda step, loss: (look(step, loss), losses.append(loss))[0],
    )
    assert result.step == 12 and losses[-1] < losses[0] - 0.1
    assert dtypes == {computed}  # frozen weights too
    assert exact_hash(model) == exact and base_hash(model) == base
    assert all(p.dtype == stored for n, p in model.named_parameters() if "lora_" not in n)
    assert all(p.dtype == torch.float32 and p.grad is None for p in attached.parameters())
    trained = attached.weights(base)
    for name, pair in trained.pairs.items():
        assert not torch.equal(pair.a_RI, fresh.pairs[name].a_RI)
        assert pair.b_OR.any()
    with torch.no_grad():
        logits = model(ids_BT)
        attached.detach()
        assert exact_hash(model) == exact
        attach_weights(model, trained)
        assert torch.equal(model(ids_BT), logits)


def test_training_is_reproducible(make_model: Make) -> None:
    ids = set()
    for _ in range(2):
        torch.manual_seed(0)
        model = make_model()
        attached = attach(model, LoraConfig(rank=4, dropout=0.1), seed=3)
        train(model, Successors(), CONFIG, runtime=runtime(torch.float32))
        ids.add(attached.weights(base_hash(model)).id)
    assert len(ids) == 1


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_factors_go_to_adamw_without_decay(make_model: Make, optimizer: Any) -> None:
    model = make_model()
    attach(model, LoraConfig(rank=4))
    weights = Weights(model, torch.float32)
    assert {stack.kind for stack in weights.stacks} == {"factor"}
    parts = Optimizers(weights, TrainConfig(steps=1, optimizer=optimizer)).parts
    assert len(parts) == 1 and isinstance(parts[0], AdamW)
    assert {group["weight_decay"] for group in parts[0].torch.param_groups} == {0.0}
    assert kind_of("blocks.0.mixer.q_proj.lora_a", torch.zeros(4, 8)) == "factor"


def test_an_adapter_trains_on_from_where_it_was(make_model: Make) -> None:
    model = make_model()
    base = base_hash(model)
    attached = attach(model, LoraConfig(rank=4))
    first = train(model, Successors(), CONFIG, runtime=runtime(torch.float32)).loss
    weights = attached.weights(base)
    attached.detach()
    attach_weights(model, weights)
    assert train(model, Successors(), CONFIG, runtime=runtime(torch.float32)).loss < first
