"""Documents to rows of tokens: sources, cleaning, shards, packing, mixtures, resumable loader."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.data.clean import Cleaner
    from nanohydra.data.config import (
        CleanConfig,
        LoaderConfig,
        Phase,
        QualityConfig,
        SourceConfig,
    )
    from nanohydra.data.loader import Loader
    from nanohydra.data.preparation import open_split, prepare
    from nanohydra.data.records import record_text
    from nanohydra.data.shard_writer import ShardWriter
    from nanohydra.data.shards import Shards
    from nanohydra.data.sources import SOURCES, Source, open_source

__all__ = [
    "SOURCES",
    "CleanConfig",
    "Cleaner",
    "Loader",
    "LoaderConfig",
    "Phase",
    "QualityConfig",
    "ShardWriter",
    "Shards",
    "Source",
    "SourceConfig",
    "open_source",
    "open_split",
    "prepare",
    "record_text",
]
_CONFIG = "nanohydra.data.config"
__getattr__ = lazy_names(
    __name__,
    {
        "CleanConfig": _CONFIG,
        "Cleaner": "nanohydra.data.clean",
        "Loader": "nanohydra.data.loader",
        "LoaderConfig": _CONFIG,
        "Phase": _CONFIG,
        "QualityConfig": _CONFIG,
        "SOURCES": "nanohydra.data.sources",
        "ShardWriter": "nanohydra.data.shard_writer",
        "Shards": "nanohydra.data.shards",
        "Source": "nanohydra.data.sources",
        "SourceConfig": _CONFIG,
        "open_source": "nanohydra.data.sources",
        "open_split": "nanohydra.data.preparation",
        "prepare": "nanohydra.data.preparation",
        "record_text": "nanohydra.data.records",
    },
)
