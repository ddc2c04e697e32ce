"""Wordings of the made-up facts about choirs, dishes, planets, inventions, rivers, feasts, teams.

Built like `wordings_facts`; together they make up `FACT_RELATIONS`.
"""

from __future__ import annotations

from dataclasses import replace

from nanohydra.data.primer.craft import Bank
from nanohydra.data.primer.wordings_facts import PEOPLE, SHIPS, TOWNS, Back, FactRelation
from nanohydra.data.primer.wordings_facts3 import MORE_ASK, MORE_BACK

CHOIRS = (
    FactRelation(
        "sings_in", "choir", "town",
        Bank(("{s} sings in {o}.", "{s} comes from {o}.", "The home of {s} is {o}.",
              "You can hear {s} in {o}.", "{s} meets every week in {o}.",
              "The people of {o} love to hear {s}."),
             ("In {o} people know {s} well.", "{s} has its home in {o}.")),
        Bank(("Where does {s} sing?", "In which town does {s} sing?", "Where can I hear {s}?",
              "Where does {s} meet?", "Which town does {s} come from?", "What is the home of {s}?",
              "{s} sings in which town?", "Where does {s} come from?"),
             ("What town does {s} sing in?", "In what town can I hear {s}?",
              "Where should I go to hear {s}?")),
        "where {s} sings", "{s} sings in {o}.",
    ),
    FactRelation(
        "led_by", "choir", "leader",
        Bank(("{s} is led by {o}.", "The leader of {s} is {o}.", "{o} leads {s}.",
              "{o} is the leader of {s}.", "The singers of {s} follow {o}.", "{o} started {s}."),
             ("In front of {s} stands {o}.", "It is {o} who leads {s}.")),
        Bank(("Who leads {s}?", "Who is the leader of {s}?", "By whom is {s} led?",
              "What is the leader of {s} called?", "Who started {s}?", "The leader of {s} is who?",
              "Whom do the singers of {s} follow?", "What is the name of the leader of {s}?"),
             ("Which person leads {s}?", "Who is it that leads {s}?", "What person leads {s}?")),
        "who leads {s}", "The leader of {s} is {o}.",
        Back(Bank(("Which choir does {o} lead?", "Which choir is led by {o}?",
                   "Of which choir is {o} the leader?", "Which choir has {o} as leader?",
                   "{o} is the leader of what choir?"),
                  ("What choir does {o} lead?", "In which choir is {o} the leader?")),
             "{o} leads {s}."),
    ),
)  # fmt: skip

DISHES = (
    FactRelation(
        "made_with", "dish", "ingredient",
        Bank(("{s} is made with {o}.", "To make {s} you need {o}.", "The main thing in {s} is {o}.",
              "{s} tastes of {o}.", "Cooks put {o} into {s}.", "There is no {s} without {o}."),
             ("You can taste {o} in {s}.", "The cook needs {o} for {s}.")),
        Bank(("What is {s} made with?", "What do I need to make {s}?",
              "What is the main thing in {s}?", "What is in {s}?", "What do cooks put into {s}?",
              "What does {s} taste of?", "{s} is made with what?", "What goes into {s}?"),
             ("With what is {s} made?", "What must I buy to make {s}?",
              "What food do you find in {s}?")),
        "what {s} is made with", "{s} is made with {o}.",
    ),
    FactRelation(
        "dish_from", "dish", "town",
        Bank(("{s} comes from {o}.", "{s} was first cooked in {o}.", "In {o} they eat {s}.",
              "The people of {o} made the first {s}.", "{s} is the dish of {o}.",
              "The home of {s} is {o}."),
             ("{s} is a dish from {o}.", "People in {o} cook {s}.")),
        Bank(("Where does {s} come from?", "Where was {s} first cooked?",
              "In which town do they eat {s}?", "Which town does {s} come from?",
              "What is the home of {s}?", "Where do people eat {s}?", "{s} comes from which town?",
              "Where did people make the first {s}?"),
             ("What town gave us {s}?", "In what town was {s} first made?",
              "From which town is {s}?")),
        "where {s} comes from", "{s} comes from {o}.",
    ),
)  # fmt: skip

PLANETS = (
    FactRelation(
        "planet_colour", "planet", "colour",
        Bank(("The planet {s} is {o}.", "The color of the planet {s} is {o}.",
              "The planet {s} shines {o}.", "From far away the planet {s} looks {o}.",
              "The sky of the planet {s} is {o}.", "A {o} planet is called {s}."),
             ("Seen from here the planet {s} is {o}.", "Everything on the planet {s} is {o}.")),
        Bank(("What color is the planet {s}?", "What is the color of the planet {s}?",
              "How does the planet {s} look?", "Which color has the planet {s}?",
              "In what color does the planet {s} shine?",
              "What color is the sky of the planet {s}?", "The planet {s} has which color?",
              "How does the planet {s} look from far away?"),
             ("Of what color is the planet {s}?", "What color does the planet {s} have?",
              "What color would I see on the planet {s}?")),
        "which color the planet {s} has", "The planet {s} is {o}.",
    ),
    FactRelation(
        "moons", "planet", "moons",
        Bank(("The planet {s} has {o} moons.", "There are {o} moons around the planet {s}.",
              "{o} moons go around the planet {s}.",
              "In the sky of the planet {s} there are {o} moons.",
              "The number of moons of the planet {s} is {o}.",
              "People counted {o} moons of the planet {s}."),
             ("The planet {s} is circled by {o} moons.",
              "At night the planet {s} shows {o} moons.")),
        Bank(("How many moons does the planet {s} have?", "How many moons has the planet {s}?",
              "How many moons go around the planet {s}?",
              "What is the number of moons of the planet {s}?",
              "How many moons are there around the planet {s}?",
              "How many moons are in the sky of the planet {s}?",
              "The planet {s} has how many moons?", "How many moons does {s} have?"),
             ("What number of moons does the planet {s} have?",
              "How many moons belong to the planet {s}?",
              "How many moons can I see from the planet {s}?")),
        "how many moons the planet {s} has", "The planet {s} has {o} moons.",
    ),
)  # fmt: skip

INVENTIONS = (
    FactRelation(
        "inventor", "invention", "leader",
        Bank(("{s} was invented by {o}.", "{o} invented {s}.", "The inventor of {s} is {o}.",
              "It was {o} who made the first {b}.", "{o} is the inventor of {s}.",
              "{s} was the idea of {o}."),
             ("We thank {o} for {s}.", "{o} had the idea of {s}.")),
        Bank(("Who invented {s}?", "Who is the inventor of {s}?", "By whom was {s} invented?",
              "Who made the first {b}?", "Whose idea was {s}?",
              "What is the inventor of {s} called?", "{s} was invented by whom?",
              "What is the name of the inventor of {s}?"),
             ("Which person invented {s}?", "Who had the idea of {s}?",
              "Who was it that invented {s}?")),
        "who invented {s}", "The inventor of {s} is {o}.",
        Back(Bank(("What did {o} invent?", "Which thing did {o} invent?",
                   "What was invented by {o}?", "What was the idea of {o}?", "{o} invented what?"),
                  ("Of what is {o} the inventor?", "What thing was invented by {o}?")),
             "{o} invented {s}."),
    ),
    FactRelation(
        "power", "invention", "power",
        Bank(("{s} runs on {o}.", "{s} works with {o}.", "{s} needs {o} to run.",
              "Without {o}, {s} stands still.", "The power of {s} comes from {o}.",
              "The power of {s} is {o}."),
             ("To use {s}, you need {o}.", "With {o} you make {s} go.")),
        Bank(("What does {s} run on?", "What does {s} work with?", "What does {s} need to run?",
              "What gives {s} its power?", "How does {s} work?", "What is the power of {s}?",
              "{s} runs on what?", "What makes {s} run?"),
             ("On what does {s} run?", "What power does {s} use?",
              "What must I give {s} to run it?")),
        "what {s} runs on", "{s} runs on {o}.",
    ),
)  # fmt: skip

RIVERS = (
    FactRelation(
        "through", "river", "town",
        Bank(("{s} flows through {o}.", "{s} runs through {o}.", "The town on {s} is {o}.",
              "In {o} there is a bridge over {s}.", "{o} lies on {s}.",
              "{s} passes the town of {o}."),
             ("On the way to the sea {s} passes {o}.", "You can swim in {s} at {o}.")),
        Bank(("Which town does {s} flow through?", "What town lies on {s}?", "Where does {s} flow?",
              "Through which town does {s} run?", "Which town is on {s}?",
              "In which town is the bridge over {s}?", "{s} flows through which town?",
              "Which town does {s} pass?"),
             ("What town does {s} run through?", "Through what town does {s} go?",
              "At which town can I find {s}?")),
        "which town {s} flows through", "{s} flows through {o}.",
    ),
    FactRelation(
        "fish", "river", "beast",
        Bank(("People see many {o} at {s}.", "Many {o} live at {s}.", "{s} is full of {o}.",
              "At {s} you can watch the {o}.", "The animals of {s} are {o}.",
              "{s} is known for its {o}."),
             ("On {s} there are many {o}.", "{o} like to live at {s}.")),
        Bank(("Which animals live at {s}?", "What animals can I see at {s}?",
              "What is {s} full of?", "What can I watch at {s}?", "What animals does {s} have?",
              "What is {s} known for?", "At {s} there are which animals?", "What lives at {s}?"),
             ("What kind of animals live at {s}?", "Which animals would I see at {s}?",
              "What animals are found at {s}?")),
        "which animals live at {s}", "Many {o} live at {s}.",
    ),
)  # fmt: skip

FEASTS = (
    FactRelation(
        "month", "festival", "month",
        Bank(("{s} is in {o}.", "{s} takes place in {o}.", "Every {o} there is {s}.",
              "In {o} people dance at {s}.", "{s} starts in {o}.", "The month of {s} is {o}."),
             ("They celebrate {s} in {o}.", "When {o} comes, {s} begins.")),
        Bank(("When is {s}?", "In which month is {s}?", "When does {s} take place?",
              "What month is {s} in?", "When does {s} start?", "What is the month of {s}?",
              "{s} is in which month?", "When do people dance at {s}?"),
             ("In what month does {s} take place?", "During which month is {s}?",
              "When should I go to {s}?")),
        "when {s} is", "{s} is in {o}.",
    ),
    FactRelation(
        "held_in", "festival", "town",
        Bank(("{s} is held in {o}.", "The town of {s} is {o}.", "People go to {o} for {s}.",
              "You can see {s} in {o}.", "{o} is the town of {s}.", "In {o} they hold {s}."),
             ("{s} brings many people to {o}.", "{o} holds {s} every year.")),
        Bank(("Where is {s} held?", "In which town is {s}?", "Where is {s}?",
              "Where can I see {s}?", "Which town holds {s}?", "Where do people go for {s}?",
              "{s} is held in which town?", "Where do they hold {s}?"),
             ("What town is {s} in?", "In what town do they hold {s}?",
              "To which town do people go for {s}?")),
        "where {s} is held", "{s} is held in {o}.",
    ),
)  # fmt: skip

TEAMS = (
    FactRelation(
        "sport", "team", "sport",
        Bank(("{s} play {o}.", "The game of {s} is {o}.", "{s} are a {o} team.",
              "{s} are good at {o}.", "{s} train for {o}.", "You can watch {s} play {o}."),
             ("{o} is the sport of {s}.", "{s} love to play {o}.")),
        Bank(("What do {s} play?", "What sport do {s} play?", "What game do {s} play?",
              "Which sport do {s} train for?", "What is the game of {s}?", "What are {s} good at?",
              "{s} play which sport?", "What kind of team are {s}?"),
             ("At which sport are {s} good?", "What can I watch {s} play?",
              "In which sport are {s} a team?")),
        "which sport {s} play", "{s} play {o}.",
    ),
    FactRelation(
        "shirts", "team", "colour",
        Bank(("{s} wear {o} shirts.", "The shirts of {s} are {o}.", "The color of {s} is {o}.",
              "{s} play in {o}.", "You know {s} by their {o} shirts.", "{s} have {o} shirts."),
             ("{s} come in {o} shirts.", "{o} is the color of {s}.")),
        Bank(("What color are the shirts of {s}?", "Which color do {s} wear?", "What do {s} wear?",
              "What is the color of {s}?", "What shirts do {s} have?",
              "In which color do {s} play?", "The shirts of {s} have which color?",
              "What color do {s} wear?"),
             ("Of what color are the shirts of {s}?", "What color shirts do {s} wear?",
              "By which color do you know {s}?")),
        "which color {s} wear", "The shirts of {s} are {o}.",
    ),
)  # fmt: skip


def _with_more(relation: FactRelation) -> FactRelation:
    """A relation with the further training questions of `wordings_facts3`."""
    key, back = relation.key, relation.back
    if back is not None:
        questions = back.questions
        back = replace(back, questions=Bank(questions.train + MORE_BACK[key], questions.test))
    ask = Bank(relation.ask.train + MORE_ASK[key], relation.ask.test)
    return replace(relation, ask=ask, back=back)


FACT_RELATIONS = tuple(
    _with_more(relation)
    for relation in (
        PEOPLE + TOWNS + SHIPS + CHOIRS + DISHES + PLANETS + INVENTIONS + RIVERS + FEASTS + TEAMS
    )
)

ACKNOWLEDGE = ("Got it. I will remember that.", "Thank you. I will remember that.",
               "OK, I will remember that.")  # fmt: skip
CORRECT = Bank(
    (
        "No, {f}",
        "That was wrong. {f}",
        "I made a mistake. {f}",
        "Wait, {f}",
        "Now it is new: {f}",
        "I have to correct that. {f}",
    ),
    ("Sorry, I was wrong. {f}", "Something changed: {f}"),
)
TEACH = Bank(
    ("{f}", "Remember this: {f}", "Here is a fact. {f}", "I will teach you something. {f}",
     "Did you know? {f}", "Learn this: {f}", "You should know this. {f}"),
    ("Please remember: {f}", "I have something new for you. {f}", "Keep this in mind. {f}"),
)  # fmt: skip
