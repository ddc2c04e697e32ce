"""Guesses from a second, smaller model: it goes on greedily from what it has read of each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nanohydra.core.errors import UserError
from nanohydra.engine.batch import FlatBatch, Ints
from nanohydra.engine.config import EngineConfig
from nanohydra.engine.runner import make_runner
from nanohydra.engine.speculation import Query
from nanohydra.model import Decoder


@dataclass(eq=False, slots=True)
class DraftText:
    """What the draft model has read of one text, and in which slot that is.

    num_sure: how many of its ids were the text's own; those behind them were guesses.
    """

    ids: list[int] = field(default_factory=list)
    num_sure: int = 0
    slot: int = -1


class DraftModel:
    """A proposer with a decoding state of its own: one slot of blocks for each text.

    config, max_length: those of the engine that it guesses for. vocab_size: of the large model.
    Raises UserError for a model with another vocabulary.
    """

    def __init__(
        self, model: Decoder, config: EngineConfig, max_length: int, vocab_size: int
    ) -> None:
        if model.config.vocab_size != vocab_size:
            raise UserError(
                f"the draft model has a vocabulary of {model.config.vocab_size}, the model one "
                f"of {vocab_size}; they must share a tokenizer"
            )
        self.model = model.eval()
        self.num_ids = config.num_ids or vocab_size
        self.max_length = min(max_length, model.config.max_seq_len)
        self.max_tokens = config.prefill_tokens + config.max_rows
        self._width = -(-self.max_length // config.block_size)
        self._state = model.init_pages(1 + config.max_rows * self._width, config.block_size)
        self._runner = make_runner(config, model, self._state, self.max_tokens)
        self._owners: list[DraftText | None] = [None] * config.max_rows

    def start(self) -> DraftText:
        """As in Proposer."""
        return DraftText()

    @torch.inference_mode()
    def propose(self, queries: Sequence[Query]) -> list[list[int]]:
        """As in Proposer; nothing for texts longer than the draft model takes."""
        guesses: list[list[int]] = [[] for _ in queries]
        self._give_slots(queries)
        live = [
            place
            for place, query in enumerate(queries)
            if len(query.ids) + query.count <= self.max_length
        ]
        unread = {place: self._unread(queries[place]) for place in live}
        while any(len(ids) > 1 for ids in unread.values()):
            self._read(queries, unread)
        for number in range(max((queries[place].count for place in live), default=0)):
            live = [place for place in live if queries[place].count > number]
            texts = [text_of(queries[place]) for place in live]
            ids = [unread[place] if number == 0 else guesses[place][-1:] for place in live]
            logits_MV = self._runner.run(self._batch(texts, ids))
            for place, id in zip(live, self._best(logits_MV), strict=True):
                guesses[place].append(id)
        return guesses

    def _best(self, logits_MV: torch.Tensor) -> list[int]:
        ids: list[int] = logits_MV[:, : self.num_ids].argmax(-1).tolist()
        return ids

    def _unread(self, query: Query) -> list[int]:
        """The end of a text that is to be read, at least its last token."""
        text, ids = text_of(query), query.ids
        held, most = text.num_sure, min(len(text.ids), len(ids) - 1)
        while held < most and text.ids[held] == ids[held]:  # guesses that came true
            held += 1
        held = min(held, most)
        del text.ids[held:]
        text.num_sure = len(ids)
        return list(ids[held:])

    def _read(self, queries: Sequence[Query], unread: dict[int, list[int]]) -> None:
        """Read of each text what fits into one call, up to its last token."""
        left = self.max_tokens
        texts, pieces = [], []
        for place, ids in unread.items():
            size = min(left, len(ids) - 1)
            if size > 0:
                texts.append(text_of(queries[place]))
                pieces.append(ids[:size])
                del ids[:size]
                left -= size
        self._runner.run(self._batch(texts, pieces))

    def _batch(self, texts: Sequence[DraftText], pieces: Sequence[list[int]]) -> FlatBatch:
        """A call over the next ids of some texts, whose last logits are wanted."""
        lengths = [len(piece) for piece in pieces]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        held = np.array([len(text.ids) for text in texts], np.int32)
        for text, piece in zip(texts, pieces, strict=True):
            text.ids += piece
        return FlatBatch(
            ids=np.array([id for piece in pieces for id in piece], np.int32),
            starts=starts,
            held=held,
            tables=np.stack([self._table(text.slot) for text in texts]),
            wanted=starts[1:] - 1,
            adapters=(None,) * len(texts),
        )

    def _table(self, slot: int) -> Ints:
        first = 1 + slot * self._width
        return np.arange(first, first + self._width, dtype=np.int32)

    def _give_slots(self, queries: Sequence[Query]) -> None:
        """A slot for every text; those that are not asked about lose theirs first."""
        asked = [text_of(query) for query in queries]
        free = [slot for slot, owner in enumerate(self._owners) if owner not in asked]
        free.sort(key=lambda slot: self._owners[slot] is not None)
        for text in asked:
            if text.slot < 0 or self._owners[text.slot] is not text:
                text.slot, text.ids, text.num_sure = free.pop(0), [], 0
                self._owners[text.slot] = text


def text_of(query: Query) -> DraftText:
    """The memory of a query to a draft model."""
    assert isinstance(query.memory, DraftText)
    return query.memory
