"""One forward call, and what the sampler draws from its logits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence as Items
from dataclasses import dataclass

from torch import Tensor

from nanohydra.engine.rows import Part, Rows
from nanohydra.engine.runner import Runner
from nanohydra.engine.sampler import Sampled, Sampler, Tops
from nanohydra.engine.sampling.state import SampleState
from nanohydra.engine.threads import Threads
from nanohydra.model import Decoder


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn, and for whom."""

    state: SampleState
    token: int
    logprob: float
    top_logprobs: Tops


class Forward:
    """Calls a runner, then a sampler. Changes nothing but the decoding state."""

    def __init__(self, model: Decoder, runner: Runner, sampler: Sampler) -> None:
        self.runner = runner
        self.sampler = sampler
        self.threads = Threads(model)

    def decode(self, rows: Rows) -> Sampled:
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
        # All continuations of a prompt are drawn from the logits of its last token.
        places: list[int] = []
        for place, of_part in enumerate(filter(None, own)):
            places += [place] * len(of_part)
        if len(places) > len(logits_MV):
            logits_MV = logits_MV[places]
        sampled = self._sample(logits_MV, tuple(states))
        drawn = map(
            Sample,
            states,
            sampled.tokens.tolist(),
            sampled.logprobs.tolist(),
            sampled.top_logprobs,
        )
        return [list(itertools.islice(drawn, len(of_part))) for of_part in own]

    def _states_of(self, part: Part) -> list[SampleState]:
        """Whose draws a part's logits are for."""
        sequence, request = part.sequence, part.sequence.request
        if not part.num_wanted:
            return []
        if sequence.forked:
            return [sequence.state]
        return [sequence.state] + [
            self.sampler.start(request.params, request.prompt_ids, index)
            for index in range(1, request.n)
        ]

    def _sample(self, logits_MV: Tensor, states: Items[SampleState]) -> Sampled:
        with self.threads.of_call(len(states)):
            return self.sampler.sample(logits_MV, states)
