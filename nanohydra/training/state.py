"""A training state as flat tensors and plain JSON, and the random states that belong to it.

Knows nothing of files: checkpoint.save_state writes what is packed here, without pickle.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

MARK = "__tensor__"


def pack(value: Any, prefix: str, tensors: dict[str, Tensor]) -> Any:
    """Nested dicts and lists -> JSON values; tensors and arrays move to `tensors`, by path."""
    if isinstance(value, (Tensor, np.ndarray)):
        tensors[prefix] = value if isinstance(value, Tensor) else torch.from_numpy(value.copy())
        return {MARK: prefix, "numpy": isinstance(value, np.ndarray)}
    if isinstance(value, Mapping):
        assert all(isinstance(key, str) for key in value), "a state has names for keys"
        return {key: pack(item, f"{prefix}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(item, f"{prefix}/{i}", tensors) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    assert value is None or isinstance(value, (str, int, float, bool)), f"cannot save {value!r}"
    return value


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`, except that tuples come back as lists."""
    if isinstance(value, dict):
        if MARK in value:
            tensor = tensors[value[MARK]]
            return tensor.numpy() if value["numpy"] else tensor
        return {key: unpack(item, tensors) for key, item in value.items()}
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    return value


def random_state() -> dict[str, Any]:
    """The states of Python's, numpy's and torch's global generators."""
    version, numbers, gauss = random.getstate()
    state: dict[str, Any] = {
        "python": [version, list(numbers), gauss],
        "numpy": list(np.random.get_state(legacy=True)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Continue exactly where `random_state` was taken."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
