"""A model inside your own program: texts in, texts out, in batches or as streams; no server."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.llm.outputs import Output, Sample

if TYPE_CHECKING:
    from nanohydra.llm.offline import LLM
    from nanohydra.llm.online import AsyncLLM

__all__ = ["LLM", "AsyncLLM", "Output", "Sample"]
__getattr__ = lazy_names(
    __name__, {"LLM": "nanohydra.llm.offline", "AsyncLLM": "nanohydra.llm.online"}
)
