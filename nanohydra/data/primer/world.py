"""The made-up world: about 430 fixed facts about invented people, towns, ships, rivers, teams.

Made once from a constant seed, so every run, whatever its own seed, teaches the same facts. New
subjects of the same shapes (for what was never told) come from the same generator, kept apart by
the hash of their root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Side, distinct, side
from nanohydra.data.primer.wordings_facts import FactRelation
from nanohydra.data.primer.wordings_facts2 import FACT_RELATIONS
from nanohydra.data.primer.wordings_things import THINGS

WORLD_SEED = "the made-up world, first edition"
SUBJECTS_PER_KIND = {
    "person": 28, "town": 20, "ship": 16, "choir": 14, "dish": 18, "planet": 14,
    "invention": 16, "river": 12, "festival": 12, "team": 12,
}  # fmt: skip
NUM_LEADERS = 40
DISH_TYPES = ("soup", "pie", "bread", "cake", "stew", "salad")
INVENTION_TYPES = ("lamp", "clock", "engine", "wheel", "kite", "mill", "boat", "bell")
TEAM_TYPES = ("Foxes", "Bears", "Wolves", "Eagles", "Lions", "Ducks")
# no ingredient is also the name of a kind of dish
INGREDIENTS = tuple(f for f in words.FOODS if f not in (*DISH_TYPES, "porridge"))
COLOURS = tuple(c for c in words.COLOURS if c != "orange")
LOOKS = ("big", "small", "old", "new", "little", "heavy", "round", "second", "spare", "other")
HOUSE = {
    test: tuple(word for word in words.HOUSE if (side(word) == "test") is test)
    for test in (False, True)
}

RELATIONS_OF: dict[str, tuple[FactRelation, ...]] = {
    kind: tuple(r for r in FACT_RELATIONS if r.kind == kind) for kind in SUBJECTS_PER_KIND
}
THING_SHARE = 0.2  # of what is taught anew: the things of a house, of which no fact is fixed


@dataclass(frozen=True)
class Fact:
    """One fact: the subject as it stands in a sentence, its relation and the object."""

    subject: str
    relation: FactRelation
    object: str

    @property
    def slots(self) -> Mapping[str, str]:
        """What the templates of the relation are filled with."""
        return {"s": self.subject, "o": self.object, "b": bare(self.subject)}


def bare(subject: str) -> str:
    """A subject without its article: "the Zelara" -> "Zelara"."""
    return subject.removeprefix("the ")


def make_subject(rng: Random, kind: str, where: Side) -> str:
    """A new subject of a kind on one side, as it stands inside a sentence."""
    if kind == "person":
        return names.full_name(rng, where)
    if kind == "town":
        return names.made_town(rng, where)
    if kind == "dish":
        return f"{names.made_word(rng, where)} {rng.choice(DISH_TYPES)}"
    if kind == "invention":
        return f"the {names.made_word(rng, where)} {rng.choice(INVENTION_TYPES)}"
    if kind == "thing":
        noun = rng.choice(HOUSE[where == "test"])
        return f"the {rng.choice(LOOKS)} {noun}" if rng.random() < 0.4 else f"the {noun}"
    name = names.made_name(rng, where)
    if kind == "team":
        return f"the {name} {rng.choice(TEAM_TYPES)}"
    ends = {"ship": "", "planet": "", "choir": " Choir", "river": " River", "festival": " Festival"}
    return f"{name}" if kind == "planet" else f"the {name}{ends[kind]}"


def make_object(rng: Random, relation: FactRelation, where: Side) -> str:
    """A random object for a relation; towns and leaders are new ones of the given side."""
    value = relation.value
    if value == "town":
        return names.made_town(rng, where)
    if value == "leader":
        return names.full_name(rng, where)
    if value == "year":
        return str(rng.randint(1100, 1990))
    if value == "moons":
        return str(rng.randint(2, 30))
    if value == "code":
        return "".join(str(rng.randint(0, 9)) for _ in range(rng.randint(3, 5)))
    if value == "price":
        return f"{rng.randint(2, 99)} {rng.choice(('dollars', 'coins', 'euros'))}"
    if value == "spot":
        return rng.choice(words.WHEREABOUTS)
    if value in ("title", "given"):
        given = names.GIVEN_OF["test" if where == "test" else "train"]
        return rng.choice(given) if rng.random() < 0.6 else names.made_name(rng, where)
    pools = {
        "day": words.DAYS,
        "job": words.JOBS, "food": words.FOODS, "instrument": words.INSTRUMENTS,
        "goods": words.GOODS, "colour": COLOURS, "material": words.MATERIALS,
        "power": words.POWERS, "beast": words.WATER_ANIMALS, "month": words.MONTHS,
        "sport": words.SPORTS, "ingredient": INGREDIENTS,
    }  # fmt: skip
    return rng.choice(pools[value])


@lru_cache(maxsize=1)
def all_facts() -> tuple[Fact, ...]:
    """All fixed facts, grouped by subject. Every subject has every relation of its kind."""
    rng = Random(WORLD_SEED)
    roots: set[str] = set()

    def fresh(kind: str) -> str:
        while True:
            subject = make_subject(rng, kind, "world")
            root = bare(subject).lower().split()[-1 if kind == "person" else 0]
            if root not in roots:
                roots.add(root)
                return subject

    subjects = {
        kind: [fresh(kind) for _ in range(count)] for kind, count in SUBJECTS_PER_KIND.items()
    }
    leaders = distinct(lambda: fresh("person"), NUM_LEADERS)
    facts = []
    for kind, relations in RELATIONS_OF.items():
        # a reverse question needs one subject per object, so leaders are dealt out
        dealt = {r.key: rng.sample(leaders, SUBJECTS_PER_KIND[kind]) for r in relations if r.back}
        for i, subject in enumerate(subjects[kind]):
            for relation in relations:
                if relation.back:
                    value = dealt[relation.key][i]
                elif relation.value == "town":
                    value = rng.choice(subjects["town"])
                else:
                    value = make_object(rng, relation, "world")
                facts.append(Fact(subject, relation, value))
    return tuple(facts)


@lru_cache(maxsize=1)
def by_subject() -> tuple[tuple[Fact, ...], ...]:
    """The facts of each subject together."""
    groups: dict[str, list[Fact]] = {}
    for fact in all_facts():
        groups.setdefault(fact.subject, []).append(fact)
    return tuple(tuple(group) for group in groups.values())


def new_facts(rng: Random, split: Side, kind: str | None = None) -> tuple[Fact, ...]:
    """All relations of one fresh subject of a kind, as they could be taught."""
    if kind is None:
        kind = "thing" if rng.random() < THING_SHARE else rng.choice(tuple(RELATIONS_OF))
    relations = THINGS if kind == "thing" else RELATIONS_OF[kind]
    subject = make_subject(rng, kind, split)
    return tuple(Fact(subject, r, make_object(rng, r, split)) for r in relations)
