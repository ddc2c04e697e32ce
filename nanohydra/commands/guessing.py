"""Options of commands whose engine may guess tokens ahead, and the draft model that they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nanohydra.commands.options import AnsweringOptions
from nanohydra.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from nanohydra.model import Decoder


@dataclass(frozen=True, kw_only=True)
class GuessingOptions(AnsweringOptions):
    """Options of a command that answers with an engine."""

    speculation: Literal["off", "ngram", "draft"] = "off"
    """Guess tokens and check several at once: from the text itself, or with --draft."""
    draft: Path | None = None
    """Folder of a smaller model with the same tokenizer, which guesses."""


def engine_settings(options: GuessingOptions) -> dict[str, Any]:
    """The fields of EngineConfig. Raises UserError for options that contradict each other."""
    if (options.draft is not None) != (options.speculation == "draft"):
        raise UserError(
            f"--speculation {options.speculation} and --draft {options.draft} do not go together; "
            "a draft model guesses with --speculation draft --draft FOLDER"
        )
    return {"speculation": options.speculation}


def load_draft(folder: Path | None, device: str, dtype: torch.dtype | None) -> Decoder | None:
    """The draft model, if there is one."""
    if folder is None:
        return None
    from nanohydra.checkpoint import load

    return load(folder, device=device, dtype=dtype).model
