"""The values that fill a passage's slots, each kind without repetition within one passage."""

from __future__ import annotations

from random import Random

from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Split, plural
from nanohydra.data.primer.wordings_reading3 import EVENTS

SAME_NOUN = 0.25  # share of passages whose things differ by their adjective alone
SAME_ADJECTIVE = 0.45  # up to here they share the adjective, up to BARE_NOUN they have none
BARE_NOUN = 0.7

POOLS: dict[str, tuple[str, ...]] = {
    "job": words.JOBS, "food": words.FOODS, "drink": words.DRINKS, "pet": words.PETS,
    "instrument": words.INSTRUMENTS, "place": words.PLACES, "month": words.MONTHS,
    "vehicle": words.VEHICLES, "sport": words.SPORTS, "day": words.DAYS,
    "feeling": words.FEELINGS, "scary": words.SCARY, "clothing": words.CLOTHES,
    "colour": tuple(c for c in words.COLOURS if c != "orange"), "goods": words.GOODS,
    "beast": words.ANIMALS, "event": EVENTS, "object": words.THINGS,
}  # fmt: skip
RANGES = {"number": (2, 30), "age": (2, 90), "price": (2, 60), "hour": (1, 12)}


class Values:
    """Draws the values of one passage; remembers what it holds already."""

    class Exhausted(Exception):
        """The passage holds every value of a small class already."""

    def __init__(self, rng: Random, split: Split) -> None:
        self.rng, self.split = rng, split
        self.taken: set[str] = set()
        self.shared: dict[str, str] = {}
        self.thing_mode = rng.random()

    def draw(self, kind: str) -> str:
        """A value of the kind that the passage does not hold yet. Raises Exhausted."""
        if kind in self.shared:
            return self.shared[kind]
        for _ in range(80):
            value = self._candidate(kind)
            marks = self._marks(kind, value)
            if not marks & self.taken:
                break
        else:
            raise self.Exhausted(kind)
        self.taken |= marks
        # several people may own or wear the same, and differ by number or colour
        if kind in ("count_noun", "clothing") and self.rng.random() < 0.5:
            self.shared[kind] = value
        return value

    def _marks(self, kind: str, value: str) -> set[str]:
        """What may not come again once the value is drawn: itself, and a thing's noun."""
        if kind in RANGES:
            return {f"{kind} {value}"}
        if kind == "spot" or (kind == "thing" and self.thing_mode >= SAME_NOUN):
            return {value, value.split()[-1]}
        return {value}

    def _candidate(self, kind: str) -> str:
        rng, split = self.rng, self.split
        if kind in ("person", "person2"):
            return names.person(rng, split)
        if kind == "town":
            return names.town(rng, split)
        if kind == "pet_name":
            return names.made_name(rng, split)
        if kind in RANGES:
            return str(rng.randint(*RANGES[kind]))
        if kind == "thing":
            return self._thing()
        if kind == "count_noun":
            return plural(rng.choice(words.COUNTABLE))
        return spot(rng) if kind == "spot" else rng.choice(POOLS[kind])

    def _thing(self) -> str:
        """A thing with an adjective; in some passages all share the noun or the adjective."""
        rng = self.rng
        pool = words.COLOURS if rng.random() < 0.7 else words.SIZES
        if self.thing_mode < SAME_NOUN:
            noun = self.shared.setdefault("_noun", rng.choice(words.THINGS))
            return f"{rng.choice(words.COLOURS)} {noun}"
        if self.thing_mode < SAME_ADJECTIVE:
            adjective = self.shared.setdefault("_adjective", rng.choice(pool))
            return f"{adjective} {rng.choice(words.THINGS)}"
        if self.thing_mode < BARE_NOUN:
            return rng.choice(words.THINGS)
        return f"{rng.choice(pool)} {rng.choice(words.THINGS)}"

    def with_pronoun(self, template: str, name: str) -> str:
        """The template with "she" or "he" for its leading name, where the name tells which."""
        pronoun = "She" if name in names.GIRLS else "He" if name in names.BOYS else ""
        if pronoun and template.startswith("{s} ") and template.count("{s}") == 1:
            return pronoun + template.removeprefix("{s}")
        return template


def spot(rng: Random) -> str:
    """Where a thing lies: in, on, under or behind something."""
    roll = rng.random()
    if roll < 0.5:
        return f"in the {rng.choice(words.SPOTS)}"
    if roll < 0.7:
        return f"on the {rng.choice(words.TOPS)}"
    return f"{'under' if roll < 0.85 else 'behind'} the {rng.choice(words.COVERS)}"
