"""Wordings about the things of a house: what they are called, where they are, whose, of what.

Built like `wordings_facts`. Nothing of this kind is a fixed fact: it is always told in the chat or
in a note, or else not known.
"""

from __future__ import annotations

from nanohydra.data.primer.craft import Bank
from nanohydra.data.primer.wordings_facts import FactRelation

THINGS = (
    FactRelation(
        "thing_name", "thing", "title",
        Bank(("{s} is called {o}.", "The name of {s} is {o}.", "We call {s} {o}.",
              "{s} has the name {o}.", "People call {s} {o}.", "{o} is the name of {s}."),
             ("Our name for {s} is {o}.", "{s} goes by the name {o}.")),
        Bank(("What is {s} called?", "What is the name of {s}?", "What do people call {s}?",
              "Which name does {s} have?", "What do we call {s}?", "{s} is called what?",
              "What name do we have for {s}?", "By what name do people know {s}?"),
             ("What name does {s} have?", "Which name do people have for {s}?")),
        "what {s} is called", "{s} is called {o}.",
    ),
    FactRelation(
        "thing_place", "thing", "spot",
        Bank(("{s} is {o}.", "You can find {s} {o}.", "We keep {s} {o}.", "{s} stands {o}.",
              "I put {s} {o}.", "The place of {s} is {o}."),
             ("{o} you can find {s}.", "You will see {s} {o}.")),
        Bank(("Where is {s}?", "Where can I find {s}?", "Where do we keep {s}?",
              "In which place is {s}?", "Where did I put {s}?", "Where should I look for {s}?",
              "What is the place of {s}?", "Where does {s} stand?"),
             ("In what place can I find {s}?", "Where do I look for {s}?")),
        "where {s} is", "{s} is {o}.",
    ),
    FactRelation(
        "thing_colour", "thing", "colour",
        Bank(("{s} is {o}.", "The color of {s} is {o}.", "We painted {s} {o}.",
              "{s} has the color {o}.", "{o} is the color of {s}.", "{s} looks {o}."),
             ("{s} was painted {o}.", "You see at once that {s} is {o}.")),
        Bank(("What color is {s}?", "What is the color of {s}?", "Which color does {s} have?",
              "Of which color is {s}?", "What color did we paint {s}?", "{s} has which color?",
              "In what color is {s} painted?", "Which color is {s}?"),
             ("What color does {s} have?", "Of what color is {s}?")),
        "which color {s} has", "{s} is {o}.",
    ),
    FactRelation(
        "thing_owner", "thing", "given",
        Bank(("{s} belongs to {o}.", "{o} owns {s}.", "The owner of {s} is {o}.",
              "{s} is owned by {o}.", "{o} is the owner of {s}.", "{o} bought {s}."),
             ("{s} is in the hands of {o}.", "It is {o} who owns {s}.")),
        Bank(("Who owns {s}?", "Whose is {s}?", "Who is the owner of {s}?",
              "To whom does {s} belong?", "Who bought {s}?", "By whom is {s} owned?",
              "{s} belongs to whom?", "Which person owns {s}?"),
             ("Which person is the owner of {s}?", "To which person does {s} belong?")),
        "who owns {s}", "{s} belongs to {o}.",
    ),
    FactRelation(
        "thing_price", "thing", "price",
        Bank(("{s} costs {o}.", "The price of {s} is {o}.", "You pay {o} for {s}.",
              "We paid {o} for {s}.", "{s} cost us {o}.", "{o} is the price of {s}."),
             ("For {s} we had to pay {o}.", "You get {s} for {o}.")),
        Bank(("How much does {s} cost?", "What is the price of {s}?", "What does {s} cost?",
              "How much is {s}?", "How much did we pay for {s}?", "What does {s} cost us?",
              "What did we pay for {s}?",
              "What price does {s} have?", "{s} costs how much?"),
             ("What is the cost of {s}?", "How much does {s} cost us?"),
        ),
        "what the cost of {s} is", "{s} costs {o}.",
    ),
    FactRelation(
        "thing_code", "thing", "code",
        Bank(("The code of {s} is {o}.", "{s} has the code {o}.", "{o} is the code of {s}.",
              "The number of {s} is {o}.", "{s} opens with {o}.", "For {s} you need the code {o}."),
             ("You need {o} to open {s}.", "{s} has the number {o}.")),
        Bank(("What is the code of {s}?", "Which code does {s} have?", "What is the number of {s}?",
              "Which code do I need for {s}?", "What code opens {s}?",
              "With which code do I open {s}?", "What number does {s} have?",
              "{s} has which code?"),
             ("What code do I need for {s}?", "Which number does {s} have?")),
        "what the code of {s} is", "The code of {s} is {o}.",
    ),
    FactRelation(
        "thing_material", "thing", "material",
        Bank(("{s} is made of {o}.", "{s} is built from {o}.", "{o} is what {s} is made of.",
              "They made {s} of {o}.", "The material of {s} is {o}.", "{s} consists of {o}."),
             ("{s} was made from {o}.", "They used {o} to build {s}.")),
        Bank(("What is {s} made of?", "Of what is {s} made?", "What material is {s} made of?",
              "From what is {s} built?", "What is the material of {s}?",
              "What does {s} consist of?", "{s} is made of what?",
              "Which material is {s} built of?"),
             ("Of which material is {s} made?", "From which material is {s} built?")),
        "what {s} is made of", "{s} is made of {o}.",
    ),
    FactRelation(
        "thing_day", "thing", "day",
        Bank(("{s} comes on {o}.", "We get {s} on {o}.", "{s} will be ready on {o}.",
              "The day for {s} is {o}.", "On {o} {s} will be there.", "{s} arrives on {o}."),
             ("On {o} we get {s}.", "{s} will arrive on {o}.")),
        Bank(("When does {s} come?", "On which day does {s} come?", "When do we get {s}?",
              "What is the day for {s}?", "On what day will {s} be there?",
              "When will {s} be ready?", "When does {s} arrive?", "{s} comes on which day?"),
             ("On which day do we get {s}?", "When will {s} arrive?")),
        "when {s} comes", "{s} comes on {o}.",
    ),
)  # fmt: skip
