"""Weights on disk: a model folder in Hugging Face's layout, and the state of a training run."""

from typing import TYPE_CHECKING

from nanohydra.checkpoint.families import FAMILIES
from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.checkpoint.families.choice import family_of
    from nanohydra.checkpoint.folder import Loaded, load, load_model, save, stated_sampling
    from nanohydra.checkpoint.state import load_state, save_state

__all__ = [
    "FAMILIES",
    "Loaded",
    "family_of",
    "load",
    "load_model",
    "load_state",
    "save",
    "save_state",
    "stated_sampling",
]
_FOLDER, _STATE = "nanohydra.checkpoint.folder", "nanohydra.checkpoint.state"
__getattr__ = lazy_names(
    __name__,
    {
        "family_of": "nanohydra.checkpoint.families.choice",
        **dict.fromkeys(("Loaded", "load", "load_model", "save", "stated_sampling"), _FOLDER),
        **dict.fromkeys(("load_state", "save_state"), _STATE),
    },
)
