"""nanohydra: the chat model that keeps learning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded, load

__version__ = "0.1.0"
__all__ = ["Loaded", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Load the public names lazily, so that `import nanohydra` does not import torch."""
    if name in ("Loaded", "load"):
        from nanohydra import checkpoint

        return getattr(checkpoint, name)
    raise AttributeError(f"module 'nanohydra' has no attribute {name!r}")
