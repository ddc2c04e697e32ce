"""nanohydra: the chat model that keeps learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded
    from nanohydra.checkpoint.hub import load

__version__ = "0.1.0"
__all__ = ["Loaded", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Load the public names lazily, so that `import nanohydra` does not import torch."""
    if name == "load":
        from nanohydra.checkpoint.hub import load

        return load
    if name == "Loaded":
        from nanohydra.checkpoint import Loaded

        return Loaded
    raise AttributeError(f"module 'nanohydra' has no attribute {name!r}")
