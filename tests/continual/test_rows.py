"""Buffers: within their budget, uniform or balanced, and the same after a resume."""

from __future__ import annotations

import pytest
import torch

from nanohydra.continual.rows import RowBuffer, joined, taken
from nanohydra.continual.turns import in_turn
from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE, Batch

LENGTH = 4
ROW_BYTES = 4 * LENGTH * 2


def batch_of(*numbers: int) -> Batch:
    """One row a number, which is its first id."""
    ids = torch.tensor(numbers)[:, None] + torch.arange(LENGTH)
    labels = ids + 1
    labels[:, -1] = IGNORE
    segments = torch.zeros_like(ids)
    segments[:, -1] = -1
    return Batch(
        ids_BT=ids,
        labels_BT=labels,
        positions_BT=torch.arange(LENGTH).expand(ids.shape),
        segments_BT=segments,
    )


def buffer_of(places: int, *, balanced: bool = False, vocab_size: int = 1000) -> RowBuffer:
    size = 2 if vocab_size <= 2**15 else 4
    budget = places * 4 * LENGTH * size + 3
    return RowBuffer(budget, row_length=LENGTH, vocab_size=vocab_size, balanced=balanced)


def test_rows_come_back_bit_for_bit() -> None:
    buffer, random = buffer_of(3), torch.Generator().manual_seed(0)
    buffer.add(batch_of(5, 70), 0, random)
    drawn = buffer.draw(9, [0], random)
    assert drawn is not None and len(drawn.ids_BT) == 2  # never one row twice
    order = drawn.ids_BT[:, 0].argsort()
    for name in ("ids_BT", "labels_BT", "positions_BT", "segments_BT"):
        assert torch.equal(getattr(drawn, name)[order], getattr(batch_of(5, 70), name))
    assert buffer.draw(1, [1], random) is None and buffer.draw(0, [0], random) is None


@pytest.mark.parametrize("vocab_size", [1000, 2**15, 2**15 + 1, 250_000])
def test_large_vocabularies_take_wider_numbers(vocab_size: int) -> None:
    buffer, random = buffer_of(2, vocab_size=vocab_size), torch.Generator().manual_seed(0)
    assert buffer.capacity == 2
    buffer.add(batch_of(vocab_size - LENGTH - 1), 0, random)
    drawn = buffer.draw(1, [0], random)
    assert drawn is not None and int(drawn.ids_BT[0, 0]) == vocab_size - LENGTH - 1


def test_a_reservoir_keeps_every_row_with_the_same_probability() -> None:
    """20 rows of two tasks for 5 places, 4000 times: each is kept 1000 times, give or take."""
    random, kept = torch.Generator().manual_seed(1), torch.zeros(20)
    for _ in range(4000):
        buffer = buffer_of(5)
        buffer.add(batch_of(*range(12)), 0, random)
        buffer.add(batch_of(*range(12, 20)), 1, random)
        assert len(buffer) == 5
        for rows in buffer.groups.values():
            for row in rows:
                kept[int(row[0, 0])] += 1
    deviation = (4000 * 0.25 * 0.75) ** 0.5
    assert (kept - 1000).abs().max() < 4 * deviation
    # A chi-square of 19 degrees of freedom: 43.8 is passed once in a thousand times.
    assert float(((kept - 1000) ** 2 / (1000 * 0.75)).sum()) < 43.8


def test_a_balanced_buffer_gives_each_task_its_share() -> None:
    random, kept = torch.Generator().manual_seed(2), torch.zeros(30)
    for _ in range(2000):
        buffer = buffer_of(6, balanced=True)
        buffer.add(batch_of(*range(20)), 0, random)
        assert len(buffer.groups[0]) == 6
        buffer.add(batch_of(*range(20, 24)), 1, random)
        assert [len(rows) for rows in buffer.groups.values()] == [3, 3]
        buffer.add(batch_of(*range(24, 30)), 2, random)
        assert [len(rows) for rows in buffer.groups.values()] == [2, 2, 2]
        for rows in buffer.groups.values():
            for row in rows:
                kept[int(row[0, 0])] += 1
    for first, last in ((0, 20), (20, 24), (24, 30)):
        expected = 2000 * 2 / (last - first)
        assert (kept[first:last] - expected).abs().max() < 4 * expected**0.5


def test_a_balanced_draw_takes_each_task_in_turn() -> None:
    buffer, random = buffer_of(12, balanced=True), torch.Generator().manual_seed(2)
    for task in range(3):
        buffer.add(batch_of(*range(100 * task, 100 * task + 9)), task, random)
    firsts = torch.zeros(3)
    for _ in range(300):
        drawn = buffer.draw(7, range(3), random)
        assert drawn is not None
        counts = torch.bincount(drawn.ids_BT[:, 0] // 100, minlength=3)
        assert sorted(counts.tolist()) == [2, 2, 3]
        firsts += counts == 3
        assert len(set(drawn.ids_BT[:, 0].tolist())) == 7
    assert (firsts - 100).abs().max() < 4 * (300 * 2 / 9) ** 0.5


def test_the_budget_holds_at_any_time() -> None:
    for balanced in (False, True):
        random = torch.Generator().manual_seed(3)
        buffer = buffer_of(5, balanced=balanced)
        for task in range(8):  # more tasks than places
            buffer.add(batch_of(*range(7)), task, random)
            held = sum(t["rows"].nbytes for t in buffer.state_dict().values())
            assert held <= 5 * ROW_BYTES


def test_a_buffer_goes_on_as_it_would_have() -> None:
    for balanced in (False, True):
        buffers = [buffer_of(4, balanced=balanced) for _ in range(2)]
        random = torch.Generator().manual_seed(4)
        buffers[0].add(batch_of(*range(9)), 0, random)
        buffers[1].load_state_dict(buffers[0].state_dict())
        state = random.get_state()
        for buffer in buffers:
            random.set_state(state)
            buffer.add(batch_of(*range(9, 20)), 1, random)
        first, second = (buffer.draw(4, [0, 1], torch.Generator()) for buffer in buffers)
        assert first is not None and second is not None
        assert torch.equal(first.ids_BT, second.ids_BT)


def test_what_cannot_be_kept_is_said() -> None:
    with pytest.raises(UserError, match="holds no row of 4 tokens, which takes 32 bytes"):
        RowBuffer(31, row_length=4, vocab_size=10)
    with pytest.raises(UserError, match="rows of 4 tokens, not of 5"):
        buffer = RowBuffer(400, row_length=5, vocab_size=10)
        buffer.add(batch_of(1), 0, torch.Generator())


def test_rows_of_batches() -> None:
    both = joined(batch_of(1, 2), batch_of(30))
    assert both.ids_BT[:, 0].tolist() == [1, 2, 30]
    assert taken(both, [0, 2]).ids_BT[:, 0].tolist() == [1, 30]


def test_groups_in_turn() -> None:
    assert list(in_turn(["abc", "", "d", "ef"])) == ["a", "d", "e", "b", "f", "c"]
