"""Facts to teach in measurements, and questions about other things.

The facts are of the primer's kinds with new names, and as users tell them.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from nanohydra.data.primer import examples, names, words
from nanohydra.data.primer.craft import fill
from nanohydra.data.primer.world import new_facts
from nanohydra.learn.lessons import Fact, Lesson
from nanohydra.learn.router import PLAIN, words_of
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.sources import told_by

# {n} a made-up name, {p} a person, {t} a town, {d} a day, {c} a colour, {h} an hour
TOLD = (
    "The printer on floor {h} is called {n}.", "My {relative} is called {n}.",
    "The capital of {n} is {t}.", "{p} works as a {j}.", "{p} lives in {t}.",
    "Our {room} is painted {c}.", "{p} plays the {i}.", "The {n} Museum opens at {h}.",
    "{p} was born in {t}.", "The owner of the {n} Inn is {p}.", "{p} is afraid of {animal}s.",
    "The password of the {n} network is {c} {animal}.", "{n} was founded by {p}.",
    "The team {n} meets on {d}.", "The {n} River flows through {t}.",
    "The favorite food of {p} is {food}.", "The mascot of {n} is a {animal}.",
    "{p} drives a {c} truck.",
)  # fmt: skip
RELATIVES = ("sister", "brother", "aunt", "uncle", "cousin", "neighbor", "teacher", "boss")
ROOMS = ("kitchen", "office", "garage", "hall", "cellar", "classroom", "workshop")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
OTHER = ("arithmetic", "greetings", "reading", "facts", "abstain", "stories", "taught")
ANIMALS = ("spider", "goat", "owl", "snake", "horse", "bear", "frog", "wolf", "crow")


def made_facts(count: int, seed: int) -> list[str]:
    """`count` different facts: every other one as the primer says it, with names held out there.

    No two of them are about the same subject.
    """
    rng = Random(seed)
    texts: list[str] = []
    subjects: set[str] = set()
    relatives, rooms = list(RELATIVES), list(ROOMS)
    rng.shuffle(relatives)
    rng.shuffle(rooms)
    while len(texts) < count:
        if len(texts) % 2:
            fact = rng.choice(new_facts(rng, "test"))
            subject, text = fact.subject, fill(fact.relation.say.train[0], fact.slots)
        else:
            template = rng.choice(TOLD)
            if ("{relative}" in template and not relatives) or ("{room}" in template and not rooms):
                continue
            name = names.made_name(rng, "test")
            person = names.person(rng, "test")
            slots = {
                "n": name, "p": person, "t": names.made_town(rng, "test"), "d": rng.choice(DAYS),
                "c": rng.choice(words.COLOURS), "h": rng.randint(2, 12),
                "j": rng.choice(words.JOBS), "i": rng.choice(words.INSTRUMENTS),
                "animal": rng.choice(ANIMALS), "food": rng.choice(words.FOODS),
                "relative": relatives.pop() if "{relative}" in template else "",
                "room": rooms.pop() if "{room}" in template else "",
            }  # fmt: skip
            text = template.format_map(slots)
            subject = subject_of(template).format_map(slots)
        if subject not in subjects:
            subjects.add(subject)
            texts.append(text)
    return texts


def subject_of(template: str) -> str:
    """The slots that name what a template is about."""
    if template.startswith("The printer"):
        return "printer {h}"
    if "{relative}" in template:
        return "my {relative}"
    if "{room}" in template:
        return "the {room}"
    return "{n}" if "{n}" in template else "{p}"


def as_lessons(texts: list[str]) -> list[Lesson]:
    """Facts as lessons with short ids."""
    return [Lesson(id=f"fact-{i}", body=Fact(text)) for i, text in enumerate(texts)]


def unrelated(count: int, seed: int, lessons: Sequence[Lesson]) -> list[str]:
    """The primer's test questions of all kinds, without those that ask what a lesson tells."""
    facts = [told.fact for lesson in lessons for told in told_by(lesson) if told.fact is not None]
    taught = [fact.subject.lower().removeprefix("the ") for fact in facts]
    back = [asked_back(fact) for fact in facts if fact.relation.back is not None]
    found = []
    for domain in OTHER:
        for example in examples(domain, "test", seed=seed, count=count // len(OTHER)):
            found.append(example.prompt[-1].content)
    found = [question for question in found if not any(s in question.lower() for s in taught)]
    said = [telling(question) for question in found]
    return [
        question
        for question, words in zip(found, said, strict=True)
        if not any(object < words <= every for object, every in back)
    ]


def asked_back(fact: ParsedFact) -> tuple[set[str], set[str]]:
    """The words of a fact's object, and all words that its subject is asked for with.

    "Which person plays the flute?" says nothing else, and names the flute.
    """
    assert fact.relation.back is not None
    wordings = (*fact.relation.back.train, *fact.relation.back.test)
    asked = {word for wording in wordings for word in telling(fact.say(wording))}
    return telling(fact.object), asked | {"person"}


def telling(text: str) -> set[str]:
    """The words of a text that are not only grammar's."""
    return set(words_of(text)) - PLAIN
