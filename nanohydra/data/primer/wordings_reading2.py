"""More relations of the reading exercises: feelings, times, places of things, towns, prices.

Only templates, as in `wordings_reading`; here most subjects are things, events and towns.
"""

from __future__ import annotations

from nanohydra.data.primer.craft import Bank
from nanohydra.data.primer.wordings_reading import PERSON_RELATIONS, Ask, Relation


def _ask(answer: str, train: tuple[str, ...], test: tuple[str, ...]) -> Ask:
    return Ask(Bank(train, test), answer)


OTHER_RELATIONS = (
    Relation(
        "feels", "feeling", {"s": "person", "v": "feeling"},
        Bank(("{s} is {v}.", "{s} feels {v}.", "{s} was {v} today.", "{s} looks {v}."),
             ("{s} seems {v}.", "Today {s} feels very {v}.")),
        {"v": _ask("{s} is {v}.",
                   ("How does {s} feel?", "How is {s}?", "How was {s} today?",
                    "How does {s} look?"),
                   ("Tell me how {s} feels.", "What does {s} feel?")),
         "s": _ask("{s} is {v}.",
                   ("Who is {v}?", "Who feels {v}?", "Who was {v}?"),
                   ("Which person is {v}?", "Tell me who feels {v}."))},
    ),
    Relation(
        "fears", "fear", {"s": "person", "v": "scary"},
        Bank(("{s} is afraid of {v}.", "{s} is scared of {v}.", "{s} runs away from {v}.",
              "{s} does not like {v}."),
             ("{s} has a fear of {v}.", "{s} hides from {v}.")),
        {"v": _ask("{s} is afraid of {v}.",
                   ("What is {s} afraid of?", "What is {s} scared of?", "What does {s} fear?",
                    "What scares {s}?"),
                   ("Of what is {s} afraid?", "Tell me what {s} is afraid of.")),
         "s": _ask("{s} is afraid of {v}.",
                   ("Who is afraid of {v}?", "Who is scared of {v}?", "Who runs from {v}?"),
                   ("Which person is afraid of {v}?", "Tell me who is scared of {v}."))},
    ),
    Relation(
        "born", "birthday", {"s": "person", "v": "month"},
        Bank(("{s} was born in {v}.", "The birthday of {s} is in {v}.",
              "{s} has a birthday in {v}.", "{s}'s birthday is in {v}."),
             ("In {v}, {s} has a birthday.", "The month when {s} was born is {v}.")),
        {"v": _ask("{s} was born in {v}.",
                   ("When was {s} born?", "In which month was {s} born?",
                    "When is the birthday of {s}?", "When is {s}'s birthday?"),
                   ("In what month is {s}'s birthday?", "Tell me when {s} was born.")),
         "s": _ask("{s} was born in {v}.",
                   ("Who was born in {v}?", "Who has a birthday in {v}?",
                    "Whose birthday is in {v}?"),
                   ("Which person was born in {v}?", "Tell me who was born in {v}."))},
    ),
    Relation(
        "rides", "travel", {"s": "person", "v": "vehicle"},
        Bank(("{s} came by {v}.", "{s} goes to work by {v}.", "{s} travels by {v}.",
              "{s} took the {v}."),
             ("{s} always goes by {v}.", "{s} got here by {v}.")),
        {"v": _ask("{s} came by {v}.",
                   ("How did {s} come?", "How does {s} travel?", "What did {s} take?",
                    "How does {s} go to work?"),
                   ("How did {s} get here?", "Tell me how {s} travels.")),
         "s": _ask("{s} came by {v}.",
                   ("Who came by {v}?", "Who travels by {v}?", "Who took the {v}?"),
                   ("Which person came by {v}?", "Tell me who goes by {v}."))},
    ),
    Relation(
        "sport", "play", {"s": "person", "v": "sport", "d": "day"},
        Bank(("{s} plays {v} on {d}.", "On {d}, {s} plays {v}.", "{s} has {v} practice on {d}.",
              "Every {d}, {s} plays {v}."),
             ("{s} goes to {v} each {d}.", "{d} is the day when {s} plays {v}.")),
        {"v": _ask("{s} plays {v}.",
                   ("What does {s} play?", "What sport does {s} play?",
                    "What does {s} play on {d}?", "Which game does {s} play?"),
                   ("Tell me which sport {s} plays.", "What game does {s} play on {d}?")),
         "d": _ask("{s} plays {v} on {d}.",
                   ("When does {s} play {v}?", "On which day does {s} play {v}?",
                    "On which day does {s} play?", "When does {s} play?"),
                   ("On what day does {s} play {v}?", "Tell me when {s} plays.")),
         "s": _ask("{v} is played by {s}.",
                   ("Who plays {v}?", "Who plays on {d}?", "Who has {v} practice?"),
                   ("Which person plays {v}?", "Tell me who plays on {d}."))},
    ),
    Relation(
        "where", "where", {"s": "object", "v": "spot"},
        Bank(("The {s} is {v}.", "There is a {s} {v}.", "Someone put the {s} {v}.",
              "You will find the {s} {v}.", "I left the {s} {v}.", "The {s} lies {v}."),
             ("The {s} can be found {v}.", "The {s} was left {v}.")),
        {"v": _ask("The {s} is {v}.",
                   ("Where is the {s}?", "Where can I find the {s}?", "Where did the {s} go?",
                    "Tell me where the {s} is.", "In which place is the {s}?"),
                   ("Where should I look for the {s}?", "Do you know where the {s} is?")),
         "s": _ask("The {s} is {v}.",
                   ("What is {v}?", "What can I find {v}?", "What lies {v}?",
                    "Which thing is {v}?"),
                   ("Tell me what is {v}.", "What thing lies {v}?"))},
    ),
    Relation(
        "colour", "paint", {"s": "object", "v": "colour"},
        Bank(("The {s} is {v}.", "The color of the {s} is {v}.", "The {s} has a {v} color.",
              "We painted the {s} {v}."),
             ("The {s} was painted {v}.", "Someone made the {s} {v}.")),
        {"v": _ask("The {s} is {v}.",
                   ("What color is the {s}?", "What is the color of the {s}?",
                    "Which color does the {s} have?", "Tell me the color of the {s}."),
                   ("What color has the {s}?", "In what color is the {s}?")),
         "s": _ask("The {s} is {v}.",
                   ("What is {v}?", "Which thing is {v}?", "What has a {v} color?"),
                   ("Tell me which thing is {v}.", "What thing has the color {v}?"))},
    ),
    Relation(
        "price", "price", {"s": "object", "n": "price"},
        Bank(("The {s} costs {n} coins.", "The price of the {s} is {n} coins.",
              "You can buy the {s} for {n} coins.", "They sell the {s} for {n} coins."),
             ("For {n} coins you get the {s}.", "You have to pay {n} coins for the {s}.")),
        {"n": _ask("The {s} costs {n} coins.",
                   ("How much is the {s}?", "What does the {s} cost?",
                    "What is the price of the {s}?", "How many coins is the {s}?"),
                   ("How much does the {s} cost?", "Tell me the price of the {s}.")),
         "s": _ask("The {s} costs {n} coins.",
                   ("What costs {n} coins?", "What can I buy for {n} coins?",
                    "Which thing costs {n} coins?"),
                   ("Tell me what costs {n} coins.", "What do they sell for {n} coins?"))},
    ),
    Relation(
        "event", "event", {"s": "event", "v": "day"},
        Bank(("The {s} is on {v}.", "On {v} there is the {s}.", "The {s} will be on {v}.",
              "The day of the {s} is {v}.", "The {s} starts on {v}."),
             ("We all go to the {s} on {v}.", "They hold the {s} on {v}.")),
        {"v": _ask("The {s} is on {v}.",
                   ("When is the {s}?", "On which day is the {s}?", "What day is the {s}?",
                    "Tell me when the {s} is."),
                   ("On what day do they hold the {s}?", "Do you know the day of the {s}?")),
         "s": _ask("The {s} is on {v}.",
                   ("What is on {v}?", "What happens on {v}?", "What starts on {v}?"),
                   ("What do they hold on {v}?", "Tell me what is on {v}."))},
    ),
    Relation(
        "famous", "famous", {"s": "town", "v": "goods"},
        Bank(("{s} is famous for {v}.", "People buy {v} in {s}.", "They make {v} in {s}.",
              "The best {v} come from {s}.", "The town of {s} is known for {v}."),
             ("In {s} you can get fine {v}.", "The pride of {s} is {v}.")),
        {"v": _ask("{s} is famous for {v}.",
                   ("What is {s} famous for?", "What do people buy in {s}?",
                    "What do they make in {s}?", "What is {s} known for?"),
                   ("For what is {s} famous?", "Tell me what comes from {s}.")),
         "s": _ask("They make {v} in {s}.",
                   ("Which town is famous for {v}?", "Where do people buy {v}?",
                    "Where do they make {v}?", "Which town is known for {v}?"),
                   ("In which town do they make {v}?", "Tell me which town is famous for {v}."))},
    ),
    Relation(
        "leaves", "time", {"s": "town", "n": "hour"},
        Bank(("The train to {s} leaves at {n}.", "At {n} there is a train to {s}.",
              "The train for {s} goes at {n}.", "You can take the {n} o'clock train to {s}."),
             ("The train that goes to {s} starts at {n}.",
              "To get to {s}, take the train at {n}.")),
        {"n": _ask("The train to {s} leaves at {n}.",
                   ("When does the train to {s} leave?", "When is the train to {s}?",
                    "At what time does the train to {s} go?"),
                   ("What time is the train to {s}?", "Tell me when the train to {s} leaves.")),
         "s": _ask("The train at {n} goes to {s}.",
                   ("Where does the train at {n} go?", "Which town has a train at {n}?",
                    "Which train leaves at {n}?"),
                   ("To which town is there a train at {n}?",
                    "Tell me where the train at {n} goes."))},
    ),
    Relation(
        "eats", "feed", {"s": "beast", "v": "food"},
        Bank(("The {s} eats {v}.", "They feed the {s} with {v}.", "The {s} likes {v}.",
              "The {s} gets {v} for lunch."),
             ("The food of the {s} is {v}.", "Give the {s} some {v}.")),
        {"v": _ask("The {s} eats {v}.",
                   ("What does the {s} eat?", "What does the {s} like?",
                    "What does the {s} get for lunch?"),
                   ("Tell me what the {s} eats.", "What food does the {s} get?")),
         "s": _ask("The {s} eats {v}.",
                   ("Which animal eats {v}?", "Which animal likes {v}?", "What animal gets {v}?"),
                   ("Tell me which animal eats {v}.", "For which animal is the food {v}?"))},
    ),
)  # fmt: skip

RELATIONS = PERSON_RELATIONS + OTHER_RELATIONS
BY_KEY = {relation.key: relation for relation in RELATIONS}

PASSAGE_THEN_QUESTION = Bank(
    (
        "Read this: {p} {q}", "{p} {q}", "{p}\n{q}", "{p}\n\n{q}", "Text: {p}\nQuestion: {q}",
        "Read the text. {p} {q}", "Here is a story. {p} {q}", "Listen. {p} {q}",
        "{p} Question: {q}", "Read: {p}\n{q}", "Here is what I know. {p} {q}",
        "I will tell you something. {p} {q}", "{p} Now answer: {q}", "Passage: {p} Question: {q}",
    ),
    (
        "Please read this. {p} {q}", "Story: {p}\nQ: {q}", "Look at this text: {p}\n{q}",
        "{p} My question: {q}", "Here are some facts. {p} {q}",
    ),
)  # fmt: skip
PASSAGE_FIRST = Bank(
    ("Read this: {p}", "{p}", "Here is a text. {p}", "Listen. {p}", "Remember this. {p}",
     "I will tell you something. {p}", "Text: {p}"),
    ("Please read this. {p}", "Look at this text: {p}", "Here are some facts. {p}"),
)  # fmt: skip
JOINTS = Bank((" and ", ", and ", ", but "), (" while ",))
PASSAGE_AS_SYSTEM = Bank(
    ("Answer from this text: {p}", "{p}", "You know this: {p}", "Facts: {p}"),
    ("Use this text to answer: {p}", "What you know: {p}"),
)
READY = ("I have read it.", "OK. What is your question?", "OK, I will answer from the text.")
NOT_SAID = "The text does not say."
OPENERS = Bank(
    ("It was a sunny day.", "It was a cold morning.", "There was a big party.",
     "Everyone was at home.", "It was a quiet day in the town.", "The sun was shining.",
     "It was raining outside.", "Many people came together.", "It was late in the evening.",
     "This is a short text.", "The children were playing.", "The wind was strong."),
    ("It was early in the day.", "Snow was falling.", "There was a lot to do.", "All was quiet."),
)  # fmt: skip
EVENTS = ("party", "picnic", "dance", "concert", "race", "play", "market", "parade", "meeting",
          "test", "trip", "wedding", "game", "show", "lesson")  # fmt: skip
