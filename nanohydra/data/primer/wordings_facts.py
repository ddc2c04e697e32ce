"""Wordings of the made-up facts about people, towns and ships.

Per relation: statements, questions (train and test), an indirect form that fits many frames, the
one sentence that answers, and for some relations the questions in reverse. Slots: {s} subject,
{o} object.
"""

from __future__ import annotations

from dataclasses import dataclass

from nanohydra.data.primer.craft import Bank


@dataclass(frozen=True)
class Back:
    """The reverse of a relation: asking for the subject by its object."""

    questions: Bank
    answer: str


@dataclass(frozen=True)
class FactRelation:
    """One relation of the made-up world and all its wordings."""

    key: str
    kind: str
    value: str
    say: Bank
    ask: Bank
    clause: str
    answer: str
    back: Back | None = None


# frames around the indirect form of a question
FRAMES = Bank(
    ("Tell me {c}.", "Do you know {c}?", "Can you tell me {c}?", "I want to know {c}.",
     "Please tell me {c}.", "I forgot {c}.", "I forgot {c}. Do you know it?",
     "Can you help? I forgot {c}.", "I want to know {c}. Can you help?",
     "Can you help me? I need to know {c}.", "Help me, I forgot {c}.", "Please remind me {c}.",
     "Can you remind me {c}?", "Can you say {c}?", "Say {c}.", "Could you tell me {c}?",
     "Could you remind me {c}?", "I would love to know {c}.", "Would you tell me {c}?",
     "I would like to learn {c}.", "I would like to hear {c}.", "I would like you to tell me {c}."),
    ("Remind me {c}.", "I forgot {c}. Can you help?", "Could you say {c}?",
     "I would like to know {c}."),
)  # fmt: skip

PEOPLE = (
    FactRelation(
        "lives", "person", "town",
        Bank(("{s} lives in {o}.", "The home of {s} is in {o}.", "{s} has a house in {o}.",
              "In {o} you can visit {s}.", "{s} moved to {o} and stayed there.",
              "The town where {s} lives is {o}."),
             ("You will find the house of {s} in {o}.", "{o} is where {s} lives.")),
        Bank(("Where does {s} live?", "In which town does {s} live?", "Where is the home of {s}?",
              "What is the home town of {s}?", "Where can I visit {s}?", "{s} lives in which town?",
              "Which town is the home of {s}?", "Where is {s} living?"),
             ("What town does {s} live in?", "Where is the house of {s}?",
              "In what town can {s} be found?")),
        "where {s} lives", "{s} lives in {o}.",
    ),
    FactRelation(
        "job", "person", "job",
        Bank(("{s} works as a {o}.", "{s} is a {o}.", "The job of {s} is {o}.",
              "For work, {s} is a {o}.", "{s} has been a {o} for years.",
              "People know {s} as a good {o}."),
             ("{s} earns money as a {o}.", "Every day {s} goes to work as a {o}.")),
        Bank(("What is the job of {s}?", "What does {s} do for work?", "What work does {s} do?",
              "Which job does {s} have?", "What is {s}'s job?", "What does {s} work as?",
              "{s} has which job?", "What does {s} do all day?"),
             ("What kind of work does {s} do?", "How does {s} earn money?",
              "What job has {s} got?")),
        "what the job of {s} is", "{s} is a {o}.",
    ),
    FactRelation(
        "food", "person", "food",
        Bank(("The favorite food of {s} is {o}.", "{s} loves {o}.", "{s} likes {o} best.",
              "Nothing is better than {o} for {s}.", "{s} eats {o} every day.",
              "If you cook {o}, {s} will come."),
             ("What {s} enjoys most is {o}.", "Give {s} some {o} and see a smile.")),
        Bank(("What is the favorite food of {s}?", "What food does {s} like best?",
              "What does {s} like to eat?", "Which food does {s} love?",
              "What does {s} eat every day?", "What should I cook for {s}?",
              "What is {s}'s favorite food?", "{s} loves which food?"),
             ("What would {s} like to eat?", "What is the best food for {s}?",
              "What food does {s} enjoy most?")),
        "what {s} likes to eat", "{s} likes {o}.",
    ),
    FactRelation(
        "instrument", "person", "instrument",
        Bank(("{s} plays the {o}.", "The instrument of {s} is the {o}.",
              "{s} makes music on the {o}.", "In the evening {s} plays the {o}.",
              "{s} learned to play the {o}.", "You can hear {s} on the {o}."),
             ("{s} is good at the {o}.", "The {o} is what {s} plays.")),
        Bank(("What instrument does {s} play?", "What does {s} play?",
              "Which instrument does {s} play?", "What is the instrument of {s}?",
              "On what does {s} make music?", "What did {s} learn to play?",
              "{s} plays which instrument?", "What can {s} play?"),
             ("What instrument can {s} play?", "On which instrument does {s} make music?",
              "What does {s} play in the evening?")),
        "which instrument {s} plays", "{s} plays the {o}.",
    ),
)  # fmt: skip

TOWNS = (
    FactRelation(
        "mayor", "town", "leader",
        Bank(("The mayor of {s} is {o}.", "{o} is the mayor of {s}.",
              "{s} is led by its mayor, {o}.", "In {s} the mayor is called {o}.",
              "The people of {s} chose {o} as mayor.", "{o} became mayor of {s}."),
             ("As mayor of {s}, {o} has much to do.", "{o} was chosen to be mayor of {s}.")),
        Bank(("Who is the mayor of {s}?", "Who leads the town of {s}?",
              "What is the mayor of {s} called?", "Who became mayor of {s}?",
              "Who did the people of {s} choose as mayor?", "The mayor of {s} is who?",
              "What is the name of the mayor of {s}?", "Who is mayor in {s}?"),
             ("Which person is the mayor of {s}?", "By whom is {s} led?",
              "Who was chosen as mayor in {s}?")),
        "who the mayor of {s} is", "The mayor of {s} is {o}.",
        Back(Bank(("Of which town is {o} the mayor?", "Which town has {o} as mayor?",
                   "Where is {o} the mayor?", "Which town does {o} lead?",
                   "{o} is mayor of what town?"),
                  ("What town is led by {o}?", "In which town is {o} the mayor?")),
             "{o} is the mayor of {s}."),
    ),
    FactRelation(
        "founded", "town", "year",
        Bank(("{s} was founded in {o}.", "The town of {s} was built in {o}.", "{s} began in {o}.",
              "In {o} people founded {s}.", "The first house of {s} was built in {o}.",
              "The year when {s} was founded is {o}."),
             ("{s} has been there since {o}.", "It was in {o} that {s} was founded.")),
        Bank(("When was {s} founded?", "In which year was {s} founded?", "When was {s} built?",
              "When did {s} begin?", "What year was {s} founded?", "In what year did {s} begin?",
              "Since when is there a town called {s}?", "{s} was founded in which year?"),
             ("In what year was {s} built?", "What is the year when {s} was built?",
              "When did people found {s}?")),
        "when {s} was founded", "{s} was founded in {o}.",
    ),
    FactRelation(
        "famous", "town", "goods",
        Bank(("{s} is famous for its {o}.", "{s} is known for {o}.",
              "People come to {s} to buy {o}.", "The best {o} are from {s}.",
              "In {s} they make fine {o}.", "The pride of {s} is its {o}."),
             ("Everybody wants the {o} of {s}.", "{s} sells the finest {o}.")),
        Bank(("What is {s} famous for?", "What is {s} known for?", "What do they make in {s}?",
              "What do people buy in {s}?", "Why do people come to {s}?",
              "What is the pride of {s}?", "For what is {s} famous?", "What can I buy in {s}?"),
             ("What makes {s} famous?", "For what do people know {s}?",
              "What do people make in {s}?")),
        "what {s} is famous for", "{s} is famous for its {o}.",
    ),
    FactRelation(
        "flag", "town", "colour",
        Bank(("The flag of {s} is {o}.", "{s} has a {o} flag.", "A {o} flag flies over {s}.",
              "The color of the flag of {s} is {o}.", "In {s} every flag is {o}.",
              "The people of {s} carry a {o} flag."),
             ("On the tower of {s} there is a {o} flag.",
              "The people of {s} made their flag {o}.")),
        Bank(("What color is the flag of {s}?", "What is the color of the flag of {s}?",
              "Which color is the flag of {s}?", "What flag does {s} have?",
              "What color is {s}'s flag?", "What flag flies over {s}?",
              "The flag of {s} has which color?", "What does the flag of {s} look like?"),
             ("Of what color is the flag of {s}?", "What flag do the people of {s} carry?",
              "In what color is the flag of {s}?")),
        "which color the flag of {s} has", "The flag of {s} is {o}.",
    ),
)  # fmt: skip

SHIPS = (
    FactRelation(
        "captain", "ship", "leader",
        Bank(("The captain of {s} is {o}.", "{o} is the captain of {s}.", "{s} sails under {o}.",
              "{o} commands {s}.", "On {s} the captain is called {o}.",
              "{o} became captain of {s}."),
             ("As captain of {s}, {o} sails far.", "The crew of {s} listens to {o}.")),
        Bank(("Who is the captain of {s}?", "Who commands {s}?", "Under whom does {s} sail?",
              "What is the captain of {s} called?", "Who became captain of {s}?",
              "The captain of {s} is who?", "What is the name of the captain of {s}?",
              "Who is in command of {s}?"),
             ("Which person is the captain of {s}?", "Who leads the crew of {s}?",
              "By whom is {s} commanded?")),
        "who the captain of {s} is", "The captain of {s} is {o}.",
        Back(Bank(("Of which ship is {o} the captain?", "Which ship does {o} command?",
                   "Which ship has {o} as captain?", "What ship does {o} sail?",
                   "{o} is captain of what ship?"),
                  ("What ship is commanded by {o}?", "On which ship is {o} the captain?")),
             "{o} is the captain of {s}."),
    ),
    FactRelation(
        "built", "ship", "material",
        Bank(("{s} is made of {o}.", "{s} was built of {o}.", "They built {s} out of {o}.",
              "The hull of {s} is made of {o}.", "It took much {o} to build {s}.",
              "The builders of {s} used {o}."),
             ("Only {o} was used for {s}.", "{s} is a ship of {o}.")),
        Bank(("What is {s} made of?", "What was {s} built of?", "Which material is {s} made of?",
              "Of what did they build {s}?", "What did the builders of {s} use?",
              "What is the hull of {s} made of?", "{s} is made of what?",
              "What material is {s} built of?"),
             ("Out of what was {s} made?", "From which material was {s} made?",
              "What did they use to build {s}?")),
        "what {s} is made of", "{s} is made of {o}.",
    ),
    FactRelation(
        "port", "ship", "town",
        Bank(("The home port of {s} is {o}.", "{s} comes from {o}.", "{s} sails from {o}.",
              "In the harbor of {o} lies {s}.", "{s} always returns to {o}.",
              "You can see {s} in the harbor of {o}."),
             ("{o} is the port of {s}.", "{s} belongs in the harbor of {o}.")),
        Bank(("What is the home port of {s}?", "Where does {s} come from?",
              "From which town does {s} sail?", "In which harbor lies {s}?",
              "Where does {s} return to?", "Which town is the home port of {s}?",
              "Where can I see {s}?", "{s} comes from which port?"),
             ("What port does {s} call home?", "To which town does {s} return?",
              "What harbor does {s} sail from?")),
        "which port {s} comes from", "The home port of {s} is {o}.",
    ),
)  # fmt: skip
