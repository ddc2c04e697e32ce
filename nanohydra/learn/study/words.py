"""The words of the template bank: those that tell relations apart and name nobody."""

from __future__ import annotations

import re
from functools import cache

from nanohydra.learn.study.bank import RELATIONS

SLOT = re.compile(r"\{[^}]*\}")


@cache
def common_words() -> frozenset[str]:
    """Every wording of every relation, without its slots."""
    found = set()
    for relation in RELATIONS:
        wordings = [*relation.say, *relation.ask, *relation.dev, *relation.test, relation.clause]
        if relation.back is not None:
            wordings += [*relation.back.train, *relation.back.test]
        found |= {SLOT.sub(" ", wording) for wording in wordings}
    return frozenset(found)
