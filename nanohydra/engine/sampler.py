"""Logits -> one token per row: greedy, temperature, filters, penalties, grammars, seeds.

Every row is decided by its own logits, parameters and random numbers alone, so that a request
gets the same tokens whatever shares its batch, and after it was preempted or its tokens guessed
ahead: the random number of a token depends only on seed, sample and place.

Log-probabilities are natural logarithms under the model's own logits, before temperature,
filters, penalties and masks. So are vLLM's unless it is started with another `logprobs_mode`;
OpenAI does not say which theirs are.
"""

from __future__ import annotations

import functools
import math
import random
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
        self._plan: Plan | None = None

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
        """The parameters of the rows as tensors; made anew only when they change."""
        params = [state.params for state in states]
        if self._plan is None or self._plan.params != params:
            self._plan = Plan.of(params, self.num_ids, self.device, native=self._native is not None)
        return self._plan

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


# The functions that the engine called before it had a Sampler.

UNIFORM_BITS = 24  # a float32 holds every multiple of 2^-24 below 1 exactly


def random_stream(seed: int | None) -> random.Random:
    """The uniform numbers of one request; reproducible across machines and torch versions."""
    return random.Random(seed)


@dataclass(frozen=True, kw_only=True)
class SamplingPlan:
    """The parameters of a batch as tensors; made anew only when the set of rows changes.

    Columns are (B, 1), float32. A None means that no row asks for it.
    """

    streams: tuple[random.Random, ...]
    greedy_B: Tensor | None
    temperature_B1: Tensor
    top_k_B1: Tensor | None
    max_top_k: int
    top_p_B1: Tensor | None
    min_p_log_B1: Tensor | None

    @classmethod
    def build(
        cls,
        params: Sequence[SamplingParams],
        streams: Sequence[random.Random],
        device: torch.device,
    ) -> SamplingPlan:
        """Lay out the parameters of the rows, in the order of the rows."""

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)

        greedy = [p.temperature == 0 for p in params]
        top_k = [p.top_k for p in params]
        # Rounding can carry a cumulative sum past 1; a bound of 2 keeps every token.
        top_p = [p.top_p if p.top_p < 1 else 2.0 for p in params]
        min_p = [math.log(p.min_p) if p.min_p > 0 else -math.inf for p in params]
        return cls(
            streams=() if all(greedy) else tuple(streams),
            greedy_B=torch.tensor(greedy, device=device) if any(greedy) else None,
            temperature_B1=column([p.temperature or 1.0 for p in params]),
            top_k_B1=torch.tensor(top_k, device=device).unsqueeze(1) if any(top_k) else None,
            max_top_k=max(top_k) if all(top_k) else 0,
            top_p_B1=column(top_p) if any(p.top_p < 1 for p in params) else None,
            min_p_log_B1=column(min_p) if any(p.min_p > 0 for p in params) else None,
        )


def sample(logits_BV: Tensor, plan: SamplingPlan) -> tuple[Tensor, Tensor]:
    """One token per row and its log-probability under the unchanged logits, (B,) each."""
    logits_BV = logits_BV.float()
    if not plan.streams:
        tokens_B = logits_BV.argmax(-1)
    else:
        tokens_B = draw(logits_BV / plan.temperature_B1, plan)
        if plan.greedy_B is not None:
            tokens_B = torch.where(plan.greedy_B, logits_BV.argmax(-1), tokens_B)
    chosen_B = logits_BV.gather(1, tokens_B.unsqueeze(1)).squeeze(1)
    return tokens_B, chosen_B - logits_BV.logsumexp(-1)


def draw(scaled_BV: Tensor, plan: SamplingPlan) -> Tensor:
    """A random token per row from logits that the temperature has divided already."""
    threshold_B1 = cutoff(scaled_BV, plan)
    if threshold_B1 is not None:
        scaled_BV = scaled_BV.masked_fill(scaled_BV < threshold_B1, -math.inf)
    cumulative_BV = scaled_BV.softmax(-1).cumsum(-1)
    uniform_B1 = torch.tensor(
        [stream.getrandbits(UNIFORM_BITS) for stream in plan.streams],
        dtype=torch.float32,
        device=scaled_BV.device,
    ).unsqueeze(1) / (1 << UNIFORM_BITS)
    total_B1 = cumulative_BV[:, -1:]
    # Strictly below the total: rounding must never reach past the last token that is kept.
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))
    places_B1 = torch.minimum(uniform_B1 * total_B1, below_B1)
    tokens_B1 = torch.searchsorted(cumulative_BV, places_B1, right=True)
    return tokens_B1.clamp_(max=scaled_BV.shape[1] - 1).squeeze(1)  # only NaN needs the clamp


def cutoff(scaled_BV: Tensor, plan: SamplingPlan) -> Tensor | None:
    """The lowest logit that each row keeps, (B, 1); None keeps all. Ties at it are kept."""
    thresholds = []
    if plan.top_k_B1 is not None or plan.top_p_B1 is not None:
        vocab = scaled_BV.shape[1]
        if plan.max_top_k:
            ordered_BV = scaled_BV.topk(min(plan.max_top_k, vocab), dim=-1).values
        else:
            ordered_BV = scaled_BV.sort(dim=-1, descending=True).values
        if plan.top_k_B1 is not None:
            last_B1 = torch.where(plan.top_k_B1 > 0, plan.top_k_B1, vocab) - 1
            kth_B1 = ordered_BV.gather(1, last_B1.clamp_(max=ordered_BV.shape[1] - 1))
            ordered_BV = ordered_BV.masked_fill(ordered_BV < kth_B1, -math.inf)
            thresholds.append(kth_B1)
        if plan.top_p_B1 is not None:
            probabilities_BV = ordered_BV.softmax(-1)
            before_BV = probabilities_BV.cumsum(-1) - probabilities_BV
            # The first token is always kept: nothing stands before it.
            kept_B1 = (before_BV < plan.top_p_B1).sum(-1, keepdim=True).clamp_(min=1)
            thresholds.append(ordered_BV.gather(1, kept_B1 - 1))
    if plan.min_p_log_B1 is not None:
        thresholds.append(scaled_BV.amax(-1, keepdim=True) + plan.min_p_log_B1)
    return functools.reduce(torch.maximum, thresholds) if thresholds else None
