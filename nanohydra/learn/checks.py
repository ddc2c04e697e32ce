"""The gate's checks: replies and losses against the limits of the recipe, told in plain words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from nanohydra.adapters.lora import linear_at
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.eval.stats import wilson
from nanohydra.learn.config import GateConfig
from nanohydra.learn.manners import agreement, banned, kept_calls, kept_ends
from nanohydra.learn.probes import Measured, Probes, rise
from nanohydra.learn.replies import Reply
from nanohydra.learn.report import Check
from nanohydra.learn.study.items import StudyItem, judge

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded

NOTHING = "there is nothing to measure."


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Replies to study items, in their order."""

    items: Sequence[StudyItem]
    replies: Sequence[Reply]

    def of(self, *, reverse: bool) -> Answered:
        """Only the reverse questions, or only the others."""
        return self._where(lambda item: (item.kind == "reverse") == reverse)

    def without(self, lessons: Collection[str]) -> Answered:
        """Only what is about other lessons than these."""
        return self._where(lambda item: item.lesson_id not in lessons)

    def _where(self, wanted: Callable[[StudyItem], bool]) -> Answered:
        pairs = [(i, r) for i, r in zip(self.items, self.replies, strict=True) if wanted(i)]
        return Answered(items=[i for i, _ in pairs], replies=[r for _, r in pairs])

    @property
    def right(self) -> list[bool]:
        """Which are right, judged on the whole answer with its natural stop."""
        return [
            judge(item, reply.message.content, finished=reply.ended)
            for item, reply in zip(self.items, self.replies, strict=True)
        ]

    def by_lesson(self) -> dict[str, float]:
        """Share of right answers of each lesson."""
        found: dict[str, list[bool]] = {}
        for item, ok in zip(self.items, self.right, strict=True):
            found.setdefault(item.lesson_id, []).append(ok)
        return {lesson: sum(oks) / len(oks) for lesson, oks in found.items()}


@torch.no_grad()
def check_size(loaded: Loaded, weights: AdapterWeights, config: GateConfig) -> Check:
    """Whether the update is finite and small beside the weights that it changes."""
    limit = config.max_relative_change
    worst, where = 0.0, "no layer"
    for name, pair in weights.pairs.items():
        weight = linear_at(loaded.model, name).weight.float().cpu()
        change = weights.config.scale * pair.b_OR.float() @ pair.a_RI.float()
        ratio = float(change.norm() / weight.norm().clamp_min(1e-12))
        if not math.isfinite(ratio):
            detail = f"the update of {name} is not finite."
            return Check(value=None, limit=limit, passed=False, detail=detail)
        if ratio > worst:
            worst, where = ratio, name
    detail = f"{where} changes by {worst:.3f} of its norm; at most {limit:g} is allowed."
    return Check(value=worst, limit=limit, passed=worst <= limit, detail=detail)


def check_recall(answered: Answered, config: GateConfig) -> dict[str, Check]:
    """Held-out wordings, and held-out reverse questions."""
    right = answered.of(reverse=False).right
    count, hits = len(right), sum(right)
    low = wilson(hits, count).low
    if count >= config.small_sample:
        value, limit = low, config.min_recall
        needed = f"the lower end of the 95% interval is {low:.3f}, at least {limit:g} is needed"
    else:
        least = max(min(count, 1), count - config.small_misses)
        value, limit = hits / max(count, 1), least / max(count, 1)
        needed = f"at least {least} are needed"
    passed = count > 0 and value >= limit
    detail = f"{hits} of {count} held-out wordings are answered right; {needed}."
    if not count:
        detail = "the lessons have no held-out wordings to test."
    checks = {"recall": Check(value=value, limit=limit, passed=passed, detail=detail)}
    back = answered.of(reverse=True).right
    # of two or three questions one miss is no share
    all_but_few = max(1, len(back) - config.small_misses) / max(len(back), 1)
    share = min(config.min_reverse, all_but_few)
    checks["reverse"] = at_least(
        sum(back) / len(back) if back else None,
        share,
        f"{sum(back)} of {len(back)} held-out reverse questions are answered right; "
        f"at least {share:.0%} is needed.",
    )
    return checks


def unproven(answered: Answered, config: GateConfig) -> dict[str, list[str]]:
    """The lessons without which the others pass, and which checks each of them fails by itself.

    Those with most wrong answers are left out first, as few as will do; all of them if no lesson
    passes. Empty if all pass together.
    """
    wrong: Counter[str] = Counter()
    for item, ok in zip(answered.items, answered.right, strict=True):
        wrong[item.lesson_id] += not ok
    found: dict[str, list[str]] = {}
    for lesson, _ in wrong.most_common():
        if not _failed(answered.without(found), config):
            break
        others = wrong.keys() - {lesson}
        found[lesson] = _failed(answered.without(others), config) or ["recall"]
    return found


def _failed(answered: Answered, config: GateConfig) -> list[str]:
    return [name for name, check in check_recall(answered, config).items() if not check.passed]


def at_least(value: float | None, limit: float, detail: str) -> Check:
    """A check that a value reaches its limit; nothing to measure is no failure."""
    if value is None:
        return Check(value=None, limit=limit, passed=True, detail=NOTHING)
    return Check(value=value, limit=limit, passed=value >= limit, detail=detail)


def check_forgetting(before: Measured, after: Measured, config: GateConfig) -> dict[str, Check]:
    """The rise of the loss on each anchor domain."""
    checks = {}
    for domain, nats in before.nats.items():
        mean, high = rise(
            nats, after.nats[domain], before.tokens[domain], samples=config.bootstrap_samples
        )
        limit = config.max_loss_rise
        checks[f"forgetting/{domain}"] = Check(
            value=high,
            limit=limit,
            passed=high <= limit,
            detail=f"the loss on {domain} changes by {mean:+.4f} nats per token, and with 95% "
            f"confidence by at most {high:+.4f}; {limit:g} is allowed.",
        )
    return checks


def check_earlier(kept: Mapping[str, float], config: GateConfig) -> Check:
    """Share of earlier lessons of which less than half the questions are answered."""
    found = list(kept.values())
    limit = config.max_lost
    if not found:
        return Check(value=None, limit=limit, passed=True, detail=NOTHING)
    lost = sum(share < 0.5 for share in found)
    detail = f"{lost} of {len(found)} earlier lessons are lost; at most {limit:.1%} may be."
    return Check(
        value=lost / len(found), limit=limit, passed=lost / len(found) <= limit, detail=detail
    )


def check_manners(
    probes: Probes, before: Measured, after: Measured, new: Answered, config: GateConfig
) -> dict[str, Check]:
    """What the adapter says where nothing was taught: the base's words, forms, no banned words."""
    same = agreement(before.choices, after.choices)
    free = agreement([r.ids for r in before.replies], [r.ids for r in after.replies]) or 0
    calls, all_calls = kept_calls(before.replies, after.replies)
    ends, all_ends = kept_ends(before.replies, after.replies)
    said = 0
    for prompt, one, other in zip(probes.prompts, before.replies, after.replies, strict=True):
        allowed = " ".join([*(m.content for m in prompt.messages), one.message.content])
        said += bool(banned(other.message.content, allowed, config.banned_words))
    for item, reply in zip(new.items, new.replies, strict=True):
        allowed = " ".join([*(m.content for m in item.messages), item.answer])
        said += bool(banned(reply.message.content, allowed, config.banned_words))
    return {
        "locality": at_least(
            same,
            config.min_agreement,
            f"{same or 0:.1%} of the tokens of answers to unrelated prompts are chosen as before "
            f"along the base's words; at least {config.min_agreement:.1%} must be. "
            f"(Written freely, {free:.1%} are at their place.)",
        ),
        "tools": at_least(
            calls / all_calls if all_calls else None,
            config.min_tools,
            f"{calls} of {all_calls} tool calls are still well formed; "
            f"at least {config.min_tools:.1%} must be.",
        ),
        "format": at_least(
            ends / all_ends if all_ends else None,
            config.min_format,
            f"{ends} of {all_ends} answers still end where they should; "
            f"at least {config.min_format:.1%} must.",
        ),
        "words": Check(
            value=float(said),
            limit=0.0,
            passed=not said,
            detail=f"{said} answers say a banned word that neither the lesson nor the base says.",
        ),
    }
