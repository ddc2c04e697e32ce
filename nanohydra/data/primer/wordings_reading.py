"""Relations of the reading exercises: how each is said and asked, for training and for testing.

Only templates; `reading` picks and fills them. Relations of one `group` never share a passage,
because a question about one could also be answered by the other.
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


def _ask(answer: str, train: tuple[str, ...], test: tuple[str, ...]) -> Ask:
    return Ask(Bank(train, test), answer)


PERSON_RELATIONS = (
    Relation(
        "has", "thing", {"s": "person", "v": "thing"},
        Bank(("{s} has the {v}.", "The {v} belongs to {s}.", "{s} owns the {v}.",
              "{s} is holding the {v}.", "The owner of the {v} is {s}.", "{s} got the {v}.",
              "The {v} is {s}'s."),
             ("{s} keeps the {v}.", "The one with the {v} is {s}.", "The {v} is with {s}.")),
        {"v": _ask("{s} has the {v}.",
                   ("What does {s} have?", "What does {s} own?", "Which thing belongs to {s}?",
                    "Tell me what {s} has.", "What is {s} holding?", "What did {s} get?",
                    "{s} has what?"),
                   ("Do you know what {s} has?", "What thing is with {s}?",
                    "Name the thing that {s} has.")),
         "s": _ask("The {v} belongs to {s}.",
                   ("Who has the {v}?", "Who owns the {v}?", "Who is holding the {v}?",
                    "Whose is the {v}?", "Tell me who has the {v}.", "Who got the {v}?",
                    "To whom does the {v} belong?"),
                   ("Which person has the {v}?", "Who is it that has the {v}?",
                    "Who is the owner of the {v}?"))},
    ),
    Relation(
        "gave", "thing", {"s": "person", "r": "person2", "v": "thing"},
        Bank(("{s} gave the {v} to {r}.", "{s} gave {r} the {v}.", "{r} got the {v} from {s}.",
              "The {v} was a gift from {s} to {r}.", "{s} brought {r} the {v}."),
             ("{s} handed the {v} to {r}.", "{r} was given the {v} by {s}.")),
        {"v": _ask("{s} gave the {v} to {r}.",
                   ("What did {s} give to {r}?", "What did {r} get from {s}?",
                    "What was the gift of {s}?", "What did {s} give away?"),
                   ("Which gift did {s} give?", "Tell me what {r} got from {s}.")),
         "s": _ask("The {v} came from {s}.",
                   ("Who gave the {v} to {r}?", "Who gave away the {v}?", "Who gave {r} the {v}?",
                    "From whom did {r} get the {v}?"),
                   ("Tell me who gave {r} the {v}.", "Who was it that gave the {v} away?")),
         "r": _ask("The {v} went to {r}.",
                   ("Who got the {v}?", "To whom did {s} give the {v}?",
                    "Who got the {v} from {s}?", "Who was the {v} for?"),
                   ("Which person got the {v}?", "Tell me who got the {v}."))},
    ),
    Relation(
        "found", "thing", {"s": "person", "v": "thing", "p": "place"},
        Bank(("{s} found the {v} in the {p}.", "In the {p}, {s} found the {v}.",
              "The {v} was found by {s} in the {p}.", "{s} saw the {v} lying in the {p}.",
              "{s} picked up the {v} in the {p}."),
             ("{s} came across the {v} in the {p}.", "It was {s} who found the {v} in the {p}.")),
        {"v": _ask("{s} found the {v}.",
                   ("What did {s} find?", "What did {s} find in the {p}?", "What was in the {p}?",
                    "What was found by {s}?"),
                   ("Which thing did {s} find?", "Tell me what {s} found.")),
         "s": _ask("The {v} was found by {s}.",
                   ("Who found the {v}?", "Who found something in the {p}?",
                    "By whom was the {v} found?"),
                   ("Which person found the {v}?", "Tell me who found the {v}.")),
         "p": _ask("The {v} was in the {p}.",
                   ("Where was the {v}?", "Where did {s} find the {v}?",
                    "Where did {s} find something?", "In which place was the {v}?"),
                   ("Tell me where the {v} was.", "Where was the {v} found?"))},
    ),
    Relation(
        "count", "thing", {"s": "person", "n": "number", "v": "count_noun"},
        Bank(("{s} has {n} {v}.", "{s} owns {n} {v}.", "There are {n} {v} in the bag of {s}.",
              "{s} bought {n} {v}.", "{s} counted {n} {v}."),
             ("{s} is carrying {n} {v}.", "{n} {v} belong to {s}.")),
        {"n": _ask("{s} has {n} {v}.",
                   ("How many {v} does {s} have?", "How many {v} belong to {s}?",
                    "What number of {v} does {s} have?", "{s} has how many {v}?",
                    "Count the {v} of {s}."),
                   ("Tell me how many {v} {s} has.", "Do you know how many {v} {s} has?")),
         "s": _ask("The {n} {v} belong to {s}.",
                   ("Who has {n} {v}?", "Who owns {n} {v}?", "Who got {n} {v}?"),
                   ("Which person has {n} {v}?", "Tell me who has {n} {v}."))},
    ),
    Relation(
        "lives", "place", {"s": "person", "v": "town"},
        Bank(("{s} lives in {v}.", "{s} is from {v}.", "The home of {s} is in {v}.",
              "{s} built a house in {v}.", "{s} comes from {v}.", "{s} stays in {v}.",
              "{v} is the home of {s}."),
             ("{s} has a home in {v}.", "You can find {s} in {v}.",
              "The town where {s} lives is {v}.")),
        {"v": _ask("{s} lives in {v}.",
                   ("Where does {s} live?", "In which town does {s} live?", "Where is {s} from?",
                    "What is the home of {s}?", "Tell me where {s} lives.",
                    "{s} lives in which town?", "Where does {s} come from?"),
                   ("What town does {s} live in?", "Do you know where {s} lives?",
                    "Where is the house of {s}?")),
         "s": _ask("{v} is the home of {s}.",
                   ("Who lives in {v}?", "Who is from {v}?", "Who has a house in {v}?",
                    "Who comes from {v}?", "Tell me who lives in {v}.", "Whose home is {v}?"),
                   ("Which person lives in {v}?", "Who stays in {v}?",
                    "Do you know who lives in {v}?"))},
    ),
    Relation(
        "job", "job", {"s": "person", "v": "job"},
        Bank(("{s} is a {v}.", "{s} works as a {v}.", "The {v} is called {s}.",
              "The job of {s} is {v}.", "The name of the {v} is {s}.", "{s}, the {v}, is here."),
             ("{s} does the work of a {v}.", "{s} earns money as a {v}.")),
        {"v": _ask("{s} is a {v}.",
                   ("What is the job of {s}?", "What does {s} do?", "What work does {s} do?",
                    "What is {s}'s job?", "Which job does {s} have?", "Tell me the job of {s}."),
                   ("What does {s} do for work?", "What does {s} work as?",
                    "Name the job of {s}.")),
         "s": _ask("The {v} is {s}.",
                   ("Who is the {v}?", "Who works as a {v}?", "Who is a {v}?",
                    "What is the name of the {v}?", "Tell me who the {v} is."),
                   ("Which person is a {v}?", "What is the {v} called?",
                    "Whose job is {v}?"))},
    ),
    Relation(
        "likes", "food", {"s": "person", "v": "food"},
        Bank(("{s} likes {v}.", "{s} loves {v}.", "The favorite food of {s} is {v}.",
              "{s} likes to eat {v}.", "{s} enjoys {v}.", "{s} eats {v} every day."),
             ("{s} is fond of {v}.", "{s} likes {v} best.",
              "Nothing tastes better to {s} than {v}.")),
        {"v": _ask("{s} likes {v}.",
                   ("What does {s} like?", "What food does {s} like?", "What does {s} like to eat?",
                    "What is the favorite food of {s}?", "Which food does {s} love?",
                    "Tell me what {s} likes.", "What does {s} eat?"),
                   ("What food does {s} enjoy?", "What does {s} like best?",
                    "Name the food that {s} likes.")),
         "s": _ask("{s} likes {v}.",
                   ("Who likes {v}?", "Who loves {v}?", "Who likes to eat {v}?",
                    "Who enjoys {v}?", "Tell me who likes {v}."),
                   ("Which person likes {v}?", "Who is it that likes {v}?"))},
    ),
    Relation(
        "drinks", "food", {"s": "person", "v": "drink"},
        Bank(("{s} drinks {v}.", "{s} poured a cup of {v}.", "{s} asked for {v}.",
              "There is {v} in the cup of {s}.", "{s} likes to drink {v}."),
             ("{s} is drinking {v}.", "{s} filled a mug with {v}.")),
        {"v": _ask("{s} drinks {v}.",
                   ("What does {s} drink?", "What is in the cup of {s}?", "What did {s} ask for?",
                    "Which drink does {s} like?", "Tell me what {s} drinks."),
                   ("What is {s} drinking?", "Name the drink of {s}.")),
         "s": _ask("The {v} is for {s}.",
                   ("Who drinks {v}?", "Who asked for {v}?", "Who poured {v}?",
                    "Who likes to drink {v}?"),
                   ("Who is drinking {v}?", "Which person drinks {v}?"))},
    ),
    Relation(
        "pet", "thing", {"s": "person", "v": "pet", "n": "pet_name"},
        Bank(("{s} has a {v} named {n}.", "{s} has a {v}. The {v} is called {n}.",
              "The {v} of {s} is called {n}.", "{n} is the {v} of {s}.",
              "{s} lives with a {v} named {n}."),
             ("{s} looks after a {v} named {n}.", "{s} takes care of {n} the {v}.")),
        {"v": _ask("{s} has a {v}.",
                   ("What pet does {s} have?", "What animal does {s} have?",
                    "What kind of pet does {s} have?", "Which pet belongs to {s}?"),
                   ("What animal lives with {s}?", "Tell me which pet {s} has.")),
         "n": _ask("The {v} of {s} is called {n}.",
                   ("What is the name of {s}'s {v}?", "What is the {v} of {s} called?",
                    "What is the {v} called?", "What is the name of the {v}?"),
                   ("Tell me the name of the {v}.", "How does {s} call the {v}?")),
         "s": _ask("{n} the {v} belongs to {s}.",
                   ("Who has a {v}?", "Who has a pet named {n}?", "Whose pet is {n}?",
                    "Who owns the {v}?"),
                   ("Which person has a {v}?", "To whom does {n} belong?"))},
    ),
    Relation(
        "went", "place", {"s": "person", "v": "place"},
        Bank(("{s} went to the {v}.", "{s} is in the {v}.", "{s} walked to the {v}.",
              "{s} ran to the {v}.", "{s} is now at the {v}.", "{s} moved to the {v}."),
             ("{s} set off for the {v}.", "{s} hurried to the {v}.")),
        {"v": _ask("{s} is in the {v}.",
                   ("Where is {s}?", "Where did {s} go?", "Where is {s} now?",
                    "Where can I find {s}?", "Tell me where {s} is.", "Which place did {s} go to?"),
                   ("Do you know where {s} is?", "To which place did {s} go?",
                    "Where would I find {s}?")),
         "s": _ask("{s} is in the {v}.",
                   ("Who is in the {v}?", "Who went to the {v}?", "Who is at the {v}?",
                    "Tell me who is in the {v}."),
                   ("Which person is in the {v}?", "Who can I find in the {v}?"))},
    ),
    Relation(
        "age", "age", {"s": "person", "n": "age"},
        Bank(("{s} is {n} years old.", "The age of {s} is {n}.", "{s} turned {n} today.",
              "{s} is {n}."),
             ("{s} has just turned {n}.", "{s} is a child of {n} years.")),
        {"n": _ask("{s} is {n} years old.",
                   ("How old is {s}?", "What is the age of {s}?", "What age is {s}?",
                    "How many years old is {s}?"),
                   ("Tell me how old {s} is.", "Do you know the age of {s}?")),
         "s": _ask("{s} is {n} years old.",
                   ("Who is {n} years old?", "Who is {n}?", "Who turned {n}?"),
                   ("Which person is {n} years old?", "Tell me who is {n}."))},
    ),
    Relation(
        "plays", "play", {"s": "person", "v": "instrument"},
        Bank(("{s} plays the {v}.", "{s} can play the {v}.", "{s} plays music on the {v}.",
              "The {v} is played by {s}.", "{s} learns the {v}."),
             ("{s} makes music with the {v}.", "{s} is good at the {v}.")),
        {"v": _ask("{s} plays the {v}.",
                   ("What does {s} play?", "What instrument does {s} play?",
                    "What can {s} play?", "Which instrument does {s} play?"),
                   ("Tell me what {s} plays.", "On what does {s} make music?")),
         "s": _ask("The {v} is played by {s}.",
                   ("Who plays the {v}?", "Who can play the {v}?", "Who learns the {v}?",
                    "By whom is the {v} played?"),
                   ("Which person plays the {v}?", "Tell me who plays the {v}."))},
    ),
    Relation(
        "friend", "friend", {"s": "person", "v": "person2"},
        Bank(("The best friend of {s} is {v}.", "{s} is the friend of {v}.",
              "{s}'s best friend is {v}.", "{s} met a friend named {v}.",
              "{s} plays with {v} every day."),
             ("{s} and {v} are best friends.", "{v} is the best friend of {s}.")),
        {"v": _ask("The friend of {s} is {v}.",
                   ("Who is the best friend of {s}?", "Who is {s}'s friend?",
                    "Who is the friend of {s}?", "With whom does {s} play?"),
                   ("What is the name of {s}'s friend?", "Tell me the best friend of {s}.")),
         },
    ),
    Relation(
        "wears", "thing", {"s": "person", "c": "colour", "v": "clothing"},
        Bank(("{s} wears a {c} {v}.", "{s} has a {c} {v} on.", "The {v} of {s} is {c}.",
              "{s} put on a {c} {v}.", "{s} came in a {c} {v}."),
             ("{s} is dressed in a {c} {v}.", "{s} walks around in a {c} {v}.")),
        {"c": _ask("{s}'s {v} is {c}.",
                   ("What color is the {v} of {s}?", "What color is {s}'s {v}?",
                    "Which color is the {v} of {s}?", "Tell me the color of {s}'s {v}."),
                   ("What is the color of {s}'s {v}?", "Of what color is the {v} of {s}?")),
         "v": _ask("{s} wears a {c} {v}.",
                   ("What does {s} wear?", "What did {s} put on?", "What is {s} wearing?"),
                   ("Tell me what {s} wears.", "What does {s} have on?")),
         "s": _ask("The {c} {v} is worn by {s}.",
                   ("Who wears a {c} {v}?", "Who wears the {c} {v}?", "Who has a {c} {v}?"),
                   ("Which person wears a {c} {v}?", "Tell me who wears the {c} {v}."))},
    ),
)  # fmt: skip
