"""Exact nearest-neighbour indexes of one owner's vectors: FAISS, and its reference in NumPy.

They live in memory alone and are filled from the database. Exact search takes milliseconds for a
hundred thousand passages, and, unlike graphs, deletes without a trace.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nanohydra.memory.embedders import Vectors

Ids = NDArray[np.int64]


class VectorIndex(Protocol):
    """Vectors by id; similarities are inner products."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors (N, D) under new ids (N,)."""
        ...

    def remove(self, ids: Ids) -> None:
        """Remove those that are there."""
        ...

    def search(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The nearest ids to a vector (D,) with their similarities, the best first."""
        ...

    def similarity(self, id: int, vector: Vectors) -> float | None:
        """The similarity of one id, or None if it is not there."""
        ...

    def __len__(self) -> int: ...


def make_index(dimension: int) -> VectorIndex:
    """FAISS where it is installed, else the slower reference."""
    try:
        return FaissIndex(dimension)
    except ImportError:
        return NumpyIndex(dimension)


class FaissIndex:
    """A flat FAISS index with ids.

    Never call faiss.omp_set_num_threads: the OpenMP runtime is shared with torch, whose threads it
    would change. The search for one vector takes one thread anyway.
    """

    def __init__(self, dimension: int) -> None:
        faiss: Any = importlib.import_module("faiss")  # of the package faiss-cpu or faiss-gpu
        self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors under new ids."""
        if len(ids):
            self._index.add_with_ids(np.ascontiguousarray(vectors), ids)

    def remove(self, ids: Ids) -> None:
        """Remove those that are there."""
        if len(ids):
            self._index.remove_ids(ids)

    def search(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The nearest ids with their similarities, the best first."""
        limit = min(limit, len(self))
        if not limit:
            return []
        similarities, ids = self._index.search(vector[None], limit)
        return [(int(i), float(s)) for i, s in zip(ids[0], similarities[0], strict=True)]

    def similarity(self, id: int, vector: Vectors) -> float | None:
        """The similarity of one id, or None if it is not there."""
        try:
            return float(self._index.reconstruct(id) @ vector)
        except RuntimeError:  # how FAISS says that there is none
            return None


class NumpyIndex:
    """The same with one matrix."""

    def __init__(self, dimension: int) -> None:
        self._ids: Ids = np.zeros(0, dtype=np.int64)
        self._vectors: Vectors = np.zeros((0, dimension), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add vectors under new ids."""
        self._ids = np.concatenate([self._ids, ids])
        self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, ids: Ids) -> None:
        """Remove those that are there."""
        keep = ~np.isin(self._ids, ids)
        self._ids, self._vectors = self._ids[keep], self._vectors[keep]

    def search(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """The nearest ids with their similarities, the best first."""
        similarities = self._vectors @ vector
        order = np.argsort(-similarities, kind="stable")[:limit]
        return [(int(self._ids[i]), float(similarities[i])) for i in order]

    def similarity(self, id: int, vector: Vectors) -> float | None:
        """The similarity of one id, or None if it is not there."""
        where = np.flatnonzero(self._ids == id)
        return float(self._vectors[where[0]] @ vector) if len(where) else None
