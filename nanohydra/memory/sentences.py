"""Embeddings by the library sentence-transformers: any of its models, by name or from a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nanohydra.core.errors import UserError
from nanohydra.memory.embedders import Vectors, optional


class SentenceTransformers:
    """The embedder `sentence-transformers:MODEL`. A name is looked up on the hub, if need be.

    Vectors are stored under the model's name: a folder whose weights change needs a new name.
    """

    def __init__(self, model: str = "", *, device: str = "cpu") -> None:
        if not model:
            raise UserError(
                "sentence-transformers needs a model: "
                '"sentence-transformers:NAME" or "sentence-transformers:FOLDER"'
            )
        library = optional("sentence_transformers", "embedder 'sentence-transformers'")
        if Path(model).is_absolute() and not Path(model).is_dir():
            raise UserError(f"there is no folder {model}")
        try:
            self._model: Any = library.SentenceTransformer(model, device=device)
        except Exception as error:  # the hub's errors are of many kinds
            raise UserError(f"cannot load the embedding model {model!r}: {error}") from error
        self.name = f"sentence-transformers:{model}"
        self.dimension = len(self.encode(["a"])[0])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (N, dimension)."""
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)

    def is_common(self, word: str) -> bool:
        """Whether it is a single token of the model's vocabulary."""
        return len(self._model.tokenizer.tokenize(word)) == 1
