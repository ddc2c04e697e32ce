"""A generated curriculum: stories, small talk, arithmetic, reading, lookup, facts, abstaining.

Deterministic by seed. Train and test share no wordings, no names and no calculations; the facts
are the same in both, their questions are not. A domain is one file and one line of `DOMAINS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import cast

from nanohydra.core.registry import Table
from nanohydra.core.types import Record
from nanohydra.data.primer.craft import Domain, Example, Split
from nanohydra.data.primer.dress import dress

DOMAINS = Table(
    "primer domain",
    {
        "stories": "nanohydra.data.primer.stories:Stories",
        "greetings": "nanohydra.data.primer.greetings:Greetings",
        "arithmetic": "nanohydra.data.primer.arithmetic:Arithmetic",
        "reading": "nanohydra.data.primer.reading:Reading",
        "copying": "nanohydra.data.primer.copying:Copying",
        "backwards": "nanohydra.data.primer.binding:Backwards",
        "pairs": "nanohydra.data.primer.binding:Pairs",
        "inverting": "nanohydra.data.primer.binding:Inverting",
        "lookup": "nanohydra.data.primer.lookup:Lookup",
        "facts": "nanohydra.data.primer.facts:Facts",
        "taught": "nanohydra.data.primer.facts:Taught",
        "notes": "nanohydra.data.primer.notes:Notes",
        "abstain": "nanohydra.data.primer.abstain:Abstain",
        "mixed": "nanohydra.data.primer.mixed:Mixed",
        "known": "nanohydra.data.primer.abstain:Known",
    },
)

# records per domain; a starting point for a model of a few million parameters
DEFAULT_COUNTS: Mapping[str, int] = {
    "stories": 6_000,
    "greetings": 5_000,
    "arithmetic": 15_000,
    "reading": 30_000,
    "copying": 12_000,
    "backwards": 6_000,
    "pairs": 12_000,
    "inverting": 12_000,
    "lookup": 30_000,
    "facts": 30_000,
    "taught": 8_000,
    "notes": 8_000,
    "abstain": 12_000,
    "mixed": 8_000,
}


def domain(name: str) -> Domain:
    """An instance of a domain. Raises UserError if there is none of that name."""
    return cast(Domain, DOMAINS.load(name)())


def records(split: Split, *, seed: int, counts: Mapping[str, int]) -> Iterator[Record]:
    """`counts[domain]` records of each domain, mixed evenly and the same for the same seed.

    Each domain draws from its own generator, so changing the count of one leaves the records of
    the others as they were. Raises UserError for an unknown domain.
    """
    makers = {name: domain(name) for name in counts}
    rngs = {name: Random(f"{seed} {split} {name}") for name in counts}
    left = {name: count for name, count in counts.items() if count > 0}
    order = Random(f"{seed} {split} order")
    while left:
        name = _draw(order, left)
        yield dress(makers[name].record(rngs[name], split), rngs[name], split)
        left[name] -= 1
        if not left[name]:
            del left[name]


def _draw(rng: Random, left: Mapping[str, int]) -> str:
    """A domain with a chance proportional to how many of its records are still to come."""
    spot = rng.randrange(sum(left.values()))
    for name, count in left.items():
        if spot < count:
            return name
        spot -= count
    raise AssertionError("unreachable: the spot lies below the sum")


def examples(name: str, split: Split, *, seed: int, count: int) -> list[Example]:
    """`count` evaluation questions of a domain with distinct prompts, the same for a seed."""
    maker = domain(name)
    rng = Random(f"{seed} {split} {name} examples")
    found: dict[object, Example] = {}
    for _ in range(20 * count):
        if len(found) == count:
            break
        example = maker.example(rng, split)
        found.setdefault(tuple((m.role, m.content) for m in example.prompt), example)
    return list(found.values())


__all__ = [
    "DEFAULT_COUNTS",
    "DOMAINS",
    "Domain",
    "Example",
    "Split",
    "domain",
    "examples",
    "records",
]
