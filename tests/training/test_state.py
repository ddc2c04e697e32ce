"""Training states survive packing, the disk, and keep the random numbers going."""

from __future__ import annotations

import json
import random

import numpy as np
import torch

from nanohydra.training.state import pack, random_state, set_random_state, unpack


def test_pack_and_unpack_nested_values() -> None:
    state = {
        "a": [1, 2.5, None, True, "x"],
        "b": {"t": torch.arange(3), "n": np.arange(4, dtype=np.uint64)},
        "c": [{"deep": torch.ones(2, 2)}],
    }
    tensors: dict[str, torch.Tensor] = {}
    packed = json.loads(json.dumps(pack(state, "state", tensors)))
    assert sorted(tensors) == ["state/b/n", "state/b/t", "state/c/0/deep"]
    back = unpack(packed, tensors)
    assert back["a"] == state["a"]
    assert torch.equal(back["b"]["t"], torch.arange(3))
    assert isinstance(back["b"]["n"], np.ndarray) and back["b"]["n"].dtype == np.uint64
    assert torch.equal(back["c"][0]["deep"], torch.ones(2, 2))


def draw() -> tuple[float, float, float, float, float]:
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.normal()),
        float(torch.rand(())),
    )


def test_random_numbers_continue() -> None:
    draw()
    tensors: dict[str, torch.Tensor] = {}
    packed = json.loads(json.dumps(pack(random_state(), "random", tensors)))
    expected = [draw() for _ in range(3)]
    set_random_state(unpack(packed, tensors))
    assert [draw() for _ in range(3)] == expected
