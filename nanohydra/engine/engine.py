"""The engine: token ids in, token ids out, many sequences at once on one paged decoding state.

Never sees text. Not safe for threads, but for its adapters; see thread.py. Every step is one
forward call over the next token of all running sequences and the next pieces of prompts, bounded
so that running ones are not held up for long, each with the adapter that its request named.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import time
from collections import Counter

import torch

from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.core.histogram import Histogram
from nanohydra.core.tokens import TokenTable
from nanohydra.core.types import FinishReason
from nanohydra.engine.blocks import BlockCounts, BlockPool
from nanohydra.engine.config import EngineConfig
from nanohydra.engine.forward import Forward, Sample
from nanohydra.engine.memory import choose_num_blocks, longest_context
from nanohydra.engine.proposers import make_proposer, make_speculator
from nanohydra.engine.request import Event, Request
from nanohydra.engine.residents import Residents
from nanohydra.engine.rows import Part
from nanohydra.engine.runner import make_runner
from nanohydra.engine.sampler import Sampler
from nanohydra.engine.scheduler import Plan, Scheduler
from nanohydra.engine.sequence import Sequence
from nanohydra.engine.speculation import DraftCounts, Proposer
from nanohydra.model import Decoder

logger = logging.getLogger(__name__)


class Engine:
    """Runs requests on a model. `add` them, then `step` while `has_work`.

    vocabulary: what grammars need to know of the tokens; without it they are refused.
    draft: the smaller model that guesses, where the configuration asks for one. proposer: guesses
    in its place.
    Puts the model into eval mode. Raises UserError for a context longer than the model's, or for
    which there is no memory.
    """

    def __init__(
        self,
        model: Decoder,
        config: EngineConfig | None = None,
        *,
        vocabulary: TokenTable | None = None,
        draft: Decoder | None = None,
        proposer: Proposer | None = None,
    ) -> None:
        self.config = config = config or EngineConfig()
        self.model = model.eval()
        wanted = longest_context(config, model.config.max_seq_len)
        size = config.block_size
        block = model.init_pages(1, size, device=torch.device("meta")).bytes_per_block
        num_blocks = choose_num_blocks(config, wanted, block, model.device)
        self.max_rows = config.max_rows
        self.max_length = min(wanted, (num_blocks - 1) * size)
        self.state = model.init_pages(num_blocks, size)
        self.pool = BlockPool(num_blocks)
        self.scheduler = Scheduler(config, self.pool, -(-self.max_length // size))
        self.sampler = Sampler(model.config.vocab_size, config.num_ids, model.device, vocabulary)
        max_tokens = config.prefill_tokens + config.max_rows * (1 + config.draft_tokens)
        self.runner = make_runner(config, model, self.state, max_tokens)
        self.adapters = Residents(model, config.max_adapters, self.runner.prepare)
        alone = config.deterministic and self.runner.name != "native"
        self.forward = Forward(model, self.runner, self.sampler, one_by_one=alone)
        vocab_size = model.config.vocab_size
        proposer = proposer or make_proposer(config, draft, self.max_length, vocab_size)
        self.speculator = make_speculator(config, proposer, self.sampler)
        self.num_steps = 0
        self.step_tokens = Histogram([2**n for n in range(15)])
        self.num_prompt_tokens = 0
        self.num_generated_tokens = 0
        self.finished: Counter[str] = Counter(stop=0, length=0, abort=0, error=0)
        self._numbers = itertools.count()
        self._deadlines: list[tuple[float, int, str]] = []

    @property
    def num_active(self) -> int:
        """Sequences that hold a row."""
        return self.scheduler.num_active

    @property
    def num_waiting(self) -> int:
        """Sequences that wait for a row, or for their blocks."""
        return len(self.scheduler.waiting)

    @property
    def num_waiting_tokens(self) -> int:
        """Tokens that those will have to read."""
        return self.scheduler.num_waiting_tokens

    @property
    def num_cached_tokens(self) -> int:
        """Tokens of prompts that were found in known blocks instead of read."""
        return self.scheduler.num_hits

    @property
    def num_preemptions(self) -> int:
        """How often a sequence had to give its blocks back."""
        return self.scheduler.num_preemptions

    @property
    def kv_blocks(self) -> BlockCounts:
        """Blocks that are free, cached and active."""
        return self.pool.counts

    @property
    def draft_counts(self) -> DraftCounts:
        """How often tokens were guessed, and how often rightly."""
        return DraftCounts() if self.speculator is None else self.speculator.counts

    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self.scheduler.has_work()

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
        self.sampler.check(request.params)

    def add(self, request: Request, *, held: bool = False) -> None:
        """Queue a request and pin its adapter until it has ended; `held` as in `check`.

        Raises UserError if it can not run or its id is under way.
        """
        self.check(request, held=held)
        if self.scheduler.find(request.id):
            raise UserError(f"a request with id {request.id!r} is already under way")
        state = self.sampler.start(request.params, request.prompt_ids)
        pinned = None
        if request.adapter is not None:
            pinned = self.adapters.pin(request.adapter, held=held)
        number = next(self._numbers)
        if request.deadline is not None:
            heapq.heappush(self._deadlines, (request.deadline, number, request.id))
        rank = self.scheduler.rank(request, time.perf_counter(), number)
        self.scheduler.add(Sequence.start(request, rank, self.max_length, state, pinned))

    def abort(self, request_id: str) -> bool:
        """End a request at once, without an event; False if it is not under way."""
        sequences = self.scheduler.find(request_id)
        for sequence in sequences:
            self._remove(sequence, "abort")
        return bool(sequences)

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
        """One more token per running sequence, and prompts read within the budget.

        Returns the new tokens. A failure of the model ends the requests of the call that failed
        with reason "error", where possible the one at fault alone; the others go on.
        """
        self.num_steps += 1
        events: list[Event] = []
        if self._deadlines and self._deadlines[0][0] <= time.perf_counter():
            self._expire(events)
        plan = self.scheduler.plan()
        num_read = sum(piece.length for piece in plan.pieces)
        self.step_tokens.observe(num_read + len(self.scheduler.rows))
        for source, target in plan.copies:
            self.state.copy_block(source, target)
        rows = self.scheduler.rows
        if plan.pieces:
            self._attempt(self.scheduler.parts(plan), events)
        elif len(rows):
            self._decode(events)
        return events

    def _decode(self, events: list[Event]) -> None:
        """A token for each row, or several where guesses come true."""
        rows, started = self.scheduler.rows, time.perf_counter()
        count, guessed = len(rows), self._guess()
        if guessed:
            self._attempt(guessed, events)
        else:
            try:
                samples = self.forward.decode(rows)
            except Exception:
                self._attempt_each(self.scheduler.parts(Plan()), events)
            else:
                self._decoded(samples, events)
        if self.speculator is not None:
            self.speculator.observe(count, started)

    def _guess(self) -> list[Part]:
        """The rows' tokens with guesses of what follows them; empty where there are none."""
        if self.speculator is None:
            return []
        try:
            return self.speculator.parts(self.scheduler)
        except Exception:
            logger.exception("guessing failed and is given up")
            self.speculator = None
            return []

    def _decoded(self, samples: list[Sample], events: list[Event]) -> None:
        """Every row has got one token."""
        rows = self.scheduler.rows
        sequences = rows.sequences.copy()
        rows.advance([sample.token for sample in samples])
        now = time.perf_counter()
        for sequence, sample in zip(sequences, samples, strict=True):
            self._keep(sequence, sample, now, events)

    def _attempt(self, parts: list[Part], events: list[Event]) -> None:
        """Run parts together; if that fails, each alone, to find the one at fault."""
        try:
            results = self.forward.run(parts, self.scheduler.rows)
        except Exception:
            self._attempt_each(parts, events)
        else:
            self._finish(parts, results, events)

    def _attempt_each(self, parts: list[Part], events: list[Event]) -> None:
        """Run each part alone, and end those that fail. To be called in an except clause."""
        logger.exception("a forward call of %d sequence(s) failed", len(parts))
        for part in parts:
            try:
                results = self.forward.run([part], self.scheduler.rows)
            except Exception as error:  # whatever the model raises, other requests must go on
                if len(parts) > 1:
                    logger.exception("a forward call of one sequence failed")
                self._end(part.sequence, "error", f"{type(error).__name__}: {error}", events)
            else:
                self._finish([part], results, events)

    def _finish(self, parts: list[Part], drawn: list[list[Sample]], events: list[Event]) -> None:
        """Take in what a call has computed."""
        now = time.perf_counter()
        for part, samples in zip(parts, drawn, strict=True):
            sequence = part.sequence
            if sequence.row >= 0:
                self._continue(part, samples, now, events)
                continue
            self._count(sequence, len(part.ids))
            self.scheduler.publish(sequence)
            if samples:
                children = [] if sequence.forked else self._fork(sequence, samples)
                for begun, sample in zip([sequence, *children], samples, strict=False):
                    self._start(begun, sample, now, events)
        self.scheduler.rows.refresh()

    def _continue(self, part: Part, samples: list[Sample], now: float, events: list[Event]) -> None:
        """Give a row what was drawn, as far as the guesses before it came true."""
        sequence, guesses = part.sequence, part.ids[1:]
        num_right = 0
        for place, sample in enumerate(samples):
            if self._keep(sequence, sample, now, events):
                break
            if place == len(guesses) or sample.token != guesses[place]:
                break
            num_right += 1
        if guesses and self.speculator is not None:
            self.speculator.judge(sequence, len(guesses), num_right)
            if sequence.row >= 0:
                self.scheduler.trim(sequence)

    def _count(self, sequence: Sequence, length: int) -> None:
        """More of a sequence was read; tokens that were read before do not count again."""
        sequence.num_read += length
        new = min(sequence.num_read, sequence.num_prompt) - sequence.num_counted
        if new > 0:
            self.num_prompt_tokens += new
            sequence.num_counted += new

    def _start(self, sequence: Sequence, sample: Sample, now: float, events: list[Event]) -> None:
        """A sequence has been read to its end: from now on it decodes."""
        if not self._keep(sequence, sample, now, events):
            self.scheduler.start(sequence)

    def _fork(self, parent: Sequence, samples: list[Sample]) -> list[Sequence]:
        """The other continuations of a prompt that has been read; those that begin at once."""
        parent.forked = True
        begun = []
        for index, sample in enumerate(samples[1:], 1):
            child = parent.child(index, sample.state)
            if self.scheduler.fork(parent, child):
                begun.append(child)
        return begun

    def _keep(self, sequence: Sequence, sample: Sample, now: float, events: list[Event]) -> bool:
        """Give a sequence its next token; True if it has ended with it."""
        token = sample.token
        if not math.isfinite(sample.logprob):
            problem = sequence.state.problem
            if problem is None:
                # What these blocks hold must not reach others, not even through a mask.
                self.state.clear(self.pool.discard(sequence.blocks))
                problem = "the model's output is not a number"
            self._end(sequence, "error", problem, events)
            return True
        try:
            self.sampler.accept(sequence.state, token)
        except Exception as error:
            logger.exception("the sampler failed")
            self._end(sequence, "error", f"{type(error).__name__}: {error}", events)
            return True
        sequence.ids.append(token)
        self.num_generated_tokens += 1
        reason: FinishReason | None = None
        if token in sequence.stop_ids or sequence.state.ended:
            reason = "stop"
        elif len(sequence.ids) >= sequence.max_ids:
            reason = "length"
        events.append(
            Event(
                request_id=sequence.request.id,
                token_id=token,
                finish_reason=reason,
                logprob=sample.logprob,
                time=now,
                index=sequence.index,
                top_logprobs=sample.top_logprobs,
            )
        )
        if reason is not None:
            self._remove(sequence, reason)
        return reason is not None

    def _expire(self, events: list[Event]) -> None:
        """End the requests whose deadline has passed."""
        now = time.perf_counter()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number, request_id = heapq.heappop(self._deadlines)
            for sequence in self.scheduler.find(request_id):
                if sequence.rank[1] == number:  # and not a later request of the same id
                    self._end(sequence, "abort", "the deadline has passed", events)

    def _end(
        self, sequence: Sequence, reason: FinishReason, problem: str, events: list[Event]
    ) -> None:
        """End a sequence without a token, and the continuations that it stands for."""
        request = sequence.request
        indices = (sequence.index,) if sequence.forked else range(request.n)
        for index in indices:
            events.append(
                Event(request_id=request.id, finish_reason=reason, error=problem, index=index)
            )
        self._remove(sequence, reason)

    def _remove(self, sequence: Sequence, reason: FinishReason) -> None:
        """Free a sequence's row and blocks, and count why."""
        self.finished[reason] += 1
        if self.scheduler.remove(sequence) and sequence.request.adapter is not None:
            self.adapters.release(sequence.request.adapter)
            self.runner.forget()
