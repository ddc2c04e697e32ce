"""One forward call, and what the sampler draws from its logits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items
from typing import NamedTuple

import torch
from torch import Tensor

from nanohydra.engine.rows import Part, Rows
from nanohydra.engine.runner import Runner
from nanohydra.engine.sampler import Sampler, Tops
from nanohydra.engine.sampling.state import SampleState
from nanohydra.engine.threads import Threads
from nanohydra.model import Decoder


class Sample(NamedTuple):
    """What was drawn, and for whom."""

    state: SampleState
    token: int
    logprob: float
    top_logprobs: Tops


class Forward:
    """Calls a runner, then a sampler. Changes nothing but the decoding state.

    one_by_one: draws for each row alone, as PyTorch may add up several in another order.
    """

    def __init__(
        self, model: Decoder, runner: Runner, sampler: Sampler, *, one_by_one: bool = False
    ) -> None:
        self.runner = runner
        self.sampler = sampler
        self.one_by_one = one_by_one
        self.threads = Threads(model)

    def decode(self, rows: Rows) -> list[Sample]:
        """The next token of every row, in their order."""
        batch, states = rows.batch(), rows.states
        return self._sample(self.runner.run(batch), states)

    def run(self, parts: Items[Part], rows: Rows) -> list[list[Sample]]:
        """What is drawn for each part; `parts` as in `Rows.join`."""
        logits_MV = self.runner.run(rows.join(parts))
        own = [self._states_of(part) for part in parts]
        states = list(itertools.chain.from_iterable(own))
        if not states:
            return [[] for _ in parts]
        places: list[int] = []
        first = 0
        for part, of_part in zip(parts, own, strict=True):
            # All continuations of a prompt are drawn from the logits of its last token.
            places += (
                [first] * len(of_part)
                if part.num_wanted == 1
                else range(first, first + part.num_wanted)
            )
            first += part.num_wanted
        if len(places) > len(logits_MV):
            logits_MV = logits_MV[places]
        drawn = iter(self._sample(logits_MV, tuple(states)))
        return [list(itertools.islice(drawn, len(of_part))) for of_part in own]

    def _states_of(self, part: Part) -> list[SampleState]:
        """Whose draws a part's logits are for."""
        sequence, request = part.sequence, part.sequence.request
        if not part.num_wanted:
            return []
        if part.num_wanted > 1:
            return self.sampler.ahead(sequence.state, part.ids[1:])
        if sequence.forked:
            return [sequence.state]
        return [sequence.state] + [
            self.sampler.start(request.params, request.prompt_ids, index)
            for index in range(1, request.n)
        ]

    def _sample(self, logits_MV: Tensor, states: Items[SampleState]) -> list[Sample]:
        if self.one_by_one and len(states) > 1:
            rows = zip(torch.split(logits_MV, 1), states, strict=True)
            return [sample for row, state in rows for sample in self._sample(row, (state,))]
        with self.threads.of_call(len(states)):
            drawn = self.sampler.sample(logits_MV, states)
        tokens, logprobs = drawn.tokens.tolist(), drawn.logprobs.tolist()
        return list(map(Sample, states, tokens, logprobs, drawn.top_logprobs))
