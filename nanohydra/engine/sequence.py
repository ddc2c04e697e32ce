"""One continuation of a prompt on its way: its tokens, its blocks, how far the model has read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nanohydra.engine.blocks import next_key, root_key
from nanohydra.engine.request import Request

if TYPE_CHECKING:
    from nanohydra.adapters.batch import ReadyAdapter
    from nanohydra.engine.sampling.state import SampleState

Rank = tuple[float, int, int]


@dataclass(eq=False, slots=True)
class Sequence:
    """The prompt and what was generated, read by the model up to `held`.

    index: which of the request's continuations. rank: the lowest goes first; it never changes.
    max_ids: tokens of prompt and answer at most. state: what the sampler keeps.
    adapter: pinned until the request ends.
    blocks: hold the tokens that were read, and have room for those that come next; the first
        `num_published` of them are known to the pool, by `keys`.
    row: place among the sequences that decode, -1 elsewhere.
    shares_tail: the last block is not full and others hold it too, so that it has to be copied.
    num_counted: tokens of the prompt that were counted as read or as found; -1: not looked up.
    forked: whether the other continuations of its request have begun.
    """

    request: Request
    index: int
    rank: Rank
    max_ids: int
    stop_ids: frozenset[int]
    state: SampleState
    adapter: ReadyAdapter | None = None
    ids: list[int] = field(default_factory=list)
    num_read: int = 0
    blocks: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    num_published: int = 0
    row: int = -1
    shares_tail: bool = False
    num_counted: int = -1
    forked: bool = False

    @classmethod
    def start(
        cls,
        request: Request,
        rank: Rank,
        max_length: int,
        state: SampleState,
        adapter: ReadyAdapter | None,
    ) -> Sequence:
        """The first continuation of a request; it ends at the request's or the context's limit."""
        params = request.params
        return cls(
            request=request,
            index=0,
            rank=rank,
            max_ids=min(len(request.prompt_ids) + params.max_tokens, max_length),
            stop_ids=frozenset(() if params.ignore_eos else params.stop_ids),
            state=state,
            adapter=adapter,
            ids=list(request.prompt_ids),
            forked=request.n == 1,
        )

    def child(self, index: int, state: SampleState) -> Sequence:
        """Another continuation of the same prompt, which has read nothing yet."""
        return replace(
            self,
            index=index,
            rank=(*self.rank[:2], index),
            state=state,
            ids=list(self.request.prompt_ids),
            num_read=0,
            blocks=[],
            keys=self.keys.copy(),
            num_published=0,
            num_counted=self.num_prompt,
        )

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.request.prompt_ids)

    @property
    def new_ids(self) -> list[int]:
        """What was generated so far."""
        return self.ids[self.num_prompt :]

    @property
    def held(self) -> int:
        """Tokens that its blocks hold; while it decodes, all but the newest."""
        return len(self.ids) - 1 if self.row >= 0 else self.num_read

    @property
    def num_unread(self) -> int:
        """Tokens that the model has not seen yet."""
        return len(self.ids) - self.held

    def keys_up_to(self, count: int, block_size: int) -> list[bytes]:
        """The keys of its first `count` full blocks."""
        keys = self.keys
        while len(keys) < count:
            start = len(keys) * block_size
            parent = keys[-1] if keys else root_key(self.request.adapter, self.request.salt)
            keys.append(next_key(parent, self.ids[start : start + block_size]))
        return keys[:count]
