"""Small stories from a grammar of plots, as plain texts and as answers to a request.

Every plot keeps its own order of events, so no sentence of a story contradicts another.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from nanohydra.core.types import Record
from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Example, Split, article, dialogue, document, fill, user
from nanohydra.data.primer.wordings_stories import INTRO, Plot, Step
from nanohydra.data.primer.wordings_stories2 import (
    ALL_PLOTS,
    ASK,
    FOODS,
    HOMES,
    KINDS,
    STORY_PLACES,
    STORY_SPOTS,
    TOYS,
    TRAITS,
)

PRONOUNS = {"girl": ("she", "her", "her"), "boy": ("he", "him", "his")}
COLOURS = tuple(c for c in words.COLOURS if c not in ("orange", "brown", "gray"))


@dataclass(frozen=True)
class Story:
    """A story with what a request could name it by."""

    text: str
    name: str
    kind: str
    trait: str
    topic: str


def _wording(step: Step, rng: Random, split: Split) -> str:
    """A wording of a step; the last one is reserved for testing."""
    return step[-1] if split == "test" else step[rng.randrange(len(step) - 1)]


def _character(rng: Random, split: Split) -> tuple[str, str, tuple[str, str, str]]:
    """A name, what it is the name of, and the pronouns."""
    girl = rng.random() < 0.5
    pool = names.GIRLS_OF[split] if girl else names.BOYS_OF[split]
    who = "girl" if girl else "boy"
    kind = who if rng.random() < 0.35 else rng.choice(KINDS)
    if kind == "king" and girl:
        kind = "queen"
    return rng.choice(pool), kind, PRONOUNS[who]


def tell(rng: Random, split: Split) -> Story:
    """A story of a random plot."""
    plot: Plot = rng.choice(ALL_PLOTS)
    name, kind, (he, him, his) = _character(rng, split)
    friend, friend_kind, (bhe, bhim, bhis) = _character(rng, split)
    while friend == name or friend_kind == kind:
        friend, friend_kind, (bhe, bhim, bhis) = _character(rng, split)
    trait = rng.choice([t for t in TRAITS if t not in plot.bans])
    place, place2 = rng.sample(STORY_PLACES, 2)
    slots = {
        "A": name, "a": kind, "t": trait, "he": he, "him": him, "his": his,
        "He": he.capitalize(), "His": his.capitalize(), "B": friend, "b": friend_kind,
        "bhe": bhe, "bhim": bhim, "bhis": bhis, "Bhe": bhe.capitalize(),
        "home": rng.choice(HOMES), "place": place, "place2": place2, "thing": rng.choice(TOYS),
        "food": rng.choice(FOODS), "spot": rng.choice(STORY_SPOTS), "colour": rng.choice(COLOURS),
        "under": rng.choice(("under a tree", "on a stone", "under an old oak")),
    }  # fmt: skip
    told = [fill(_wording(step, rng, split), slots) for step in (INTRO, *plot.steps)]
    topic = rng.choice(plot.topics).format_map(slots)
    return Story(" ".join(told), name, kind, trait, topic)


def request(story: Story, rng: Random, split: Split) -> str:
    """A wish for this story: by hero, by trait, by topic or by name."""
    hero = f"{story.trait} {story.kind}"
    named = f"{article(story.kind)} named {story.name}"
    subject = rng.choice((article(story.kind), article(hero), story.topic, named))
    return ASK.pick(rng, split).format(x=subject)


class Stories:
    """The domain `stories`."""

    source = "primer/stories"

    def record(self, rng: Random, split: Split) -> Record:
        """A story as a document, or told in a chat."""
        story = tell(rng, split)
        if rng.random() < 0.55:
            return document(story.text, self.source)
        return dialogue([request(story, rng, split), story.text], self.source)

    def example(self, rng: Random, split: Split) -> Example:
        """A request for a story about someone; the reply should name the hero's kind."""
        story = tell(rng, split)
        text = ASK.pick(rng, split).format(x=article(f"{story.trait} {story.kind}"))
        if story.kind not in text:
            text = f"Tell me a story about {article(story.kind)}."
        meta = {"kind": story.kind, "trait": story.trait, "reference": story.text}
        return Example(prompt=(user(text),), answer=story.kind, domain="stories", meta=meta)
