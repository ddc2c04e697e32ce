"""Packing: nothing is lost unsaid, nothing crosses a document, rows are full."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE, Batch
from nanohydra.data import Loader, LoaderConfig
from nanohydra.data.packing import Buffer, Piece

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=40)
HARMLESS = settings(max_examples=40, deadline=None)


def rows(batches: Iterable[Batch]) -> list[tuple[np.ndarray, ...]]:
    """Every row of the batches as ids, labels, positions, segments."""
    return [
        tuple(t[b].numpy() for t in (x.ids_BT, x.labels_BT, x.positions_BT, x.segments_BT))
        for x in batches
        for b in range(x.ids_BT.shape[0])
    ]


def one_pass(make_shards, lengths, masks=None, **config):
    loader = Loader({"made": make_shards(lengths, masks)}, LoaderConfig(**config))
    return rows(loader), loader.counts


def check_rows(found, lengths, masks=None) -> None:
    """What holds for every row, however it was packed."""
    ends = np.cumsum(lengths)
    starts = ends - lengths
    carries = np.concatenate(masks) if masks else None
    for ids, labels, positions, segments in found:
        real = segments >= 0
        record = np.searchsorted(ends, ids, "right")
        assert (labels[~real] == IGNORE).all() and (np.diff(real.astype(int)) <= 0).all()
        assert set(segments[real]) == set(range(segments.max() + 1))
        for segment in range(segments.max() + 1):
            (place,) = np.nonzero(segments == segment)
            assert (np.diff(place) == 1).all()
            assert (positions[place] == np.arange(len(place))).all()
            assert (np.diff(ids[place]) == 1).all() and len(set(record[place])) == 1
            assert labels[place[-1]] == IGNORE
            for at in place[:-1]:
                target = ids[at] + 1
                wanted = carries is None or carries[target]
                assert labels[at] == (target if wanted else IGNORE)
        assert not np.isin(labels, starts).any()
        assert (labels != IGNORE).any()


def tokens(found) -> np.ndarray:
    return np.concatenate([ids[segments >= 0] for ids, _, _, segments in found])


@HARMLESS
@given(lengths=LENGTHS, row=st.integers(2, 24), buffer=st.integers(1, 12), batch=st.integers(1, 4))
def test_crop_gives_every_token_once(make_shards, lengths, row, buffer, batch):
    if max(lengths) < 2:
        lengths = [*lengths, 2]
    found, counts = one_pass(
        make_shards, lengths, row_length=row, buffer_size=buffer, rows_per_batch=batch
    )
    check_rows(found, lengths)
    seen = tokens(found)
    assert len(set(seen)) == len(seen) == sum(lengths) - counts.get("dropped tokens", 0)
    assert all((segments >= 0).all() for *_, segments in found[:-1]), "only the last is padded"
    assert counts.get("split", 0) == sum(n > row for n in lengths)
    assert counts["rows"] == len(found)
    assert counts["padding"] == sum((s < 0).sum() for *_, s in found)


@HARMLESS
@given(data=st.data(), row=st.integers(2, 24), buffer=st.integers(1, 12))
def test_pad_keeps_records_whole(make_shards, data, row, buffer):
    lengths = data.draw(LENGTHS)
    masks = [data.draw(st.lists(st.booleans(), min_size=n, max_size=n)) for n in lengths]
    masks[0] = [False, *[True] * max(lengths[0] - 1, 1)]
    lengths[0] = len(masks[0])
    found, counts = one_pass(
        make_shards, lengths, masks, row_length=row, buffer_size=buffer, packing="pad"
    )
    check_rows(found, lengths, masks)
    starts = np.cumsum([0, *lengths])
    seen = set(tokens(found).tolist())
    assert len(seen) == len(tokens(found))
    lost = 0
    for number, length in enumerate(lengths):
        mine = range(starts[number], starts[number + 1])
        there = sum(token in seen for token in mine)
        lost += length - there
        if any(masks[number][1:row]):
            if length <= row:
                assert there == length
            else:  # cut after the last target that fits
                last = max(i for i in range(row) if masks[number][i])
                assert there == last + 1 and all(token in seen for token in mine[:there])
        else:
            assert there == 0
    assert lost == counts.get("dropped tokens", 0) + counts.get("truncated tokens", 0)


@HARMLESS
@given(
    lengths=LENGTHS,
    row=st.integers(2, 24),
    buffer=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_endless_crop_fills_every_place(make_shards, lengths, row, buffer, seed):
    lengths = [*lengths, 3]
    shards = make_shards(lengths)
    config = LoaderConfig(
        row_length=row, rows_per_batch=3, total_batches=20, buffer_size=buffer, seed=seed
    )
    loader = Loader({"made": shards}, config)
    found = rows(loader)
    assert len(found) == 60
    check_rows(found, lengths)
    assert all((segments >= 0).all() for *_, segments in found)
    assert loader.counts["padding"] == 0


def test_a_long_document_fills_consecutive_rows_in_one_pass(make_shards):
    found, counts = one_pass(make_shards, [50], row_length=16, rows_per_batch=2)
    assert [ids[segments >= 0].tolist() for ids, _, _, segments in found] == [
        list(range(0, 16)),
        list(range(16, 32)),
        list(range(32, 48)),
        [48, 49],
    ]
    assert counts["split"] == 1


def test_pieces_of_long_documents_are_shuffled_and_cut_elsewhere_each_epoch(make_shards):
    config = LoaderConfig(row_length=16, rows_per_batch=1, total_batches=400, buffer_size=1)
    first = [ids[0] for ids, *_ in rows(Loader({"book": make_shards([3000])}, config))]
    assert len({start % 16 for start in first}) > 4, "the cuts move"
    assert (np.diff(first[:150]) != 16).mean() > 0.9, "not front to back"


def test_a_row_begins_with_the_piece_that_waited_longest(make_shards):
    found, _ = one_pass(make_shards, [5, 9, 4, 6, 3], row_length=10, packing="pad", buffer_size=5)
    assert [ids[0] for ids, *_ in found] == [0, 5, 18]  # 5+4, 9, 6+3


def test_best_fit_takes_the_longest_that_fits():
    buffer = Buffer(Piece(0, n, 0, length) for n, length in enumerate([7, 3, 5, 5, 9]))
    assert buffer.pop_longest(6) == Piece(0, 2, 0, 5), "the older of two equals"
    assert buffer.pop_longest(2) is None
    assert buffer.pop_oldest().record == 0
    assert buffer.pop_shortest().record == 1
    assert [piece.record for piece in buffer.pieces()] == [3, 4]
    again = Buffer(buffer.pieces())
    assert again.pop_longest(99) == buffer.pop_longest(99)


def test_rows_too_short_for_any_target_are_an_error_not_a_hang(make_shards):
    mask = [[False] * 20 + [True] * 5]
    for total in (0, 10):
        config = LoaderConfig(row_length=16, packing="pad", total_batches=total)
        with pytest.raises(UserError, match="no record has a target within a row of 16"):
            next(Loader({"chat": make_shards([25], mask)}, config))


def test_conversations_in_crop_mode_drop_what_has_no_target(make_shards):
    masks = [[False] * 40 + [True] * 8, [False] + [True] * 7]
    found, counts = one_pass(make_shards, [48, 8], masks, row_length=16)
    check_rows(found, [48, 8], masks)
    assert counts["dropped tokens"] == 32
    assert len(tokens(found)) == 56 - 32
