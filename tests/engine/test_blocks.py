"""The block pool, against a simple model of it over random sequences of operations."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.engine.blocks import BlockPool, next_key, root_key

TOTAL = 6
KEYS = [bytes([number]) for number in range(5)]
OPERATIONS = ("take", "share", "release", "publish", "find", "clear", "discard")


class Model:
    """What a pool should do, in the plainest way: everything is looked up by going through all."""

    def __init__(self) -> None:
        self.holders: Counter[int] = Counter()
        self.key_of: dict[int, bytes] = {}
        self.unused: list[int] = []  # known blocks that nobody holds, the first to go first

    def counts(self) -> tuple[int, int, int]:
        active = sum(1 for count in self.holders.values() if count)
        return TOTAL - active - len(self.unused), len(self.unused), active

    def took(self, block: int) -> None:
        """The pool gave this block out."""
        assert not self.holders[block] and 1 <= block <= TOTAL
        if block in self.key_of:  # only when no free block is left, and the oldest one
            assert self.counts()[0] == 0 and self.unused.pop(0) == block
            del self.key_of[block]
        self.holders[block] = 1

    def find(self, keys: list[bytes]) -> list[int]:
        found = []
        for key in keys:
            block = next((b for b, k in self.key_of.items() if k == key), None)
            if block is None:
                break
            found.append(block)
        return found

    def share(self, block: int) -> None:
        if not self.holders[block]:
            self.unused.remove(block)
        self.holders[block] += 1

    def publish(self, block: int, key: bytes) -> None:
        if block not in self.key_of and key not in self.key_of.values():
            self.key_of[block] = key

    def release(self, blocks: list[int]) -> None:
        for block in reversed(blocks):
            self.holders[block] -= 1
            if not self.holders[block] and block in self.key_of:
                self.unused.append(block)

    def forget(self, block: int) -> None:
        self.key_of.pop(block, None)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_operations_agree_with_the_model(data: st.DataObject) -> None:
    pool, model = BlockPool(TOTAL + 1), Model()
    tables: list[list[int]] = []
    for _ in range(data.draw(st.integers(1, 40))):
        operation = data.draw(st.sampled_from(OPERATIONS))
        table = data.draw(st.sampled_from(tables)) if tables else None
        if operation == "take" and pool.num_available:
            block = pool.take()
            model.took(block)
            (tables.append([block]) if table is None or len(table) > 2 else table.append(block))
        elif operation == "find":
            keys = data.draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True))
            found = pool.find(keys)
            assert found == model.find(keys)
            assert pool.num_idle(found) == sum(not model.holders[block] for block in found)
            if found and data.draw(st.booleans()):
                pool.share(found)
                for block in found:
                    model.share(block)
                tables.append(found)
        elif operation == "clear":
            pool.clear()
            model.key_of, model.unused = {}, []
        elif table is None:
            continue
        elif operation == "share":
            pool.share(table)
            for block in table:
                model.share(block)
            tables.append(list(table))
        elif operation == "publish":
            block, key = data.draw(st.sampled_from(table)), data.draw(st.sampled_from(KEYS))
            pool.publish(block, key)
            model.publish(block, key)
        elif operation == "discard":
            alone = pool.discard(table)
            assert alone == [block for block in table if model.holders[block] == 1]
            for block in table:
                model.forget(block)
        elif operation == "release":
            tables.remove(table)
            pool.release(table)
            model.release(table)
        counts = pool.counts
        assert counts.free + counts.cached + counts.active == counts.total == TOTAL
        assert (counts.free, counts.cached, counts.active) == model.counts()
        assert all(pool.is_shared(b) == (model.holders[b] > 1) for b in range(1, TOTAL + 1))
    for table in tables:
        pool.release(table)
    assert pool.counts.active == 0


def test_a_table_loses_its_end_first() -> None:
    """What others build on stays longest."""
    pool = BlockPool(4)
    table = [pool.take() for _ in range(3)]
    for block, key in zip(table, KEYS, strict=False):
        pool.publish(block, key)
    pool.release(table)
    assert [pool.take(), pool.take()] == [table[2], table[1]]
    assert pool.find(KEYS) == table[:1] and pool.num_evictions == 2


def test_equal_content_is_known_once() -> None:
    pool = BlockPool(4)
    first, second = pool.take(), pool.take()
    pool.publish(first, KEYS[0])
    pool.publish(second, KEYS[0])
    assert pool.find(KEYS[:1]) == [first]
    pool.release([second])
    assert pool.counts.free == 2
    pool.release([first])
    assert (pool.counts.free, pool.counts.cached) == (2, 1)


def test_keys_tell_adapters_tenants_and_beginnings_apart() -> None:
    roots = [root_key(*pair) for pair in ((None, ""), ("a", ""), (None, "a"), ("a", "a"), ("", ""))]
    roots += [root_key("b", "1:a+"), root_key("1:a+b", "")]
    assert len(set(roots)) == len(roots)
    keys = [next_key(root, ids) for root in roots for ids in ([1, 2], [2, 1], [1, 2, 3])]
    keys += [next_key(key, [1, 2]) for key in keys]
    assert len(set(keys)) == len(keys)
    assert next_key(roots[0], [1, 2]) == next_key(roots[0], (1, 2))


@pytest.mark.parametrize("operation", ["publish", "release"])
def test_what_nobody_holds_cannot_be_given_up(operation: str) -> None:
    pool = BlockPool(4)
    with pytest.raises(AssertionError, match="nobody holds it"):
        pool.publish(1, KEYS[0]) if operation == "publish" else pool.release([1])
