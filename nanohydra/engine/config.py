"""How large an engine is and what it runs on, as data; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nanohydra.core.errors import UserError

DEFAULT_MAX_LENGTH = 4096


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """The size of an engine. Raises UserError for a value that cannot work.

    max_rows: sequences that run together; more wait in line.
    max_length: tokens of prompt and answer together; 0 = as many as the model was made for, up
        to DEFAULT_MAX_LENGTH.
    prefill_tokens: prompt tokens read in one step at most. Longer prompts are read in pieces, so
        that those which run get their next token in time.
    block_size: tokens of a block, the unit in which the memory for keys and values is handed
        out and in which prompts share their beginnings.
    num_blocks: blocks of that memory, one of which serves as scratch; 0 = enough for `max_rows`
        sequences of `max_length` tokens, as far as `kv_memory` allows. With fewer, sequences give
        way to each other and read their tokens again.
    kv_memory: GiB for these blocks at most; 0 = a share of the memory that is free at the start.
    prefix_caching: whether a prompt that begins like an earlier one is read from there on.
    priority_seconds: how much longer waiting one unit of priority is worth.
    speculation: who guesses tokens that are then checked several at a time: "ngram" looks for
        what followed the same words in the text itself, "draft" asks a smaller model.
    draft_tokens: tokens that are guessed for a sequence in one step at most.
    max_adapters: adapters that are loaded at once; an unused one makes room for the next.
    num_ids: ids from this one on are never chosen, as the model's tokenizer does not know them:
        vocabularies are often padded to a round number. 0 = all are known.
    deterministic: the same request gets the same tokens and log-probabilities, bit for bit,
        whatever runs beside it, was read before or was interrupted. Slow without the native runner.
    runner: "native" runs whole steps in C (on CPUs), "torch" runs anywhere; "auto" takes the
        first where it can.
    """

    max_rows: int = 16
    max_length: int = 0
    prefill_tokens: int = 256
    block_size: int = 16
    num_blocks: int = 0
    kv_memory: float = 0.0
    prefix_caching: bool = True
    priority_seconds: float = 60.0
    speculation: Literal["off", "ngram", "draft"] = "off"
    draft_tokens: int = 4
    max_adapters: int = 64
    num_ids: int = 0
    deterministic: bool = False
    runner: Literal["auto", "native", "torch"] = "auto"

    def __post_init__(self) -> None:
        for name in ("max_rows", "prefill_tokens", "block_size", "draft_tokens", "max_adapters"):
            if getattr(self, name) < 1:
                raise UserError(f"engine.{name} must be at least 1, not {getattr(self, name)}")
        if self.num_ids < 0:
            raise UserError(f"engine.num_ids must be 0 or more, not {self.num_ids}")
        if self.max_length < 0 or self.max_length == 1:
            raise UserError(f"engine.max_length must be 0 or at least 2, not {self.max_length}")
        if self.num_blocks < 0 or self.num_blocks == 1:
            raise UserError(f"engine.num_blocks must be 0 or at least 2, not {self.num_blocks}")
        for name in ("kv_memory", "priority_seconds"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise UserError(f"engine.{name} must be 0 or more, not {getattr(self, name)}")
        if self.speculation not in ("off", "ngram", "draft"):
            raise UserError(
                f'engine.speculation is "off", "ngram" or "draft", not {self.speculation!r}'
            )
        if self.runner not in ("auto", "native", "torch"):
            raise UserError(f'engine.runner is "auto", "native" or "torch", not {self.runner!r}')
