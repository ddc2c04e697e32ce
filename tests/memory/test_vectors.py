"""FAISS gives what the reference in NumPy gives, and leaves torch's threads alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
import torch

from nanohydra.memory.vectors import FaissIndex, NumpyIndex, VectorIndex, make_index

needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec("faiss") is None, reason="needs faiss-cpu"
)
KINDS = [pytest.param(FaissIndex, marks=needs_faiss), NumpyIndex]


def unit(count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_add_search_remove(kind: Callable[[int], VectorIndex]) -> None:
    index = kind(8)
    vectors = unit(20, 0)
    assert index.search(vectors[0], 5) == [] and len(index) == 0
    index.add(np.arange(100, 120), vectors)
    index.add(np.zeros(0, dtype=np.int64), np.zeros((0, 8), dtype=np.float32))
    best = index.search(vectors[3], 4)
    assert best[0] == (103, pytest.approx(1.0)) and len(best) == 4
    assert [s for _, s in best] == sorted((s for _, s in best), reverse=True)
    index.remove(np.array([103, 104, 999]))
    index.remove(np.zeros(0, dtype=np.int64))
    assert len(index) == 18 and 103 not in dict(index.search(vectors[3], 50))
    assert index.similarity(103, vectors[3]) is None
    assert index.similarity(105, vectors[5]) == pytest.approx(1.0)


@needs_faiss
def test_faiss_equals_the_reference() -> None:
    ours, reference = make_index(8), NumpyIndex(8)
    assert isinstance(ours, FaissIndex)
    for index in (ours, reference):
        index.add(np.arange(50), unit(50, 1))
        index.remove(np.arange(0, 50, 7))
        index.add(np.arange(60, 80), unit(20, 2))
    for query in unit(10, 3):
        a, b = ours.search(query, 10), reference.search(query, 10)
        assert [i for i, _ in a] == [i for i, _ in b]
        assert [s for _, s in a] == pytest.approx([s for _, s in b], abs=1e-6)


@needs_faiss
def test_faiss_leaves_the_threads_of_torch_alone() -> None:
    before = torch.get_num_threads()
    index = FaissIndex(8)
    index.add(np.arange(50), unit(50, 1))
    index.search(unit(1, 2)[0], 5)
    index.remove(np.arange(5))
    assert torch.get_num_threads() == before
