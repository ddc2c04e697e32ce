"""Documents -> passages with sources: remember at once, find by words and meaning, cite, forget."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.memory.chunking import ChunkConfig, split_passages, split_sentences
from nanohydra.memory.embedders import EMBEDDERS, Embedder, load_embedder
from nanohydra.memory.types import Hit, Passage, Source, SourceInfo

if TYPE_CHECKING:
    from nanohydra.memory.memory import Memory, MemoryConfig

__all__ = [
    "EMBEDDERS",
    "ChunkConfig",
    "Embedder",
    "Hit",
    "Memory",
    "MemoryConfig",
    "Passage",
    "Source",
    "SourceInfo",
    "load_embedder",
    "split_passages",
    "split_sentences",
]
__getattr__ = lazy_names(
    __name__,
    {"Memory": "nanohydra.memory.memory", "MemoryConfig": "nanohydra.memory.memory"},
)
