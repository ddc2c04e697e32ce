"""The engine: token ids in, token ids out, several requests at once on one decoding state.

Never sees text. Not safe for threads, but for its adapters; see thread.py. Every step reads some
prompt tokens, bounded so that running requests are not held up for long, and then decodes one
token for every running request in a single forward call, each with the adapter that it named.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from nanohydra.adapters.batch import RowAdapters, RowPlan
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.core.types import FinishReason
from nanohydra.engine.config import DEFAULT_MAX_LENGTH, EngineConfig
from nanohydra.engine.prefixes import PrefixCache
from nanohydra.engine.request import Event, Request
from nanohydra.engine.residents import Residents
from nanohydra.engine.sampler import SamplingPlan, sample
from nanohydra.engine.scheduler import Scheduler, Sequence
from nanohydra.engine.threads import Threads
from nanohydra.model import Decoder

logger = logging.getLogger(__name__)


class Engine:
    """Runs requests on a model. `add` them, then `step` while `has_work`.

    Puts the model into eval mode. Raises UserError for a context longer than the model's.
    """

    def __init__(self, model: Decoder, config: EngineConfig | None = None) -> None:
        config = config or EngineConfig()
        limit = model.config.max_seq_len
        if config.max_length > limit:
            raise UserError(
                f"engine.max_length is {config.max_length}, but the model was made for at most "
                f"{limit} tokens; give at most that, or 0"
            )
        self.model = model.eval()
        self.config = config
        self.max_rows = config.max_rows
        self.max_length = config.max_length or min(limit, DEFAULT_MAX_LENGTH)
        self.scheduler = Scheduler(config.max_rows)
        self.threads = Threads(model)
        self.state = model.init_state(config.max_rows + config.prefix_rows, self.max_length)
        self.prefixes = PrefixCache(self.state, config.max_rows, config.prefix_rows)
        self.adapters = Residents(model, config.max_adapters)
        self.row_adapters = RowAdapters(model, config.max_rows)
        self.num_steps = 0
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_generated_tokens = 0
        self.finished: Counter[str] = Counter(stop=0, length=0, abort=0, error=0)
        self._plan: SamplingPlan | None = None
        self._row_plan = RowPlan()
        self._last_ids_B1: Tensor | None = None

    @property
    def num_active(self) -> int:
        """Requests that hold a row."""
        return len(self.scheduler.rows)

    @property
    def num_waiting(self) -> int:
        """Requests that wait for a row."""
        return len(self.scheduler.waiting)

    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self.num_active or self.num_waiting)

    def check(self, request: Request, *, held: bool = False) -> None:
        """Raise UserError if the request can not run here. Safe to call from any thread.

        held: its adapter is pinned already, so that it may have been unloaded meanwhile.
        """
        if request.adapter is not None:
            self.adapters.check(request.adapter, held=held)
        length, vocab = len(request.prompt_ids), self.model.config.vocab_size
        if not length:
            raise UserError("the prompt is empty; it needs at least one token")
        if length >= self.max_length:
            raise UserError(
                f"the prompt has {length} tokens, which leaves no room for an answer in a "
                f"context of {self.max_length}; shorten it"
            )
        if min(request.prompt_ids) < 0 or max(request.prompt_ids) >= vocab:
            raise UserError(f"the prompt has token ids outside the vocabulary of {vocab}")

    def add(self, request: Request, *, held: bool = False) -> None:
        """Queue a request and pin its adapter until it has ended; `held` as in `check`.

        Raises UserError if it can not run or its id is under way.
        """
        self.check(request, held=held)
        if self.scheduler.find(request.id) is not None:
            raise UserError(f"a request with id {request.id!r} is already under way")
        pinned = None
        if request.adapter is not None:
            pinned = self.adapters.pin(request.adapter, held=held)
        self.scheduler.add(Sequence.start(request, self.max_length, pinned))

    def abort(self, request_id: str) -> bool:
        """End a request at once, without an event; False if it is not under way."""
        sequence = self.scheduler.find(request_id)
        if sequence is None:
            return False
        self._remove(sequence, "abort")
        return True

    @property
    def base(self) -> str:
        """The hash of the model's weights that an adapter has to name; computed once."""
        return self.adapters.base

    @property
    def resident(self) -> tuple[str, ...]:
        """Ids of the adapters that requests may name, the least recently used first."""
        return self.adapters.ids

    def load(self, weights: AdapterWeights) -> str:
        """Make an adapter available and return its id. Safe from any thread, steps go on.

        Raises UserError, with the reason, for an adapter that does not fit the model, and
        QueueFull if requests use as many adapters as there may be.
        """
        return self.adapters.load(weights)

    def unload(self, id: str) -> bool:
        """Give up an adapter; requests that use it go on. True if none does. From any thread.

        Raises UserError for one that is not loaded.
        """
        return self.adapters.unload(id)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Read prompts within the budget, then decode one token per running request.

        Returns the new tokens in order. A failure of the model ends the requests of the call
        that failed with reason "error"; the others go on.
        """
        self.num_steps += 1
        events: list[Event] = []
        budget = self.config.prefill_tokens
        while budget > 0 and (group := self._next_to_read(budget)):
            length = min(budget, group[0].num_unread)
            budget -= length * len(group)
            self._attempt(group, events, partial(self._read, group, length), reading=True)
        if running := self.scheduler.running:
            self._attempt(running, events, partial(self._decode, running))
        return events

    def _next_to_read(self, budget: int) -> list[Sequence]:
        """The prompts to read now, without what is remembered of them."""
        for sequence in self.scheduler.next_in_line:
            sequence.match = self.prefixes.find(
                sequence.request.adapter, sequence.request.prompt_ids
            )
            sequence.num_read = sequence.match.length if sequence.match else 0
        group = self.scheduler.next_to_read(budget)
        for row, sequence in enumerate(group, self.scheduler.num_running):
            if sequence.match is not None:
                self.prefixes.take(sequence.match, row)
                self.num_cached_tokens += sequence.match.length
                sequence.match = None
        return group

    def _attempt(
        self,
        group: list[Sequence],
        events: list[Event],
        work: Callable[[], list[Event]],
        *,
        reading: bool = False,
    ) -> None:
        """Add the events of the work; if it fails, end the group and leave the rest alone.

        Prompts that were read together are read again one by one, to find the one at fault.
        """
        first = self.scheduler.num_running
        try:
            events += work()
        except Exception as error:  # whatever the model raises, other requests must go on
            logger.exception("a forward call of %d request(s) failed", len(group))
            if len(group) > 1 and reading:
                self.scheduler.read_alone(group)
                for row in range(first, first + len(group)):
                    self.state.reset(row)
                return
            for sequence in group:
                events.append(_failure(sequence, f"{type(error).__name__}: {error}"))
                self._remove(sequence, "error")

    def _read(self, group: list[Sequence], length: int) -> list[Event]:
        """Read `length` prompt tokens of each; at the prompts' end, their first new tokens."""
        first = self.scheduler.num_running
        ids_BT = torch.tensor(
            [s.request.prompt_ids[s.num_read : s.num_read + length] for s in group],
            device=self.model.device,
        )
        rows_B = torch.arange(first, first + len(group))
        with (
            self.threads.of_call(ids_BT.numel()),
            self.row_adapters.plan([s.adapter for s in group]),
        ):
            x_BTD = self.model.hidden(ids_BT, state=self.state, rows=rows_B)
        for sequence in group:
            sequence.num_read += length
        self.num_prompt_tokens += ids_BT.numel()
        if group[0].num_unread:
            return []
        self.scheduler.start_running()
        self._plan = None
        # Only the last place is unembedded: all places of a long prompt would not fit in memory.
        logits_BV = self._known(self.model.unembed(x_BTD[:, -1]))
        return self._emit(group, *sample(logits_BV, self._make_plan(group)))

    def _decode(self, running: list[Sequence]) -> list[Event]:
        """One more token for each row."""
        if self._plan is None or self._last_ids_B1 is None:
            self._plan = self._make_plan(running)
            self._row_plan = self.row_adapters.plan([s.adapter for s in running], lasting=True)
            self._last_ids_B1 = torch.tensor(
                [[s.new_ids[-1]] for s in running], device=self.model.device
            )
        with self.threads.of_call(len(running)):
            with self._row_plan:
                x_B1D = self.model.hidden(self._last_ids_B1, state=self.state)
            logits_BV = self._known(self.model.unembed(x_B1D[:, 0]))
            tokens_B, logprobs_B = sample(logits_BV, self._plan)
        self._last_ids_B1 = tokens_B.unsqueeze(1)
        return self._emit(running, tokens_B, logprobs_B)

    def _known(self, logits_BV: Tensor) -> Tensor:
        """Without the ids that only pad the model's vocabulary."""
        return logits_BV[:, : self.config.num_ids] if self.config.num_ids else logits_BV

    def _make_plan(self, group: list[Sequence]) -> SamplingPlan:
        return SamplingPlan.build(
            [s.request.params for s in group], [s.stream for s in group], self.model.device
        )

    def _emit(self, group: list[Sequence], tokens_B: Tensor, logprobs_B: Tensor) -> list[Event]:
        """Turn tokens into events, and free the rows of the requests that end with them."""
        now = time.perf_counter()
        events = []
        ended: list[tuple[Sequence, FinishReason]] = []
        for sequence, token, logprob in zip(
            group, tokens_B.tolist(), logprobs_B.tolist(), strict=True
        ):
            if not math.isfinite(logprob):
                events.append(_failure(sequence, "the model's output is not a number"))
                ended.append((sequence, "error"))
                continue
            sequence.new_ids.append(token)
            reason: FinishReason | None = None
            if token in sequence.stop_ids:
                reason = "stop"
            elif len(sequence.new_ids) >= sequence.max_new:
                reason = "length"
            if reason is not None:
                ended.append((sequence, reason))
            events.append(
                Event(
                    request_id=sequence.request.id,
                    token_id=token,
                    finish_reason=reason,
                    logprob=logprob,
                    time=now,
                )
            )
        self.num_generated_tokens += len(events)
        for sequence, reason in ended:
            self._remove(sequence, reason)
        return events

    def _remove(self, sequence: Sequence, reason: FinishReason) -> None:
        """Free a sequence's row, remember what it held, and count why."""
        if reason != "error" and sequence in self.scheduler.rows:
            row = self.scheduler.rows.index(sequence)
            self.prefixes.keep(row, sequence.request.adapter, sequence.held_ids)
        removal = self.scheduler.remove(sequence)
        if sequence.request.adapter is not None:
            self.adapters.release(sequence.request.adapter)
        if removal is not None:
            for source, target in removal.copies:
                self.state.fork(source, target)
            self.state.reset(removal.emptied)
            # A plan keeps its adapters' tensors alive.
            self._plan, self._row_plan = None, RowPlan()
        self.finished[reason] += 1


def _failure(sequence: Sequence, problem: str) -> Event:
    return Event(request_id=sequence.request.id, finish_reason="error", error=problem)
