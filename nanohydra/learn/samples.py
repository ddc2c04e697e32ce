"""Study items and anchor texts as token sequences, and sequences of several pools as packed rows.

Breadth-first: every pool is shuffled anew each epoch, and all of it is drawn before any of it is
drawn again. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nanohydra.core.types import IGNORE, Batch, Document, Message, Record
from nanohydra.data.packing import Packer, Piece
from nanohydra.tokenizer import Tokenizer, render

if TYPE_CHECKING:
    from nanohydra.learn.study import StudyItem

BUFFER = 24  # samples to choose from when a row is filled: little, so that epochs stay in order


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sequence. mask: True on the tokens that are learned, or held to the base's prediction.

    place: of an anchor, where its tokens' predictions by the base begin in the table of them
        (anchors.py); -1 for what is learned from its tokens.
    """

    ids: tuple[int, ...]
    mask: tuple[bool, ...]
    place: int = -1

    @property
    def num_targets(self) -> int:
        """How many tokens the mask names; the first token is predicted from nothing."""
        return sum(self.mask[1:])


def encode(
    tokenizer: Tokenizer, messages: Sequence[Message], answer: str, max_length: int
) -> Sample:
    """A prompt and its answer, learned with its end; without a prompt, a plain text.

    What is longer than max_length loses the beginning of its prompt, or the end of its text.
    """
    if not messages:
        return _document(tokenizer, answer, max_length)
    reply = Message(role="assistant", content=answer)
    rendered = tokenizer.chat.render_reply(messages, reply)
    ids, mask = rendered.ids, rendered.mask
    if len(ids) > max_length:
        prefix = tokenizer.prefix_ids
        left_out = len(ids) - max_length + len(prefix)
        ids = [*prefix, *ids[left_out:]]
        mask = [*[False] * len(prefix), *mask[left_out:]]
    return Sample(ids=tuple(ids), mask=tuple(mask))


def encode_item(tokenizer: Tokenizer, item: StudyItem, max_length: int) -> Sample:
    """A study item as what is learned from it."""
    return encode(tokenizer, item.messages, item.answer, max_length)


def encode_record(
    tokenizer: Tokenizer, record: Record, max_length: int, *, whole: bool = False
) -> Sample:
    """An anchor, cut at its end; its mask: all of a text, of a conversation the assistant's words.

    whole: a conversation's other tokens too, for a model that is to stay as it is altogether.
    """
    if isinstance(record, Document):
        return _document(tokenizer, record.text, max_length)
    rendered = render(tokenizer, record.messages)
    ids = tuple(rendered.ids[:max_length])
    mask = (False, *[True] * (len(ids) - 1)) if whole else tuple(rendered.mask[:max_length])
    return Sample(ids=ids, mask=mask)


def _document(tokenizer: Tokenizer, text: str, max_length: int) -> Sample:
    ids = (*tokenizer.prefix_ids, *tokenizer.encode(text))[:max_length]
    return Sample(ids=ids, mask=(False, *[True] * (len(ids) - 1)))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Packed rows of samples.

    batch: labels count what is learned from its tokens. places_BT: of anchors, which entry of
        the base's predictions belongs to the token; -1 elsewhere.
    """

    batch: Batch
    places_BT: Tensor


def pack(rows: Sequence[Sequence[Sample]]) -> Rows:
    """Rows of samples as tensors, filled on the right to the longest; labels are shifted.

    The last token of a sample predicts nothing and is left out.
    """
    width = max(sum(len(sample.ids) - 1 for sample in row) for row in rows)
    shape = (len(rows), width)
    ids, positions = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    labels, segments = torch.full(shape, IGNORE), torch.full(shape, -1)
    places = torch.full(shape, -1)
    for number, row in enumerate(rows):
        start = 0
        for segment, sample in enumerate(row):
            here = slice(start, start + len(sample.ids) - 1)
            ids[number, here] = torch.tensor(sample.ids[:-1])
            positions[number, here] = torch.arange(len(sample.ids) - 1)
            segments[number, here] = segment
            mask = torch.tensor(sample.mask[1:], dtype=torch.bool)
            if sample.place < 0:
                following = torch.tensor(sample.ids[1:])
                labels[number, here] = torch.where(mask, following, IGNORE)
            else:
                count = sample.place + mask.cumsum(0) - 1
                places[number, here] = torch.where(mask, count, -1)
            start = here.stop
    batch = Batch(ids_BT=ids, labels_BT=labels, positions_BT=positions, segments_BT=segments)
    return Rows(batch=batch, places_BT=places)


class Mixture:
    """An endless supply of packed rows, drawn from pools in fixed shares of the tokens.

    variants: samples that every second time, by chance, give their place to one of others, which
    are no longer than they are.
    """

    def __init__(
        self,
        pools: Mapping[str, Sequence[Sample]],
        shares: Mapping[str, float],
        *,
        row_length: int,
        seed: int,
        variants: Mapping[Sample, Sequence[Sample]] | None = None,
    ) -> None:
        self.variants = variants or {}
        self.pools = {name: list(pool) for name, pool in pools.items() if pool and shares[name] > 0}
        assert self.pools, "nothing to learn"
        total = sum(shares[name] for name in self.pools)
        self.shares = {name: shares[name] / total for name in self.pools}
        self.tokens = dict.fromkeys(self.pools, 0)
        self.names = list(self.pools)
        self.rng = Random(f"{seed} mixture")
        self._left: dict[str, list[int]] = {name: [] for name in self.pools}
        self._packer = Packer(
            self._draw, lambda _: True, row_length=row_length, packing="pad", buffer_size=BUFFER
        )

    def rows(self, count: int) -> Rows:
        """The next `count` rows."""
        return pack(
            [
                [self._varied(self.pools[self.names[piece.shard]][piece.record]) for piece in row]
                for row in (self._packer.next_row() for _ in range(count))
            ]
        )

    def _varied(self, sample: Sample) -> Sample:
        others = self.variants.get(sample)
        return self.rng.choice(others) if others and self.rng.random() < 0.5 else sample

    def _draw(self) -> Piece:
        """The next sample of the pool that is furthest behind its share."""
        drawn = sum(self.tokens.values())
        name = max(self.names, key=lambda n: self.shares[n] * (drawn + 1) - self.tokens[n])
        if not self._left[name]:
            order = list(range(len(self.pools[name])))
            self.rng.shuffle(order)
            self._left[name] = order
        record = self._left[name].pop()
        length = len(self.pools[name][record].ids) - 1
        self.tokens[name] += length
        return Piece(self.names.index(name), record, 0, length)
