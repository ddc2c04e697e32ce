"""Making tokens less likely that occurred before, by counts that grow with the text.

Repetition as in transformers and vLLM (arXiv 1909.05858): over prompt and output. Presence and
frequency as in OpenAI's API: over the output alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nanohydra.engine.request import SamplingParams


def has_penalties(params: SamplingParams) -> bool:
    """Whether the parameters need a `SeenTokens`."""
    return (
        params.repetition_penalty != 1
        or params.presence_penalty != 0
        or params.frequency_penalty != 0
    )


class SeenTokens:
    """The distinct ids of a text, and how often each one occurs in the output.

    Adding a token takes the same time however long the text is.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Sequence[int], num_ids: int) -> None:
        self.penalties = (
            params.repetition_penalty,
            params.presence_penalty,
            params.frequency_penalty,
        )
        counted = prompt_ids if params.repetition_penalty != 1 else ()
        distinct = [id for id in dict.fromkeys(counted) if id < num_ids]
        self._places = {id: place for place, id in enumerate(distinct)}
        self._ids = np.array(distinct + [0] * (len(distinct) + 16), dtype=np.int64)
        self._counts = np.zeros(len(self._ids), dtype=np.float32)

    def add(self, id: int) -> None:
        """The output has one more token."""
        place = self._places.setdefault(id, len(self._places))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = id
        self._counts[place] += 1

    @property
    def ids(self) -> NDArray[np.int64]:
        """The distinct ids."""
        return self._ids[: len(self._places)]

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often each of them is in the output; 0 for one of the prompt alone."""
        return self._counts[: len(self._places)]

    def fork(self) -> SeenTokens:
        """A copy that goes its own way."""
        copy = object.__new__(SeenTokens)
        copy.penalties = self.penalties
        copy._places = self._places.copy()
        copy._ids, copy._counts = self._ids.copy(), self._counts.copy()
        return copy


def penalise(logits_RV: Tensor, rows: Sequence[int], seen: Sequence[SeenTokens]) -> None:
    """Change these rows of the logits in place, each by what its text has seen."""
    lengths = [len(each.ids) for each in seen]
    starts = np.repeat(np.array(rows, dtype=np.int64) * logits_RV.shape[1], lengths)
    penalties_3R = np.array([each.penalties for each in seen], dtype=np.float32).T
    repetition, presence, frequency = np.repeat(penalties_3R, lengths, axis=1)
    counts = np.concatenate([each.counts for each in seen])
    less = frequency * counts + presence * (counts > 0)

    device = logits_RV.device
    places = torch.from_numpy(starts + np.concatenate([each.ids for each in seen])).to(device)
    factors = torch.from_numpy(repetition).to(device)
    flat = logits_RV.view(-1)
    values = flat[places]
    values = torch.where(values < 0, values * factors, values / factors)
    flat[places] = values - torch.from_numpy(less).to(device)
