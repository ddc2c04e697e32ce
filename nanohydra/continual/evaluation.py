"""The score of a model on a task's held-out batches: one cell of the matrix R."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from nanohydra.continual.strategy import Strategy
from nanohydra.core.types import IGNORE, Batch
from nanohydra.model import Decoder
from nanohydra.training.batches import micro_batches
from nanohydra.training.evaluate import validation_loss


@torch.no_grad()
def score(strategy: Strategy, task: int) -> float | None:
    """How well the strategy's model does a task now; higher is better. None without targets."""
    model, wanted = strategy.lab.model, strategy.lab.stream.tasks[task]
    was_training = model.training
    model.eval()
    good, count = 0.0, 0
    try:
        for batch in wanted.evaluation:
            for part in strategy.answered(batch, task):
                if wanted.metric == "accuracy":
                    right, asked = answered_right(model, part)
                    good, count = good + right, count + asked
                elif part.num_targets:
                    nats = validation_loss(model, [part], device=str(model.device))["val_loss"]
                    good, count = good - nats * part.num_targets, count + part.num_targets
    finally:
        model.train(was_training)
    return good / count if count and math.isfinite(good) else None


def answered_right(model: Decoder, batch: Batch) -> tuple[int, int]:
    """How many sequences greedy decoding would answer in exactly the given tokens, and of how many.

    An answer whose every token is the likeliest one after those before it is what greedy decoding
    says, so that one pass tells.
    """
    right = asked = 0
    for micro in micro_batches(batch, 0, str(model.device)):
        x_BTD = model.hidden(
            micro.ids_BT, positions_BT=micro.positions_BT, segments_BT=micro.segments_BT
        )
        mask_BT = micro.labels_BT != IGNORE
        likeliest_N = model.unembed(x_BTD[mask_BT.to(x_BTD.device)]).argmax(-1).cpu()
        wrong_BT = torch.zeros_like(mask_BT)
        wrong_BT[mask_BT] = likeliest_N != micro.labels_BT[mask_BT]
        has_target_B = (batch.labels_BT != IGNORE).any(1)
        for segments, mask, wrong in zip(
            batch.segments_BT[has_target_B], mask_BT, wrong_BT, strict=True
        ):
            answers = set(segments[mask].tolist())
            asked += len(answers)
            right += len(answers - set(segments[wrong].tolist()))
    return right, asked


def scores(strategy: Strategy, tasks: Iterable[int]) -> tuple[float | None, ...]:
    """One row of R."""
    return tuple(score(strategy, task) for task in tasks)
