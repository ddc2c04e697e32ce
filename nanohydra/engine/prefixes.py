"""What finished requests leave behind: rows of the state that a longer prompt can begin from.

A chat repeats its whole history every turn. The row of a finished request is copied to one of a
few spare rows, under its adapter's id (which names its content) and its tokens; a prompt with the
same adapter that begins with these tokens is read from there on. Keys and values are those that
reading the tokens anew would give, up to the rounding that any other batch brings as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.model.state import DecodingState, KeyValueState

MIN_LENGTH = 16  # a copy of a row costs more than reading fewer tokens


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """The tokens that a spare row holds, read with an adapter (None: by the model itself)."""

    row: int
    adapter: str | None
    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Match:
    """A spare row whose first `length` tokens a prompt begins with."""

    row: int
    length: int


class PrefixCache:
    """Prefixes in the rows `first` to `first + num_rows - 1` of a state."""

    def __init__(self, state: DecodingState, first: int, num_rows: int) -> None:
        self.state = state
        self.num_rows = num_rows
        self._free = list(range(first, first + num_rows))
        self._prefixes: list[Prefix] = []  # the least recently used first
        # A convolution's inputs are those before the last token alone: its rows cannot be cut.
        self._can_cut = all(isinstance(layer, KeyValueState) for layer in state.layers)

    def find(self, adapter: str | None, prompt_ids: tuple[int, ...]) -> Match | None:
        """The longest prefix that leaves at least one token of the prompt to read."""
        best: Match | None = None
        used: Prefix | None = None
        for prefix in self._prefixes:
            if prefix.adapter != adapter:
                continue
            length = common_length(prefix.ids, prompt_ids[:-1])
            usable = self._can_cut or length == len(prefix.ids)
            if usable and length >= max(MIN_LENGTH, best.length + 1 if best else 0):
                best, used = Match(row=prefix.row, length=length), prefix
        if used is not None:
            self._touch(used)
        return best

    def take(self, match: Match, row: int) -> None:
        """Fill a row with what a match holds."""
        self.state.fork(match.row, row)
        self.state.lengths[row] = match.length

    def keep(self, row: int, adapter: str | None, ids: tuple[int, ...]) -> None:
        """Copy a row that holds these tokens, in place of what it continues or of the oldest."""
        if not self.num_rows or len(ids) < MIN_LENGTH:
            return
        target: int | None = None
        for prefix in self._prefixes:
            if prefix.adapter != adapter:
                continue
            length = common_length(prefix.ids, ids)
            if length == len(ids) and (self._can_cut or length == len(prefix.ids)):
                self._touch(prefix)
                return
            if length == len(prefix.ids):
                target = self._forget(prefix)
                break
        if target is None:
            target = self._free.pop() if self._free else self._forget(self._prefixes[0])
        self.state.fork(row, target)
        self._prefixes.append(Prefix(row=target, adapter=adapter, ids=ids))

    def _touch(self, prefix: Prefix) -> None:
        self._prefixes.remove(prefix)
        self._prefixes.append(prefix)

    def _forget(self, prefix: Prefix) -> int:
        self._prefixes.remove(prefix)
        return prefix.row


def common_length(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """How many tokens two sequences have in common at their start."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
