"""What an engine does now and has done since its start, in numbers for health and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nanohydra.core.histogram import Histogram
from nanohydra.engine.blocks import BlockCounts
from nanohydra.engine.speculation import DraftCounts

if TYPE_CHECKING:
    from nanohydra.engine.engine import Engine


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """A moment of an engine.

    num_active, num_waiting: sequences that hold a row, and that do not.
    waiting_tokens: what those that wait will have to read.
    finished: sequences by finish reason. last_step_age: see `EngineThread.last_step_age`.
    prefix_queries, cached_tokens: tokens of prompts that were looked up among the known blocks,
        and those of them that were found, instead of read.
    blocks: of the memory for keys and values, `block_size` tokens each; state_bytes: all of it.
    preemptions: how often a sequence had to give its blocks back.
    drafts: how often tokens were guessed, how many, and how many of them rightly.
    adapters: ids of those loaded. runner: what runs the forward calls.
    step_tokens: of each step. queue_seconds: from a request to its first row.
    """

    num_active: int
    num_waiting: int
    max_rows: int
    max_length: int
    num_steps: int
    prompt_tokens: int
    generated_tokens: int
    finished: Mapping[str, int]
    state_bytes: int
    last_step_age: float
    cached_tokens: int = 0
    prefix_queries: int = 0
    adapters: tuple[str, ...] = ()
    adapter_bytes: int = 0
    waiting_tokens: int = 0
    preemptions: int = 0
    blocks: BlockCounts = BlockCounts(free=0, cached=0, active=0, total=0)
    block_size: int = 0
    runner: str = ""
    drafts: DraftCounts = field(default_factory=DraftCounts)
    step_tokens: Histogram = field(default_factory=lambda: Histogram(()))
    queue_seconds: Histogram = field(default_factory=lambda: Histogram(()))

    @property
    def kv_usage(self) -> float:
        """The share of the blocks that sequences hold, from 0 to 1."""
        return self.blocks.active / max(1, self.blocks.total)

    @classmethod
    def of(cls, engine: Engine, last_step_age: float) -> EngineStats:
        """Those of an engine; cheap, from any thread."""
        return cls(
            num_active=engine.num_active,
            num_waiting=engine.num_waiting,
            max_rows=engine.max_rows,
            max_length=engine.max_length,
            num_steps=engine.num_steps,
            prompt_tokens=engine.num_prompt_tokens,
            generated_tokens=engine.num_generated_tokens,
            finished=dict(engine.finished),
            state_bytes=engine.state.num_bytes,
            last_step_age=last_step_age,
            cached_tokens=engine.num_cached_tokens,
            prefix_queries=engine.scheduler.num_queries,
            adapters=engine.resident,
            adapter_bytes=engine.adapters.num_bytes,
            waiting_tokens=engine.num_waiting_tokens,
            preemptions=engine.num_preemptions,
            blocks=engine.kv_blocks,
            block_size=engine.config.block_size,
            runner=engine.runner.name,
            drafts=engine.draft_counts,
            step_tokens=engine.step_tokens,
            queue_seconds=engine.scheduler.queue_seconds,
        )
