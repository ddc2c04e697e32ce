"""Which adapter answers a text, learned one task at a time without any old data.

Linear discriminant analysis (Fisher 1936) over what the frozen base makes of a text's beginning:
a mean for each task and one covariance for all. Both are sums, so that a new task adds to them and
changes nothing that was known of the others; the router itself cannot forget.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nanohydra.core.types import Batch
from nanohydra.model import Decoder

SHRINKAGE = 0.05  # of the covariance towards a multiple of the identity


@torch.no_grad()
def features(model: Decoder, batch: Batch, num_tokens: int) -> Tensor:
    """The mean of the final hidden states over the first tokens of each row, (B, D) float64.

    No adapter may be on. A row that begins with the end of a text goes on with another of its
    task, which counts as well: a handful of tokens says little.
    """
    ids_BT, positions_BT, segments_BT = (
        t[:, :num_tokens].to(model.device)
        for t in (batch.ids_BT, batch.positions_BT, batch.segments_BT)
    )
    x_BTD = model.hidden(ids_BT, positions_BT=positions_BT, segments_BT=segments_BT)
    mask_BT1 = (segments_BT >= 0)[..., None]
    return ((x_BTD.double() * mask_BT1).sum(1) / mask_BT1.sum(1).clamp_min(1)).cpu()


class Router:
    """Means by task, and the sum of squares around them.

    reach: how far from its task's mean, in units of the covariance, a row may lie: the largest of
    the share `kept` of the rows that the task was learned from. Beyond, the base answers.
    """

    def __init__(self, *, kept: float = 0.995) -> None:
        self.kept = kept
        self.means: dict[int, Tensor] = {}
        self.counts: dict[int, int] = {}
        self.scatter: Tensor | None = None
        self.reach: dict[int, float] = {}

    def learn(self, task: int, x_ND: Tensor) -> None:
        """Add a task by the features of some of its rows."""
        mean = x_ND.mean(0)
        spread = (x_ND - mean).T @ (x_ND - mean)
        self.scatter = spread if self.scatter is None else self.scatter + spread
        self.means[task], self.counts[task] = mean, len(x_ND)
        distances = self.distances(x_ND)[:, list(self.means).index(task)]
        self.reach[task] = float(torch.quantile(distances, self.kept))

    def distances(self, x_ND: Tensor) -> Tensor:
        """Squared Mahalanobis distances of N rows from the mean of each task, in order of tasks."""
        assert self.scatter is not None
        covariance = self.scatter / max(sum(self.counts.values()) - len(self.means), 1)
        identity = torch.eye(len(covariance), dtype=covariance.dtype)
        size = covariance.diagonal().mean().clamp_min(1e-12)
        smooth = (1 - SHRINKAGE) * covariance + SHRINKAGE * size * identity
        factor = torch.linalg.cholesky(smooth)
        gaps_NMD = x_ND[:, None] - torch.stack(list(self.means.values()))
        white = torch.linalg.solve_triangular(factor, gaps_NMD.flatten(0, 1).T, upper=False)
        return white.square().sum(0).view(len(x_ND), -1)

    def choose(self, x_ND: Tensor) -> list[int | None]:
        """The nearest task of each row, None where even that is out of reach."""
        if not self.means:
            return [None] * len(x_ND)
        tasks = list(self.means)
        nearest = self.distances(x_ND).min(1)
        chosen = [tasks[place] for place in nearest.indices.tolist()]
        near = zip(chosen, nearest.values.tolist(), strict=True)
        # The covariance grows with the tasks, so that old reaches are a bound that only loosens.
        return [task if distance <= 4 * self.reach[task] else None for task, distance in near]

    def state_dict(self) -> dict[str, Any]:
        """Means, counts, scatter and reach."""
        return {
            "tasks": list(self.means),
            "means": list(self.means.values()),
            "counts": list(self.counts.values()),
            "reach": list(self.reach.values()),
            "scatter": self.scatter,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a saved state."""
        tasks = state["tasks"]
        self.means = dict(zip(tasks, state["means"], strict=True))
        self.counts = dict(zip(tasks, state["counts"], strict=True))
        self.reach = dict(zip(tasks, state["reach"], strict=True))
        self.scatter = state["scatter"]
