"""Relations of the reading exercises about who has what: how each is said and asked.

Only templates; `reading` picks and fills them. The first wording of a bank is the plainest. The
wordings held out for testing are new sentences of words that training knows. Relations of one
`group` never share a passage, because a question about one could be answered by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nanohydra.data.primer.craft import Bank


@dataclass(frozen=True)
class Ask:
    """Questions for one slot of a relation, and the one sentence that answers them."""

    questions: Bank
    answer: str


@dataclass(frozen=True)
class Relation:
    """A kind of simple fact: its slots (name -> kind of word), statements and questions."""

    key: str
    group: str
    slots: Mapping[str, str]
    say: Bank
    asks: Mapping[str, Ask]


def ask(answer: str, train: tuple[str, ...], test: tuple[str, ...]) -> Ask:
    """Questions and their answer."""
    return Ask(Bank(train, test), answer)


THING_RELATIONS = (
    Relation(
        "has", "thing", {"s": "person", "v": "thing"},
        Bank(("{s} has the {v}.", "{s} has {av}.", "{s} owns the {v}.", "{s} is holding the {v}.",
              "{s} got the {v}.", "{s} bought {av}.", "{s} took the {v}.", "{s} has got {av}.",
              "{s} carries the {v}.", "{s} chose the {v}.", "{s} is playing with the {v}.",
              "{s} came with {av}.", "{s} picked the {v}.",
              "The {v} belongs to {s}.", "The owner of the {v} is {s}.", "The {v} is {s}'s.",
              "The {v} was bought by {s}.", "The {v} is for {s}."),
             ("{s} is the owner of the {v}.", "{s} came here with the {v}.",
              "{s} went out and bought the {v}.", "{s} has the {v} in a bag.",
              "The {v} is with {s}.")),
        {"v": ask("{s} has the {v}.",
                  ("What does {s} have?", "What does {s} own?", "Which thing belongs to {s}?",
                   "Tell me what {s} has.", "What is {s} holding?", "What did {s} get?",
                   "{s} has what?", "What did {s} buy?", "What did {s} take?", "What has {s} got?",
                   "What does {s} carry?", "Which thing does {s} have?", "What is {s}'s?",
                   "What did {s} pick?", "Name what {s} has."),
                  ("Do you know what {s} has?", "What thing belongs to {s}?",
                   "Name the thing that {s} has.", "What belongs to {s}?",
                   "Which thing is {s} holding?")),
         "s": ask("The {v} belongs to {s}.",
                  ("Who has the {v}?", "Who owns the {v}?", "Who is holding the {v}?",
                   "Whose is the {v}?", "Tell me who has the {v}.", "Who got the {v}?",
                   "To whom does the {v} belong?", "Who bought the {v}?", "Who took the {v}?",
                   "Who has {av}?", "Who carries the {v}?", "Who is the {v} for?",
                   "The {v} belongs to whom?"),
                  ("Which person has the {v}?", "Who is it that has the {v}?",
                   "Who is the owner of the {v}?"))},
    ),
    Relation(
        "gave", "thing", {"s": "person", "r": "person2", "v": "thing"},
        Bank(("{s} gave the {v} to {r}.", "{s} gave {r} the {v}.", "{s} brought {r} the {v}.",
              "{s} gave {r} {av}.", "{s} gave {av} to {r}.", "{s} sent the {v} to {r}.",
              "{s} handed {r} the {v}.", "{s} brought {av} for {r}.",
              "{r} got the {v} from {s}.", "{r} was given {av} by {s}.",
              "The {v} was a gift from {s} to {r}."),
             ("{s} handed the {v} to {r}.", "{s} brought the {v} to {r}.",
              "{r} was given the {v} by {s}.")),
        {"v": ask("{s} gave the {v} to {r}.",
                  ("What did {s} give to {r}?", "What did {r} get from {s}?",
                   "What was the gift of {s}?", "What did {s} give away?", "What did {s} bring?",
                   "What was given to {r}?", "What did {s} send to {r}?", "What did {r} get?"),
                  ("Which gift did {s} give?", "Tell me what {r} got from {s}.",
                   "What did {s} hand to {r}?")),
         "s": ask("The {v} came from {s}.",
                  ("Who gave the {v} to {r}?", "Who gave away the {v}?", "Who gave {r} the {v}?",
                   "From whom did {r} get the {v}?", "Who brought the {v}?", "Who sent the {v}?",
                   "From whom is the {v}?"),
                  ("Tell me who gave {r} the {v}.", "Who was it that gave the {v} away?")),
         "r": ask("The {v} went to {r}.",
                  ("Who got the {v}?", "To whom did {s} give the {v}?",
                   "Who got the {v} from {s}?", "Who was the {v} for?",
                   "To whom did the {v} go?", "Who was given the {v}?"),
                  ("Which person got the {v}?", "Tell me who got the {v}."))},
    ),
    Relation(
        "found", "thing", {"s": "person", "v": "thing", "p": "place"},
        Bank(("{s} found the {v} in the {p}.", "{s} found {av} in the {p}.",
              "{s} saw the {v} lying in the {p}.", "{s} picked up the {v} in the {p}.",
              "{s} discovered the {v} in the {p}.", "{s} noticed {av} in the {p}.",
              "{s} walked in the {p} and found the {v}.",
              "In the {p}, {s} found the {v}.", "The {v} was found by {s} in the {p}."),
             ("{s} went to the {p} and found the {v}.", "{s} saw the {v} in the {p}.",
              "It was {s} who found the {v} in the {p}.")),
        {"v": ask("{s} found the {v}.",
                  ("What did {s} find?", "What did {s} find in the {p}?", "What was in the {p}?",
                   "What was found by {s}?", "What did {s} see in the {p}?",
                   "What did {s} pick up?", "Which thing was in the {p}?"),
                  ("Which thing did {s} find?", "Tell me what {s} found.")),
         "s": ask("The {v} was found by {s}.",
                  ("Who found the {v}?", "Who found something in the {p}?", "Who saw the {v}?",
                   "By whom was the {v} found?", "Who was in the {p}?", "Who picked up the {v}?"),
                  ("Which person found the {v}?", "Tell me who found the {v}.")),
         "p": ask("The {v} was in the {p}.",
                  ("Where was the {v}?", "Where did {s} find the {v}?",
                   "Where did {s} find something?", "In which place was the {v}?",
                   "Where did {s} see the {v}?", "Where did {s} pick up the {v}?"),
                  ("Tell me where the {v} was.", "Where was the {v} found?"))},
    ),
    Relation(
        "count", "thing", {"s": "person", "n": "number", "v": "count_noun"},
        Bank(("{s} has {n} {v}.", "{s} owns {n} {v}.", "{s} bought {n} {v}.",
              "{s} counted {n} {v}.", "{s} got {n} {v}.", "{s} took {n} {v}.",
              "{s} is carrying {n} {v}.", "{s} found {n} {v}.",
              "There are {n} {v} in the bag of {s}.", "The {n} {v} are for {s}."),
             ("{s} has a bag with {n} {v}.", "{s} came with {n} {v}.", "{n} {v} belong to {s}.")),
        {"n": ask("{s} has {n} {v}.",
                  ("How many {v} does {s} have?", "How many {v} belong to {s}?",
                   "What number of {v} does {s} have?", "{s} has how many {v}?",
                   "Count the {v} of {s}.", "How many {v} did {s} get?",
                   "How many {v} are in the bag of {s}?", "How many {v} did {s} buy?"),
                  ("Tell me how many {v} {s} has.", "Do you know how many {v} {s} has?")),
         "s": ask("The {n} {v} belong to {s}.",
                  ("Who has {n} {v}?", "Who owns {n} {v}?", "Who got {n} {v}?",
                   "Who bought {n} {v}?", "Whose are the {n} {v}?"),
                  ("Which person has {n} {v}?", "Tell me who has {n} {v}."))},
    ),
    Relation(
        "pet", "thing", {"s": "person", "v": "pet", "n": "pet_name"},
        Bank(("{s} has a {v} named {n}.", "{s} has a {v}. The {v} is called {n}.",
              "{s} lives with a {v} named {n}.", "{s} has a {v} called {n}.",
              "{s} plays with a {v} named {n}.", "{s} looks after a {v}. Its name is {n}.",
              "{s} got a {v} called {n}.", "{s} walks with {n} the {v}.",
              "The {v} of {s} is called {n}.", "{n} is the {v} of {s}."),
             ("{s} looks after a {v} named {n}.", "{s} lives with {n} the {v}.",
              "{s} is happy with a {v} called {n}.")),
        {"v": ask("{s} has a {v}.",
                  ("What pet does {s} have?", "What animal does {s} have?",
                   "What kind of pet does {s} have?", "Which pet belongs to {s}?",
                   "Which animal does {s} have?", "What is the pet of {s}?"),
                  ("What animal belongs to {s}?", "Tell me which pet {s} has.")),
         "n": ask("The {v} of {s} is called {n}.",
                  ("What is the name of {s}'s {v}?", "What is the {v} of {s} called?",
                   "What is the {v} called?", "What is the name of the {v}?",
                   "What name does the {v} have?"),
                  ("Tell me the name of the {v}.", "What name does {s}'s {v} have?")),
         "s": ask("{n} the {v} belongs to {s}.",
                  ("Who has a {v}?", "Who has a pet named {n}?", "Whose pet is {n}?",
                   "Who owns the {v}?", "Who lives with a {v}?", "Whose {v} is called {n}?"),
                  ("Which person has a {v}?", "To whom does {n} belong?"))},
    ),
    Relation(
        "wears", "thing", {"s": "person", "c": "colour", "v": "clothing"},
        Bank(("{s} wears a {c} {v}.", "{s} has a {c} {v} on.", "{s} put on a {c} {v}.",
              "{s} came in a {c} {v}.", "{s} is wearing a {c} {v}.", "{s}'s {v} is {c}.",
              "{s} likes to wear a {c} {v}.", "{s} is dressed in a {c} {v}.",
              "The {v} of {s} is {c}.", "The {c} {v} is worn by {s}."),
             ("{s} went out in a {c} {v}.", "{s} is in a {c} {v} today.",
              "{s} has put on a {c} {v}.")),
        {"c": ask("{s}'s {v} is {c}.",
                  ("What color is the {v} of {s}?", "What color is {s}'s {v}?",
                   "Which color is the {v} of {s}?", "Tell me the color of {s}'s {v}.",
                   "Which color has the {v} of {s}?"),
                  ("What is the color of {s}'s {v}?", "Of what color is the {v} of {s}?")),
         "v": ask("{s} wears a {c} {v}.",
                  ("What does {s} wear?", "What did {s} put on?", "What is {s} wearing?",
                   "What is {s} dressed in?"),
                  ("Tell me what {s} wears.", "What does {s} have on?")),
         "s": ask("The {c} {v} is worn by {s}.",
                  ("Who wears a {c} {v}?", "Who wears the {c} {v}?", "Who has a {c} {v}?",
                   "Who is wearing a {c} {v}?", "Whose {v} is {c}?"),
                  ("Which person wears a {c} {v}?", "Tell me who wears the {c} {v}."))},
    ),
)  # fmt: skip
