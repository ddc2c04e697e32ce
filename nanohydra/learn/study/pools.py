"""Values of the kinds that objects are of: what a wrong statement may claim."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from nanohydra.data.primer import names, words

POOLS: Mapping[str, tuple[str, ...]] = {
    "town": names.CITIES, "job": words.JOBS, "food": words.FOODS, "instrument": words.INSTRUMENTS,
    "sport": words.SPORTS, "colour": words.COLOURS, "material": words.MATERIALS,
    "goods": words.GOODS, "power": words.POWERS, "ingredient": words.FOODS,
    "animal": words.SCARY, "name": names.GIRLS + names.BOYS, "vehicle": words.VEHICLES,
    "place": tuple(f"the {place}" for place in words.PLACES),
    "spot": tuple(f"in the {spot}" for spot in words.SPOTS),
    "date": tuple(f"in {month}" for month in words.MONTHS),
    "language": ("English", "French", "Spanish", "German", "Italian", "Greek", "Polish"),
    "subject": ("music", "history", "law", "art", "medicine", "physics", "history"),
    "time": ("seven", "noon", "six in the evening", "half past two", "midnight"),
    "price": ("two euros", "seventy coins", "nothing", "a hundred dollars"),
    "measure": ("two meters", "ten kilos", "a hundred feet"),
    "number": tuple(str(n) for n in range(2, 90)), "year": tuple(map(str, range(1200, 2020, 7))),
}  # fmt: skip
OTHERS = tuple(f"the {colour} {thing}" for colour in words.COLOURS[:6] for thing in words.THINGS)


def wrong_value(kind: str, right: str, rng: Random) -> str:
    """A value of a kind that is not the right one."""
    pool = POOLS.get(kind, OTHERS)
    while (value := rng.choice(pool)).casefold() == right.casefold():
        pass
    return value
