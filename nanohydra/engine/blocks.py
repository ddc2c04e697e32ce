"""The blocks of a paged state: who holds them, what they contain, which one is given up first.

Every block is free, cached (held by nobody, but its content is known and can be taken up again) or
active (held by one sequence or several). A full block is known by a key that names the adapter,
the tenant and all tokens up to its end; keys are chained, so equal keys mean equal beginnings.
Knows nothing of tensors, requests and time.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BlockCounts:
    """How many blocks there are of each kind; free + cached + active = total."""

    free: int
    cached: int
    active: int
    total: int


def root_key(adapter: str | None, salt: str) -> bytes:
    """The key that those of a sequence's blocks begin from.

    adapter: its id, which names its content, so that an update never meets old keys and values.
    A pool belongs to one engine with one frozen base, so the base needs no place in it.
    """
    whose = f"{len(salt)}:{salt}" + ("" if adapter is None else f"+{adapter}")
    return hashlib.blake2b(whose.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def next_key(key: bytes, ids: Sequence[int]) -> bytes:
    """The key of the block with these tokens that follows the one with this key."""
    return hashlib.blake2b(key + array("i", ids).tobytes(), digest_size=16).digest()


class BlockPool:
    """Blocks 1 to num_blocks - 1; block 0 is nobody's (see nanohydra.model.paged)."""

    def __init__(self, num_blocks: int) -> None:
        assert num_blocks > 1, "block 0 is nobody's"
        self.total = num_blocks - 1
        self.num_evictions = 0
        self._free = list(range(num_blocks - 1, 0, -1))  # the lowest first: they are warm
        self._holders = [0] * num_blocks
        self._keys: list[bytes | None] = [None] * num_blocks
        self._by_key: dict[bytes, int] = {}
        self._cached: OrderedDict[int, None] = OrderedDict()  # the first to go first
        self._num_active = 0

    @property
    def counts(self) -> BlockCounts:
        """Blocks of each kind."""
        return BlockCounts(
            free=len(self._free),
            cached=len(self._cached),
            active=self._num_active,
            total=self.total,
        )

    @property
    def num_available(self) -> int:
        """Blocks that can be taken: free ones, and cached ones, which are then forgotten."""
        return len(self._free) + len(self._cached)

    def take(self) -> int:
        """A block of one's own, of unknown content; `num_available` must not be 0."""
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._cached.popitem(last=False)
            self._forget(block)
            self.num_evictions += 1
        self._holders[block] = 1
        self._num_active += 1
        return block

    def find(self, keys: Iterable[bytes]) -> list[int]:
        """The blocks of the first keys that are all known; nothing is taken yet."""
        found = []
        for key in keys:
            block = self._by_key.get(key)
            if block is None:
                break
            found.append(block)
        return found

    def num_idle(self, blocks: Iterable[int]) -> int:
        """How many of them are held by nobody."""
        return sum(not self._holders[block] for block in blocks)

    def share(self, blocks: Iterable[int]) -> None:
        """Hold blocks that were found, or that another sequence holds, as well."""
        for block in blocks:
            if not self._holders[block]:
                del self._cached[block]
                self._num_active += 1
            self._holders[block] += 1

    def is_shared(self, block: int) -> bool:
        """Whether several hold it, so that nobody may write to it."""
        return self._holders[block] > 1

    def publish(self, block: int, key: bytes) -> None:
        """Make a full block known, now that its content was computed; equal ones stay unknown."""
        assert self._holders[block], "nobody holds it"
        if self._keys[block] is None and key not in self._by_key:
            self._keys[block] = key
            self._by_key[key] = block

    def release(self, blocks: Sequence[int]) -> None:
        """Give up a sequence's blocks, in its order: the last goes first, as others build on it."""
        for block in reversed(blocks):
            assert self._holders[block], "nobody holds it"
            self._holders[block] -= 1
            if not self._holders[block]:
                self._num_active -= 1
                if self._keys[block] is None:
                    self._free.append(block)
                else:
                    self._cached[block] = None

    def discard(self, blocks: Iterable[int]) -> list[int]:
        """Forget what these contain, for what was computed is of no use; those of one holder."""
        for block in blocks:
            self._forget(block)
        return [block for block in blocks if self._holders[block] == 1]

    def clear(self) -> None:
        """Forget all content; sequences that hold blocks go on."""
        self._free += reversed(self._cached)
        self._cached.clear()
        self._by_key.clear()
        self._keys = [None] * len(self._keys)

    def _forget(self, block: int) -> None:
        key = self._keys[block]
        if key is not None:
            self._keys[block] = None
            del self._by_key[key]
