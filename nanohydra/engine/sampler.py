"""Logits -> one token per row: greedy, temperature, filters, penalties, grammars, seeds.

Every row is decided by its own logits, parameters and random numbers alone, so that a request
gets the same tokens whatever shares its batch, and after it was preempted or its tokens guessed
ahead: the random number of a token depends only on seed, sample and place.

Log-probabilities are natural logarithms under the model's own logits, before temperature,
filters, penalties and masks. So are vLLM's unless it is started with another `logprobs_mode`;
OpenAI does not say which theirs are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nanohydra.core.errors import UserError
from nanohydra.core.tokens import TokenTable
from nanohydra.engine.request import SamplingParams
from nanohydra.engine.sampling.constraint import GrammarCompiler
from nanohydra.engine.sampling.draw import choose
from nanohydra.engine.sampling.penalties import SeenTokens, has_penalties, penalise
from nanohydra.engine.sampling.plan import Plan
from nanohydra.engine.sampling.state import SampleState, key_of
from nanohydra.kernels.sampling import RowSampler

MAX_PLANS = 64
Tops = tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Sampled:
    """What was chosen for M rows.

    tokens: int64 (M,). logprobs: float32 (M,); NaN where nothing could be chosen, or the logits
    are not numbers. top_logprobs: for each row the likeliest ids, as many as it asks for.
    """

    tokens: Tensor
    logprobs: Tensor
    top_logprobs: Sequence[Tops]


class Sampler:
    """Chooses tokens for the sequences of one engine, each with a state that `start` makes.

    vocab_size: width of the logits. num_ids: only ids below it are chosen; 0 means all.
    vocabulary: what grammars need to know of the tokens.
    """

    def __init__(
        self,
        vocab_size: int,
        num_ids: int,
        device: torch.device,
        vocabulary: TokenTable | None = None,
    ) -> None:
        self.num_ids = num_ids or vocab_size
        self.device = device
        self.compiler = None if vocabulary is None else GrammarCompiler(vocabulary)
        self._native = RowSampler(self.num_ids) if RowSampler.fits(device) else None
        self._plans: dict[tuple[int, ...], Plan] = {}

    def check(self, params: SamplingParams) -> None:
        """Raise UserError if these parameters can not be used here. Safe from any thread."""
        for name, ids in (("logit_bias", params.logit_bias), ("allowed_ids", params.allowed_ids)):
            if ids and max(ids) >= self.num_ids:
                raise UserError(
                    f"{name} has token {max(ids)}, but the vocabulary ends at {self.num_ids - 1}"
                )
        if params.grammar is not None:
            if self.compiler is None:
                raise UserError("this engine was not told its vocabulary, so it takes no grammar")
            self.compiler.start(params.grammar)

    def start(
        self, params: SamplingParams, prompt_ids: Sequence[int], index: int = 0
    ) -> SampleState:
        """The state of a new sequence. Raises UserError as `check` does.

        index: which of several samples of a request it is.
        """
        state = SampleState(params=params, key=key_of(params.seed, index))
        if has_penalties(params):
            state.seen = SeenTokens(params, prompt_ids, self.num_ids)
        if params.allowed_ids is not None:
            state.forbidden = torch.ones(self.num_ids, dtype=torch.bool, device=self.device)
            state.forbidden[list(params.allowed_ids)] = False
        if params.grammar is not None:
            self.check(params)
            assert self.compiler is not None
            state.constraint = self.compiler.start(params.grammar, params.stop_ids)
        return state

    def sample(self, logits_MV: Tensor, states: Sequence[SampleState]) -> Sampled:
        """A token for each row; changes neither logits nor states."""
        logits_MV = logits_MV[:, : self.num_ids].float()
        plan = self._plan_of(states)
        uniform_M = plan.zeros_M
        if plan.draws:
            uniform_M = torch.tensor(
                [state.uniform for state in states], dtype=torch.float64, device=self.device
            )
        changed_RV = self._change(logits_MV, states, plan)
        if self._native is not None:
            assert plan.arrays is not None
            tokens_M, logprobs_M, sums_M = self._native.sample(
                logits_MV, plan.arrays, uniform_M, changed_RV, plan.other_M
            )
        else:
            assert plan.columns is not None
            chosen_by_MV = logits_MV
            if changed_RV is not None:
                chosen_by_MV = logits_MV.clone()
                chosen_by_MV[plan.changed] = changed_RV
            tokens_M = choose(chosen_by_MV, plan.columns, uniform_M if plan.draws else None)
            sums_M = logits_MV.logsumexp(-1)
            logprobs_M = logits_MV.gather(1, tokens_M.unsqueeze(1)).squeeze(1) - sums_M
            if changed_RV is not None:  # token 0 of a row without any choice
                logprobs_M = logprobs_M.masked_fill(chosen_by_MV.amax(-1) == -math.inf, math.nan)
        return Sampled(
            tokens=tokens_M,
            logprobs=logprobs_M,
            top_logprobs=_top_logprobs(logits_MV, sums_M, plan.num_top),
        )

    def accept(self, state: SampleState, token_id: int) -> None:
        """The sequence goes on with this token."""
        state.num_new += 1
        if state.seen is not None:
            state.seen.add(token_id)
        if state.constraint is not None:
            state.constraint.accept(token_id)

    def count_possible(self, state: SampleState, guesses: Sequence[int]) -> int:
        """How many guessed tokens, one after the other, the grammar lets come next."""
        return len(guesses) if state.constraint is None else state.constraint.count_valid(guesses)

    def ahead(self, state: SampleState, guesses: Sequence[int]) -> list[SampleState]:
        """The state as it is, and how it will be after each guess, if all of them come true."""
        states = [state]
        for guess in guesses:
            state = state.fork()
            self.accept(state, guess)
            states.append(state)
        return states

    def _plan_of(self, states: Sequence[SampleState]) -> Plan:
        """The parameters of the rows as tensors; the last few are kept, as they come again."""
        # A plan keeps its parameters alive, so an id can mean nothing else.
        key = tuple([id(state.params) for state in states])
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            params = [state.params for state in states]
            plan = Plan.of(params, self.num_ids, self.device, native=self._native is not None)
            self._plans[key] = plan
        return plan

    def _change(
        self, logits_MV: Tensor, states: Sequence[SampleState], plan: Plan
    ) -> Tensor | None:
        """The logits to choose by, of the rows in plan.changed; None if there are none.

        As in vLLM: logit bias, penalties. Then what is forbidden.
        """
        if not plan.changed:
            return None
        changed_RV = logits_MV[plan.changed]
        special = [states[row] for row in plan.changed]
        if plan.bias_places is not None and plan.biases is not None:
            changed_RV.view(-1).index_add_(0, plan.bias_places, plan.biases)
        penalised = [(row, s.seen) for row, s in enumerate(special) if s.seen is not None]
        if penalised:
            rows, seen = zip(*penalised, strict=True)
            penalise(changed_RV, rows, seen)
        for logits_V, state in zip(changed_RV, special, strict=True):
            self._forbid(logits_V, state)
        return changed_RV

    def _forbid(self, logits_V: Tensor, state: SampleState) -> None:
        """Leave no chance to what may not be chosen now."""
        if state.forbidden is not None:
            logits_V.masked_fill_(state.forbidden, -math.inf)
        if state.constraint is not None:
            forbidden = torch.from_numpy(state.constraint.forbidden(self.num_ids))
            logits_V.masked_fill_(forbidden.to(self.device), -math.inf)
        if state.num_new < state.params.min_tokens:
            stop_ids = [id for id in state.params.stop_ids if id < self.num_ids]
            kept = logits_V[stop_ids]
            logits_V[stop_ids] = -math.inf
            if state.constraint is not None and logits_V.max() == -math.inf:
                logits_V[stop_ids] = kept  # where a grammar ends, so does the text


def _top_logprobs(logits_MV: Tensor, sums_M: Tensor, counts: Sequence[int]) -> Sequence[Tops]:
    """The likeliest ids of each row with their log-probabilities, best first."""
    most = max(counts, default=0)
    if not most:
        return ((),) * len(counts)
    rows = [row for row, count in enumerate(counts) if count]
    values_RK, ids_RK = logits_MV[rows].topk(min(most, logits_MV.shape[1]))
    pairs = zip(ids_RK.tolist(), (values_RK - sums_M[rows].unsqueeze(1)).tolist(), strict=True)
    tops: list[Tops] = [()] * len(counts)
    for row, (ids, logprobs) in zip(rows, pairs, strict=True):
        tops[row] = tuple(zip(ids, logprobs, strict=True))[: counts[row]]
    return tops
