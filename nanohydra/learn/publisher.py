"""A version that the gate let through: into the bank, then into its alias, and safe from kills.

Killed between the two, `finish` does the rest. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanohydra.adapters.bank import Bank
from nanohydra.adapters.weights import AdapterWeights
from nanohydra.core.errors import UserError
from nanohydra.learn.store import LearningStore
from nanohydra.learn.work import Released, Work
from nanohydra.model import ModelConfig


class Publisher:
    """Makes versions live, each for the owner of its job.

    bank: the default owner's. base: the shapes of the model that they belong to.
    """

    def __init__(self, store: LearningStore, bank: Bank, base: ModelConfig) -> None:
        self.store, self.bank, self.base = store, bank, base

    def publish(self, work: Work, weights: AdapterWeights, manifest: Mapping[str, Any]) -> str:
        """Make an adapter live for the alias of the job; returns its version.

        manifest: with `lessons` (id -> recall), `replay`, `unproven`, `replaces` and `gate`. Raises
        Released if one of its lessons was deleted meanwhile.
        """
        work.renew()
        about = {"alias": work.job.alias, "job": work.job.id, **manifest}
        version = self.bank.of(work.job.owner).publish(weights, self.base, manifest=about)
        work.note(version=version)
        self.finish(work, version)
        return version

    def resume(self, work: Work, version: str) -> None:
        """Finish what a killed learner published, unless it had; then a user may have moved on."""
        try:
            recalls = self.bank.of(work.job.owner).info(version).manifest["lessons"]
        except UserError:
            return  # it is gone, and stays so
        states = {lesson.state for lesson in self.store.lessons_by_id(list(recalls))}
        if states != {"live"} or work.job.kind == "consolidate":
            self.finish(work, version)

    def finish(self, work: Work, version: str) -> None:
        """Make a version of the bank live. Raises UserError if it is gone."""
        bank, alias = self.bank.of(work.job.owner), work.job.alias
        manifest = bank.info(version).manifest
        recalls = manifest["lessons"]
        others = {role: manifest.get(role, []) for role in ("replay", "unproven")}
        self.store.record_version(version, new=recalls, **others)
        if change_alias(bank, alias, add=version, drop=manifest["replaces"]):
            work.record("activated", version=version, alias=alias)
        # Whoever deletes a lesson from now on sees this version; who did before is seen here.
        if self.deleted([*recalls, *others["replay"], *others["unproven"]]):
            change_alias(bank, alias, drop=[version])
            bank.remove(version)
            work.record("dropped", version=version)
            raise Released
        self.store.set_lessons(recalls, "live")
        gate = manifest["gate"]
        work.record(
            "live", version=version, lessons=recalls, earlier=gate.get("earlier", {}),
            gate=gate["checks"],
        )  # fmt: skip

    def deleted(self, lesson_ids: Sequence[str]) -> bool:
        """Whether one of these lessons is gone."""
        return any(x.state == "deleted" for x in self.store.lessons_by_id(lesson_ids))


def change_alias(bank: Bank, alias: str, *, add: str = "", drop: Sequence[str] = ()) -> bool:
    """Put a version in front of an alias's and take others away; False if it stood so."""
    while True:
        versions = bank.alias(alias).versions
        kept = tuple(v for v in versions if v not in drop)
        wanted = (add, *kept) if add and add not in kept else kept
        if wanted == versions:
            return False
        try:
            bank.activate(alias, wanted, expected=versions)
        except UserError:
            if bank.alias(alias).versions == versions:
                raise  # not because someone else changed it
        else:
            return True
