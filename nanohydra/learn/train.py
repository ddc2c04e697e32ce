"""Study items -> one adapter: a loop for runs of seconds, which stops as soon as they are recalled.

It has a loop of its own beside training.loop: a step is one pass over lessons, replay and anchors
together, whose two losses share its hidden states, and the run ends by what the model can say. It
must also run unnoticed beside a server: it handles no signals and leaves the allocator alone.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import torch

from nanohydra.adapters import AdapterWeights
from nanohydra.adapters.base import base_hash
from nanohydra.adapters.lora import attach, targeted
from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE
from nanohydra.kernels import linear_cross_entropy
from nanohydra.learn.activations import recomputes
from nanohydra.learn.anchors import Anchors
from nanohydra.learn.config import AdapterTrainConfig, LearnConfig
from nanohydra.learn.directions import aim, collect
from nanohydra.learn.near_misses import near_misses
from nanohydra.learn.replies import reply_to_all
from nanohydra.learn.samples import Mixture, Sample, encode, encode_item, pack
from nanohydra.learn.study import judge
from nanohydra.learn.word_dropout import variants

if TYPE_CHECKING:
    from nanohydra.adapters.lora import Attached
    from nanohydra.checkpoint import Loaded
    from nanohydra.learn.study import Study, StudyItem
    from nanohydra.model import Decoder

NEAR_MISSES_PER_LESSON = 6
# Below this share of dev answers predicted token by token, decoding them is not worth its time.
WORTH_DECODING = 0.6
ROWS_AT_ONCE = 32

Progress = Callable[[float, Mapping[str, float]], None]


class Stopped(Exception):
    """The training was told to stop before it was done."""


@dataclass(frozen=True, kw_only=True)
class TrainedAdapter:
    """An adapter and how it came about.

    metrics: steps, tokens, seconds, cpu_seconds, loss and kl (of the last step, nats per token),
    recall (of the development wordings, at the last check), and checkpointing, 1 where layers
    were computed again to save memory.
    """

    weights: AdapterWeights
    metrics: Mapping[str, float] = field(default_factory=dict)


def train_adapter(
    loaded: Loaded,
    study: Study,
    replay: Sequence[StudyItem],
    anchors: Anchors,
    config: LearnConfig,
    *,
    on_progress: Progress = lambda share, metrics: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainedAdapter:
    """Train a fresh adapter on the frozen base; the model is left as it was.

    replay: items of earlier lessons, where the adapter must do nothing. anchors: what the base is
    held to, made with this model.
    Raises Stopped, and UserError if the study holds nothing to train on or the numbers break down.
    """
    new = [item for item in study.items if item.split == "train"]
    if not new:
        raise UserError("the lessons gave nothing to train on; give a fact or a question each")
    run = _Run(loaded, config, on_progress, should_stop)
    run.prepare(new, replay, anchors)
    attached = attach(loaded.model, config.lora, seed=config.seed)
    was_training = loaded.model.training
    try:
        loaded.model.train()
        aim(attached, anchors.spreads, run.inputs, seed=config.seed)
        run.save_memory()
        run.steps(attached, checked(study))
        return TrainedAdapter(weights=attached.weights(run.base), metrics=run.metrics)
    finally:
        loaded.model.train(was_training)
        loaded.model.recompute = False
        attached.detach()


class _Run:
    """One training."""

    def __init__(
        self,
        loaded: Loaded,
        config: LearnConfig,
        on_progress: Progress,
        should_stop: Callable[[], bool],
    ) -> None:
        self.loaded, self.model, self.config = loaded, loaded.model, config
        self.on_progress, self.should_stop = on_progress, should_stop
        self.kl_weight = config.train.kl_weight
        self.metrics: dict[str, float] = {"recall": 0.0}
        self.started, self.cpu_started = time.monotonic(), time.process_time()

    def prepare(
        self, new: Sequence[StudyItem], replay: Sequence[StudyItem], anchors: Anchors
    ) -> None:
        """All sequences, and what the base says to them: the adapter is not there yet."""
        config, tokenizer = self.config, self.loaded.tokenizer
        mixture, longest = config.mixture, self.model.config.max_seq_len
        self.base = base_hash(self.model)
        count = NEAR_MISSES_PER_LESSON * len({item.lesson_id for item in new})
        wanted = mixture.near_misses > 0
        missed = near_misses(self.loaded, new, count=count, seed=config.seed) if wanted else []
        near = [(encode(tokenizer, m.messages, m.answer, longest), m.by_base) for m in missed]
        own = Anchors.of(self.model, (sample for sample, by_base in near if by_base))
        # Earlier lessons are answered by versions of their own, and two may answer together: so
        # this one must do nothing where they are asked, not learn them again.
        held = Anchors.of(self.model, (encode_item(tokenizer, item, longest) for item in replay))
        self.anchors = anchors.joined(own).joined(held)
        first, second = len(anchors.samples), len(anchors.samples) + len(own.samples)
        samples = self.anchors.samples
        often = [item for item in new if item.kind == "reverse"] * (config.train.reverse_times - 1)
        pools = {
            "new": [encode_item(tokenizer, item, longest) for item in (*new, *often)],
            "replay": samples[second:],
            "anchors": samples[:first],
            "near_misses": [*samples[first:second], *(s for s, base in near if not base)],
        }
        shares = {name: getattr(mixture, name) for name in pools if name != "new"}
        shares["new"] = 1.0 - sum(shares.values())
        known = [n for n in targeted(self.model, config.lora) if n in anchors.spreads]
        self.inputs = collect(self.model, known, pools["new"])
        widest = max(len(s.ids) - 1 for pool in pools.values() for s in pool)
        self.row_length = row_length = max(config.train.row_length, widest)
        self.mixture = Mixture(
            pools, shares, row_length=row_length, seed=config.seed, variants=self.fewer_words(new)
        )
        tokens = self.mixture.shares["new"] * row_length * config.train.rows_per_step
        epoch = sum(len(sample.ids) - 1 for sample in pools["new"]) / tokens  # in steps
        # Earlier lessons keep new ones from spreading to other wordings; more steps make up for it.
        longer = config.train.replay_factor if pools["replay"] else 1.0
        self.min_steps = math.ceil(config.train.min_steps * longer)
        passes = math.ceil(config.train.max_epochs * longer * epoch)
        self.last = min(config.train.max_steps, max(self.min_steps, passes))
        self.check_every = max(config.train.check_every, round(epoch / 2))

    def fewer_words(self, items: Sequence[StudyItem]) -> dict[Sample, list[Sample]]:
        """What may stand in the place of an item's sequence: its question with fewer words."""
        rng, longest = Random(f"{self.config.seed} words"), self.model.config.max_seq_len
        found: dict[Sample, list[Sample]] = {}
        for item in items:
            sample = encode_item(self.loaded.tokenizer, item, longest)
            made = variants(item, self.config.train.word_dropout, rng)
            others = [encode_item(self.loaded.tokenizer, each, longest) for each in made]
            found[sample] = [each for each in others if len(each.ids) <= len(sample.ids)]
        return found

    def save_memory(self) -> None:
        """Let the layers be computed again where their insides take too much memory."""
        self.model.recompute = recomputes(self.model, self.config.train, self.row_length)
        self.metrics["checkpointing"] = float(self.model.recompute)

    def steps(self, attached: Attached, asked: Sequence[StudyItem]) -> None:
        """Step after step, until what is asked is recalled or a cap is met."""
        train = self.config.train
        parameters = [p for p in attached.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, lr=train.lr, betas=train.betas, weight_decay=train.weight_decay, fused=True
        )
        last, check_every, settling = self.last, self.check_every, False
        for step in itertools.count(1):
            if self.should_stop():
                raise Stopped
            if step == max(2, last - train.settle_steps + 1):
                emphasize(attached, train.emphasis)
                self.kl_weight *= train.settle_kl
            for group in optimizer.param_groups:
                group["lr"] = train.lr * rate_factor(train, step, last)
            loss = self.backward()
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, train.clip_norm or math.inf))
            if not math.isfinite(loss + norm):
                raise UserError(f"the training broke down at step {step}: the loss is not finite")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            enough = step + train.settle_steps >= self.min_steps
            if step % check_every == 0 and enough and asked and not settling:
                self.metrics["recall"] = recall = self.recall(asked)
                if recall >= train.stop_recall:
                    last, settling = min(last, step + train.settle_steps), True
            seconds = time.monotonic() - self.started
            self.metrics |= {
                "steps": float(step),
                "tokens": float(sum(self.mixture.tokens.values())),
                "seconds": seconds,
                "cpu_seconds": time.process_time() - self.cpu_started,
            }
            self.on_progress(min(1.0, max(step / last, seconds / train.max_seconds)), self.metrics)
            if step >= last or seconds >= train.max_seconds:
                return

    def backward(self) -> float:
        """One step's gradient; its loss."""
        rows = self.mixture.rows(self.config.train.rows_per_step)
        batch = rows.batch.to(str(self.model.device))
        x_BTD = self.model.hidden(
            batch.ids_BT, positions_BT=batch.positions_BT, segments_BT=batch.segments_BT
        )
        loss, _ = linear_cross_entropy(
            x_BTD.flatten(0, 1),
            self.model.head.weight,
            rows.batch.labels_BT.flatten(),
            softcap=self.model.config.logit_softcap,
            reduction="mean",
        )
        self.metrics["loss"] = float(loss.detach())
        kl = self.anchors.divergence(self.model, x_BTD, rows.places_BT)
        if kl is not None:
            self.metrics["kl"] = float(kl.detach())
            loss = loss + self.kl_weight * kl
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    @torch.no_grad()
    def recall(self, dev: Sequence[StudyItem]) -> float:
        """Share of items answered right by greedy decoding.

        An item whose every token is the likeliest one, given those before it, is what greedy
        decoding would say, and one pass tells it of all; only the others are decoded.
        """
        if not dev:
            return 0.0
        longest = self.model.config.max_seq_len
        samples = [encode_item(self.loaded.tokenizer, item, longest) for item in dev]
        was_training = self.model.training
        self.model.eval()
        right = predicted(self.model, samples)
        self.model.train(was_training)
        if sum(right) >= WORTH_DECODING * len(dev):
            rest = [number for number, ok in enumerate(right) if not ok and dev[number].messages]
            replies = reply_to_all(
                self.model,
                self.loaded.tokenizer,
                [dev[number].messages for number in rest],
                max_new_tokens=self.config.train.max_new_tokens,
            )
            for number, reply in zip(rest, replies, strict=True):
                right[number] = judge(dev[number], reply.message.content, finished=reply.ended)
        return sum(right) / len(dev)


def checked(study: Study) -> list[StudyItem]:
    """What tells when to stop: the development items, and of kinds that lack them the trained ones.

    Nothing where there are no development items at all.
    """
    dev = [item for item in study.items if item.split == "dev"]
    kinds = {(item.lesson_id, item.kind) for item in dev}
    return dev + [
        item
        for item in study.items
        if dev
        and item.split == "train"
        and item.kind == "reverse"
        and (item.lesson_id, item.kind) not in kinds
    ]


@torch.no_grad()
def predicted(model: Decoder, samples: Sequence[Sample]) -> list[bool]:
    """Of each sample, whether every token that its mask names is the likeliest one at its place."""
    right = [False] * len(samples)
    order = sorted(range(len(samples)), key=lambda number: len(samples[number].ids))
    for start in range(0, len(order), ROWS_AT_ONCE):
        group = order[start : start + ROWS_AT_ONCE]
        batch = pack([[samples[number]] for number in group]).batch
        mask_BT, x_BTD = batch.labels_BT != IGNORE, model.hidden(batch.ids_BT.to(model.device))
        wrong_BT = torch.zeros_like(mask_BT)
        likeliest_N = model.unembed(x_BTD[mask_BT.to(model.device)]).argmax(-1).cpu()
        wrong_BT[mask_BT] = likeliest_N != batch.labels_BT[mask_BT]
        for number, wrong in zip(group, wrong_BT.any(1).tolist(), strict=True):
            right[number] = not wrong
    return right


@torch.no_grad()
def emphasize(attached: Attached, factor: float) -> None:
    """Multiply the update by a factor."""
    for layer in attached.layers.values():
        layer.lora_b.mul_(factor)


def rate_factor(config: AdapterTrainConfig, step: int, last: int) -> float:
    """What the rate is multiplied by at a step, counted from 1, of a run that ends at `last`."""
    rising = min(1.0, step / max(config.warmup_steps, 1))
    return rising * min(1.0, (last - step + 1) / (config.settle_steps + 1))
