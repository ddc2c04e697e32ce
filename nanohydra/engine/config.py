"""How large an engine is, as data; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.core.errors import UserError

DEFAULT_MAX_LENGTH = 4096


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The size of an engine. Raises UserError for a value that cannot work.

    max_rows: requests that decode together; more wait in line.
    max_length: tokens of prompt and answer together; 0 = as many as the model was made for, up
        to DEFAULT_MAX_LENGTH: every row of the state takes memory for this many.
    prefill_tokens: prompt tokens read in one step at most. Longer prompts are read in pieces,
        between which the running requests get their next token.
    prefix_rows: finished requests whose tokens are remembered, so that a prompt which begins with
        them is read from there on; each takes as much memory as a row. 0 = none.
    max_adapters: adapters that are loaded at once; an unused one makes room for the next.
    num_ids: ids from this one on are never chosen, as the model's tokenizer does not know them:
        vocabularies are often padded to a round number. 0 = all are known.
    """

    max_rows: int = 8
    max_length: int = 0
    prefill_tokens: int = 256
    prefix_rows: int = 4
    max_adapters: int = 64
    num_ids: int = 0

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise UserError(f"engine.max_rows must be at least 1, not {self.max_rows}")
        if self.prefill_tokens < 1:
            raise UserError(f"engine.prefill_tokens must be at least 1, not {self.prefill_tokens}")
        if self.prefix_rows < 0:
            raise UserError(f"engine.prefix_rows must be 0 or more, not {self.prefix_rows}")
        if self.max_adapters < 1:
            raise UserError(f"engine.max_adapters must be at least 1, not {self.max_adapters}")
        if self.num_ids < 0:
            raise UserError(f"engine.num_ids must be 0 or more, not {self.num_ids}")
        if self.max_length < 0 or self.max_length == 1:
            raise UserError(f"engine.max_length must be 0 or at least 2, not {self.max_length}")
