"""Relations of the reading exercises about things and towns, and the frames of passages.

Only templates, as in `wordings_reading`; `RELATIONS` is all of them.
"""

from __future__ import annotations

from nanohydra.data.primer.craft import Bank
from nanohydra.data.primer.wordings_reading import THING_RELATIONS, Relation, ask
from nanohydra.data.primer.wordings_reading2 import PEOPLE_RELATIONS

OTHER_RELATIONS = (
    Relation(
        "where", "where", {"s": "object", "v": "spot"},
        Bank(("The {s} is {v}.", "There is a {s} {v}.", "Someone put the {s} {v}.",
              "You will find the {s} {v}.", "I left the {s} {v}.", "The {s} lies {v}.",
              "I saw the {s} {v}.", "The {s} was found {v}.", "We put the {s} {v}.",
              "They keep the {s} {v}.", "{v} there is a {s}."),
             ("You can find the {s} {v}.", "The {s} was left {v}.", "I put the {s} {v}.")),
        {"v": ask("The {s} is {v}.",
                  ("Where is the {s}?", "Where can I find the {s}?", "Where did the {s} go?",
                   "Tell me where the {s} is.", "In which place is the {s}?",
                   "Where is the {s} now?", "Where was the {s}?", "Where can I see the {s}?"),
                  ("Where will I find the {s}?", "Do you know where the {s} is?")),
         "s": ask("The {s} is {v}.",
                  ("What is {v}?", "What can I find {v}?", "What lies {v}?",
                   "Which thing is {v}?"),
                  ("Tell me what is {v}.", "What thing lies {v}?"))},
    ),
    Relation(
        "colour", "paint", {"s": "object", "v": "colour"},
        Bank(("The {s} is {v}.", "The color of the {s} is {v}.", "The {s} has a {v} color.",
              "We painted the {s} {v}.", "The {s} looks {v}.", "I have a {v} {s}.",
              "There is a {v} {s}.", "Someone made the {s} {v}.", "The {s} was {v}."),
             ("The {s} was painted {v}.", "I painted the {s} {v}.", "I saw a {v} {s}.")),
        {"v": ask("The {s} is {v}.",
                  ("What color is the {s}?", "What is the color of the {s}?",
                   "Which color does the {s} have?", "Tell me the color of the {s}.",
                   "Which color is the {s}?", "How does the {s} look?"),
                  ("What color does the {s} have?", "Of what color is the {s}?")),
         "s": ask("The {s} is {v}.",
                  ("What is {v}?", "Which thing is {v}?", "What has a {v} color?"),
                  ("Tell me which thing is {v}.", "What thing has the color {v}?"))},
    ),
    Relation(
        "price", "price", {"s": "object", "n": "price"},
        Bank(("The {s} costs {n} coins.", "The price of the {s} is {n} coins.",
              "You can buy the {s} for {n} coins.", "They sell the {s} for {n} coins.",
              "I paid {n} coins for the {s}.",
              "We got the {s} for {n} coins."),
             ("The {s} is sold for {n} coins.", "I bought the {s} for {n} coins.",
              "You pay {n} coins for the {s}.")),
        {"n": ask("The {s} costs {n} coins.",
                  ("How much is the {s}?", "What does the {s} cost?",
                   "What is the price of the {s}?", "How many coins is the {s}?",
                   "How much did the {s} cost?"),
                  ("How much does the {s} cost?", "Tell me the price of the {s}.")),
         "s": ask("The {s} costs {n} coins.",
                  ("What costs {n} coins?", "What can I buy for {n} coins?",
                   "Which thing costs {n} coins?"),
                  ("Tell me what costs {n} coins.", "What can I get for {n} coins?"))},
    ),
    Relation(
        "event", "event", {"s": "event", "v": "day"},
        Bank(("The {s} is on {v}.", "The {s} will be on {v}.", "The {s} starts on {v}.",
              "We go to the {s} on {v}.", "There is a {s} on {v}.", "I will be at the {s} on {v}.",
              "The day of the {s} is {v}.", "On {v} there is the {s}."),
             ("We all go to the {s} on {v}.", "There will be a {s} on {v}.",
              "On {v} we go to the {s}.")),
        {"v": ask("The {s} is on {v}.",
                  ("When is the {s}?", "On which day is the {s}?", "What day is the {s}?",
                   "Tell me when the {s} is.", "When does the {s} start?",
                   "When will the {s} be?"),
                  ("On what day is the {s}?", "Do you know the day of the {s}?")),
         "s": ask("The {s} is on {v}.",
                  ("What is on {v}?", "What happens on {v}?", "What starts on {v}?"),
                  ("What will be on {v}?", "Tell me what is on {v}."))},
    ),
    Relation(
        "famous", "famous", {"s": "town", "v": "goods"},
        Bank(("{s} is famous for {v}.", "{s} is known for {v}.", "{s} has the best {v}.",
              "{s} sells {v}.", "People buy {v} in {s}.", "They make {v} in {s}.",
              "The best {v} come from {s}.", "The town of {s} is known for {v}."),
             ("{s} is a town famous for {v}.", "In {s} they make {v}.",
              "The people of {s} make {v}.")),
        {"v": ask("{s} is famous for {v}.",
                  ("What is {s} famous for?", "What do people buy in {s}?",
                   "What do they make in {s}?", "What is {s} known for?",
                   "What can I buy in {s}?", "What comes from {s}?"),
                  ("For what is {s} famous?", "Tell me what comes from {s}.")),
         "s": ask("They make {v} in {s}.",
                  ("Which town is famous for {v}?", "Where do people buy {v}?",
                   "Where do they make {v}?", "Which town is known for {v}?",
                   "Where can I buy {v}?"),
                  ("In which town do they make {v}?", "Tell me which town is famous for {v}."))},
    ),
    Relation(
        "leaves", "time", {"s": "town", "n": "hour"},
        Bank(("The train to {s} leaves at {n}.", "The train for {s} goes at {n}.",
              "There is a train to {s} at {n}.", "The train to {s} is at {n}.",
              "I go to {s} with the train at {n}.", "You can take the {n} o'clock train to {s}.",
              "At {n} there is a train to {s}."),
             ("The train that goes to {s} leaves at {n}.", "You can go to {s} by train at {n}.",
              "At {n} the train goes to {s}.")),
        {"n": ask("The train to {s} leaves at {n}.",
                  ("When does the train to {s} leave?", "When is the train to {s}?",
                   "At what time does the train to {s} go?", "When can I go to {s}?"),
                  ("At what time is the train to {s}?", "Tell me when the train to {s} leaves.")),
         "s": ask("The train at {n} goes to {s}.",
                  ("Where does the train at {n} go?", "Which town has a train at {n}?",
                   "Which train leaves at {n}?"),
                  ("To which town is there a train at {n}?",
                   "Tell me where the train at {n} goes."))},
    ),
    Relation(
        "eats", "feed", {"s": "beast", "v": "food"},
        Bank(("The {s} eats {v}.", "The {s} likes {v}.", "The {s} gets {v} for lunch.",
              "The {s} always eats {v}.", "They feed the {s} with {v}.",
              "I gave the {s} some {v}."),
             ("The {s} likes to eat {v}.", "We feed the {s} with {v}.",
              "The {s} eats a lot of {v}.")),
        {"v": ask("The {s} eats {v}.",
                  ("What does the {s} eat?", "What does the {s} like?",
                   "What does the {s} get for lunch?", "What is the food of the {s}?"),
                  ("Tell me what the {s} eats.", "What food does the {s} get?")),
         "s": ask("The {s} eats {v}.",
                  ("Which animal eats {v}?", "Which animal likes {v}?", "What animal gets {v}?"),
                  ("Tell me which animal eats {v}.", "What animal likes to eat {v}?"))},
    ),
)  # fmt: skip

RELATIONS = THING_RELATIONS + PEOPLE_RELATIONS + OTHER_RELATIONS
BY_KEY = {relation.key: relation for relation in RELATIONS}

PASSAGE_THEN_QUESTION = Bank(
    (
        "{p} {q}", "Read this: {p} {q}", "{p}\n{q}", "{p}\n\n{q}", "Text: {p}\nQuestion: {q}",
        "Read the text. {p} {q}", "Here is a story. {p} {q}", "Listen. {p} {q}",
        "{p} Question: {q}", "Read: {p}\n{q}", "Here is what I know. {p} {q}",
        "I will tell you something. {p} {q}", "{p} Now answer: {q}", "Passage: {p} Question: {q}",
        "{p} Can you answer this? {q}", "Look at this. {p} {q}", "Story: {p} {q}",
        "Here are facts. {p} {q}", "Please answer. {p} {q}", "{p} I have a question. {q}",
        "Please look at this. {p}\n{q}", "Facts: {p}\n{q}", "Please listen. {p} Question: {q}",
        "{p} This is my question: {q}", "Here is a text. {p} {q}", "Remember this. {p} {q}",
    ),
    (
        "Please read this. {p} {q}", "Story: {p}\nQuestion: {q}", "Look at this text: {p}\n{q}",
        "{p} My question: {q}", "Here are some facts. {p} {q}",
    ),
)  # fmt: skip
PASSAGE_FIRST = Bank(
    ("{p}", "Read this: {p}", "Here is a text. {p}", "Listen. {p}", "Remember this. {p}",
     "I will tell you something. {p}", "Text: {p}"),
    ("Please read this. {p}", "Look at this text: {p}", "Here are some facts. {p}"),
)  # fmt: skip
PASSAGE_AS_SYSTEM = Bank(
    ("Answer from this text: {p}", "{p}", "You know this: {p}", "Facts: {p}"),
    ("Use this text to answer: {p}", "What you know: {p}"),
)
# frames around a statement (its full stop is dropped) and around a question
STATEMENT_FRAMES = Bank(
    ("I know that {x}.", "Everyone knows that {x}.", "They say that {x}.", "As you know, {x}.",
     "Remember that {x}.", "I heard that {x}.", "You should know that {x}.", "Look, {x}.",
     "Well, {x}.", "By the way, {x}.", "It is true that {x}.", "I think that {x}.",
     "And {x}.", "Also, {x}.", "You see, {x}.", "It is clear that {x}.", "Of course {x}."),
    ("We know that {x}.", "I can tell you that {x}.", "It is known that {x}."),
)  # fmt: skip
QUESTION_FRAMES = Bank(
    ("Tell me: {q}", "Please answer: {q}", "I want to know: {q}", "Now, {l}", "OK, {l}", "So {l}",
     "And {l}", "Well, {l}", "Next question: {q}"),
    ("Answer this: {q}", "One question: {q}"),
)  # fmt: skip
WHAT_ABOUT = Bank(("And {s}?", "What about {s}?"), ("And what about {s}?",))
JOINTS = Bank((" and ", ", and ", ", but "), (" while ",))
READY = ("I have read it.", "OK. What is your question?", "OK, I will answer from the text.")
OPENERS = Bank(
    ("It was a sunny day.", "It was a cold morning.", "There was a big party.",
     "Everyone was at home.", "It was a quiet day in the town.", "The sun was shining.",
     "It was raining outside.", "Many people came together.", "It was late in the evening.",
     "This is a short text.", "The children were playing.", "The wind was strong."),
    ("It was a day in spring.", "The snow was white.", "There was a lot to do.", "All was quiet."),
)  # fmt: skip
EVENTS = ("party", "picnic", "dance", "concert", "race", "play", "market", "parade", "meeting",
          "test", "trip", "wedding", "game", "show", "lesson")  # fmt: skip
