"""Calls of an engine's model with one of its adapters, between its steps: for embeddings, scores.

In the engine's thread alone, as its steps use the same layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nanohydra.adapters.batch import RowAdapters
from nanohydra.engine.engine import Engine


@contextmanager
def adapted(engine: Engine, id: str | None) -> Iterator[None]:
    """Within it, the model computes one row with this adapter; None is the model itself.

    The caller holds the adapter. Raises UserError if it is not loaded.
    """
    if id is None:
        yield
        return
    adapter = engine.adapters.pin(id, held=True)
    try:
        with RowAdapters(engine.model, 1).plan([adapter]):
            yield
    finally:
        engine.adapters.release(id)
