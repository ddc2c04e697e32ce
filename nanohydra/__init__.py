"""nanohydra: the chat model that keeps learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded
    from nanohydra.checkpoint.hub import load
    from nanohydra.engine import SamplingParams
    from nanohydra.llm import LLM, AsyncLLM

__version__ = "0.1.0"
__all__ = ["LLM", "AsyncLLM", "Loaded", "SamplingParams", "__version__", "load"]
# So that `import nanohydra` does not import torch.
__getattr__ = lazy_names(
    __name__,
    {
        "AsyncLLM": "nanohydra.llm",
        "LLM": "nanohydra.llm",
        "Loaded": "nanohydra.checkpoint",
        "SamplingParams": "nanohydra.engine",
        "load": "nanohydra.checkpoint.hub",
    },
)
