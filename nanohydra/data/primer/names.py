"""Names: given names, and made-up words, people, towns and things put together from syllables.

Every name lies on one side (train, test or the fixed world of facts) by its hash, so no name
that is tested was ever trained on. Knows no sentences.
"""

from __future__ import annotations

from random import Random

from nanohydra.data.primer.craft import Side, Split, capital, side

GIRLS = tuple(
    """Ada Agnes Alice Alma Amy Ana Anita Anna Aria Astrid Ava Beth Bella Betty Carla Carmen Cara
    Celia Chloe Clara Cora Daisy Dana Daria Diana Dora Edith Elena Ella Elsa Emily Emma Erin Esther
    Eva Eve Fatima Fay Fiona Flora Freya Gina Gloria Grace Greta Hana Hanna Hazel Heidi Helen Holly
    Ida Ines Ingrid Irene Iris Isla Ivy Jade Jana Jane Jenny Jill Joan Joy Judy Julia Kara
    Karen Kate Kim Kira Lana Lara Laura Lea Lena Lia Lily Lina Linda Lisa Liv Lola Lucy Luna Lydia
    Mabel Maggie Mara Maria Marta Mary Maya Meg Mia Mila Milly Mina Mira Molly Mona Nadia Nancy
    Nell Nina Nora Olga Olive Olivia Paula Pam Penny Petra Pia Polly Rita Rosa Rose Ruby Ruth Sally
    Sara Selma Sofia Sonia Stella Sue Tara Tess Thea Tina Uma Vera Viola Wanda Wendy Yara Zara Zoe
    """.split()
)
BOYS = tuple(
    """Aaron Abel Adam Adrian Ahmed Alan Albert Alex Amir Andy Anton Arlo Arthur Axel Basil Ben
    Bert Bill Boris Bruno Carl Carlos Cato Cole Colin Dan Daniel David Dean Derek Diego Dylan Eddie
    Eli Emil Eric Ernest Ethan Felix Finn Frank Fred Gabriel Gary George Glen Gus Hans Harry Hector
    Henry Hugo Ian Igor Isaac Ivan Jack Jacob Jake James Jan Jason Jim Joe Joel Jonas Jose Josh
    Juan Karl Ken Kevin Kurt Lars Leo Leon Levi Liam Louis Lucas Luis Luke Marco Mark Martin Max
    Miles Milo Mike Nathan Ned Neil Nick Noah Oliver Omar Oscar Otto Owen Pablo Paul Pedro Peter
    Phil Ralph Ravi Ray Remy Rex Ricky Rob Robin Roger Roman Rory Ross Ryan Sam Scott Sean Seth
    Simon Stan Steve Sven Ted Theo Tim Toby Tom Tony Victor Vince Walter Will Yusuf Zack
    """.split()
)


CITIES = tuple(
    """Paris London Rome Berlin Madrid Vienna Oslo Lisbon Athens Cairo Delhi Tokyo Boston Chicago
    Dallas Denver Miami Austin Phoenix Moscow Warsaw Prague Dublin Bern Geneva Milan Venice Naples
    Florence Munich Hamburg Bonn Cologne Lyon Toulouse Bristol Leeds York Oxford Cambridge
    Sydney Perth Lima Quito Havana Nairobi Lagos Tunis Mumbai Osaka Seoul Hanoi Manila Jakarta
    Toronto Montreal Ottawa Helsinki Stockholm Bergen Kiev Budapest Zurich""".split()
)


def _on(names: tuple[str, ...], test: bool) -> tuple[str, ...]:
    return tuple(name for name in names if (side(name) == "test") is test)


GIRLS_OF: dict[Split, tuple[str, ...]] = {"train": _on(GIRLS, False), "test": _on(GIRLS, True)}
BOYS_OF: dict[Split, tuple[str, ...]] = {"train": _on(BOYS, False), "test": _on(BOYS, True)}
GIVEN_OF: dict[Split, tuple[str, ...]] = {
    "train": GIRLS_OF["train"] + BOYS_OF["train"],
    "test": GIRLS_OF["test"] + BOYS_OF["test"],
}

CITIES_OF: dict[Split, tuple[str, ...]] = {
    "train": _on(CITIES, False),
    "test": _on(CITIES, True),
}

# few and plain syllables: a small tokenizer then has a token for each
ONSETS = tuple("b d f g h j k l m n p r s t v z".split())
VOWELS = ("a", "e", "i", "o", "u", "a", "o", "e")
CODAS = ("n", "l", "r", "s", "n", "l", "r", "m")
TOWN_ENDS = ("ford", "ton", "wick", "dale", "by", "ham", "field", "port", "mere", "stead")
SURNAME_ENDS = (
    "lden", "rvik", "nsor", "lto", "rnell", "mby", "skin", "tter", "ndal", "rro", "zzo", "ppin",
    "lling", "ssen", "ckett", "dd",
)  # fmt: skip
# a syllable that reads as a rude or an everyday word has no place in a name
UNWANTED = (
    "fuk", "fuck", "shit", "tit", "fag", "nig", "kok", "kock", "sex", "puss", "dik", "dick", "nazi",
    "hitl", "slut", "poo", "piss", "suck", "rape", "gay", "jew", "homo", "turd", "butt", "kum",
)  # fmt: skip


def _root(rng: Random, syllables: int, coda: float) -> str:
    parts = []
    for _ in range(syllables):
        parts.append(rng.choice(ONSETS) + rng.choice(VOWELS))
    if rng.random() < coda:
        parts.append(rng.choice(CODAS))
    return "".join(parts)


def made_word(rng: Random, where: Side) -> str:
    """A made-up word of two or three syllables on the given side, in lower case."""
    while True:
        word = _root(rng, 2 if rng.random() < 0.9 else 3, 0.35)
        if side(word) == where and not any(bad in word for bad in UNWANTED):
            return word


def made_name(rng: Random, where: Side) -> str:
    """A made-up word with a capital: a name for a planet, a ship, a pet, a person."""
    return capital(made_word(rng, where))


def made_town(rng: Random, where: Side) -> str:
    """The name of a made-up town: "Brenford", "Tolwick", "Maro"."""
    while True:
        word = _root(rng, 1, 1.0) + rng.choice(TOWN_ENDS)
        if side(word) == where and not any(bad in word for bad in UNWANTED):
            return capital(word)


def surname(rng: Random, where: Side) -> str:
    """A made-up family name; the side of a full name is the side of its family name."""
    while True:
        word = _root(rng, 1, 0.0) + rng.choice(SURNAME_ENDS)
        if side(word) == where and not any(bad in word for bad in UNWANTED):
            return capital(word)


def town(rng: Random, split: Split) -> str:
    """Where someone lives: mostly a made-up town, sometimes a real city."""
    return rng.choice(CITIES_OF[split]) if rng.random() < 0.25 else made_town(rng, split)


def person(rng: Random, split: Split) -> str:
    """Someone's name: a given name of the split or, as often, a made-up one."""
    if rng.random() < 0.5:
        return rng.choice(GIVEN_OF[split])
    return made_name(rng, split)


def full_name(rng: Random, where: Side) -> str:
    """A given name and a made-up family name of the side."""
    return f"{rng.choice(GIVEN_OF['train'])} {surname(rng, where)}"
