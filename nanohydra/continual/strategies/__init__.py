"""Strategies against forgetting, one file each: one table, `name -> "module:Class"`.

PackNet (arXiv 1711.05769) and Progressive Networks (arXiv 1606.04671) have their place here: both
keep a part of the weights for each task, as adapters do at less cost.
"""

from __future__ import annotations

from nanohydra.continual.config import ContinualConfig
from nanohydra.continual.strategy import Lab, Strategy
from nanohydra.core.config import from_dict
from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table, suggest

STRATEGIES = Table(
    "strategy",
    {
        "joint": "nanohydra.continual.strategies.joint:Joint",
        "cumulative": "nanohydra.continual.strategies.joint:Cumulative",
        "naive": "nanohydra.continual.strategies.naive:Naive",
        "replay": "nanohydra.continual.strategies.replay:Replay",
        "replay_balanced": "nanohydra.continual.strategies.replay:BalancedReplay",
        "ewc": "nanohydra.continual.strategies.ewc:Ewc",
        "ewc_online": "nanohydra.continual.strategies.ewc:OnlineEwc",
        "lwf": "nanohydra.continual.strategies.lwf:Lwf",
        "agem": "nanohydra.continual.strategies.agem:Agem",
        "generative_replay": "nanohydra.continual.strategies.generative_replay:GenerativeReplay",
        "lora_per_task": "nanohydra.continual.strategies.lora_per_task:LoraPerTask",
        "lora_routed": "nanohydra.continual.strategies.lora_routed:LoraRouted",
        "nested_lora": "nanohydra.continual.strategies.nested_lora:NestedLora",
        "olora": "nanohydra.continual.strategies.olora:OLora",
        "merge_average": "nanohydra.continual.strategies.merge:MergeAverage",
        "merge_ties": "nanohydra.continual.strategies.merge:MergeTies",
        "merge_dare": "nanohydra.continual.strategies.merge:MergeDare",
    },
)
__all__ = ["STRATEGIES", "check_options", "make"]


def make(name: str, lab: Lab) -> Strategy:
    """A strategy with the options that the recipe gives it.

    Raises UserError for an unknown name and for options that it has not.
    """
    cls: type[Strategy] = STRATEGIES.load(name)
    options = lab.config.options.get(name, {})
    return cls(lab, from_dict(cls.Config, options, f"in continual.options.{name}"))


def check_options(config: ContinualConfig) -> None:
    """Raise UserError for options of strategies that do not exist, or that these have not."""
    for name, options in config.options.items():
        if name not in STRATEGIES:
            raise UserError(f"continual.options names {name!r}; {suggest(name, STRATEGIES)}")
        from_dict(STRATEGIES.load(name).Config, options, f"in continual.options.{name}")
