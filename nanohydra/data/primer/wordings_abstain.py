"""Wordings of what the model cannot know: the world outside, and attributes nobody told it.

`ABSTENTIONS` are all the ways it says so; each begins with "I don't know".
"""

from __future__ import annotations

from nanohydra.data.primer.craft import Bank

ABSTENTIONS = (
    "I don't know that yet. You can teach me.",
    "I don't know. Nobody has told me yet.",
    "I don't know that. You can tell me.",
)

OUTSIDE = Bank(
    ("What is the capital of {country}?", "Who is the president of {country}?",
     "How many people live in {country}?", "What language do they speak in {country}?",
     "What is the weather today?", "Will it rain tomorrow?", "What is the news today?",
     "Who won the game last night?", "What time is it?", "What day is it today?",
     "Who wrote {work}?", "When did {celebrity} die?", "Where was {celebrity} born?",
     "Who was {celebrity}?", "How far is it to the moon?", "What is the tallest mountain?",
     "When did the war end?", "What is my name?", "How old am I?", "Where do I live?",
     "What did I eat today?", "Who is the king of {country}?",
     "What is the biggest city in {country}?", "How much is a car?", "What is the price of gold?",
     "Which team will win?", "Who discovered {discovery}?", "What is {discovery} made of?",
     "How does {discovery} work?", "What is the best movie?", "Who sang that song?",
     "What is my dog called?", "When is the next train?", "What will happen next year?",
     "Who lives next door to me?"),
    ("Which city is the capital of {country}?", "Who rules {country}?",
     "What is the money of {country} called?", "Is it cold outside now?",
     "What happened in the news?", "Who is the author of {work}?", "What did {celebrity} do?",
     "In what year was {celebrity} born?", "What is the longest river?",
     "What is my sister called?", "What do I have in my bag?", "Who found {discovery}?",
     "Which song is the best?", "How many stars are in the sky?", "What is the year now?"),
)  # fmt: skip
COUNTRIES = Bank(
    ("France", "Spain", "Japan", "China", "India", "Brazil", "Canada", "Mexico", "Egypt", "Kenya",
     "Norway", "Poland", "Greece", "Turkey", "Russia", "Peru", "Chile", "Cuba", "Ireland",
     "Finland", "Nepal", "Ghana", "America", "England"),
    ("Italy", "Germany", "Sweden", "Portugal", "Morocco", "Vietnam", "Austria", "Iceland"),
)  # fmt: skip
CELEBRITIES = Bank(
    ("Einstein", "Mozart", "Napoleon", "Picasso", "Cleopatra", "Darwin", "Beethoven", "Lincoln",
     "Gandhi", "Columbus", "Elvis", "Caesar"),
    ("Newton", "Shakespeare", "Bach", "Galileo", "Plato"),
)  # fmt: skip
WORKS = Bank(
    ("Hamlet", "Moby Dick", "the Odyssey", "Peter Pan", "Pinocchio", "the Bible",
     "Robinson Crusoe"),
    ("Don Quixote", "Faust", "War and Peace", "Treasure Island"),
)  # fmt: skip
DISCOVERIES = Bank(
    ("radio", "electricity", "the atom", "the telephone", "the computer", "glass", "the internet",
     "gravity"),
    ("the laser", "oxygen", "the telescope", "steel"),
)  # fmt: skip

# attributes that no subject of the kind was ever told to have
UNTOLD: dict[str, Bank] = {
    "person": Bank(
        ("How old is {s}?", "How tall is {s}?", "When was {s} born?", "Who is the brother of {s}?",
         "What is the pet of {s}?", "What is the phone number of {s}?", "What color does {s} like?",
         "Is {s} rich?"),
        ("What is the age of {s}?", "Who is the mother of {s}?", "Who is a friend of {s}?",
         "What car does {s} drive?")),
    "town": Bank(
        ("How many people live in {s}?", "How big is {s}?", "How is the weather in {s}?",
         "Which country is {s} in?", "How far is it to {s}?", "How many schools are in {s}?",
         "Who built the bridge of {s}?"),
        ("How large is {s}?", "Is it warm in {s}?", "What is the way to {s}?",
         "How many houses are in {s}?")),
    "ship": Bank(
        ("How long is {s}?", "How fast is {s}?", "How many people are on {s}?", "How old is {s}?",
         "What color is {s}?", "Where is {s} now?"),
        ("How heavy is {s}?", "How many sails does {s} have?", "Who cooks on {s}?")),
    "choir": Bank(
        ("How many singers are in {s}?", "How old is {s}?", "What songs does {s} sing?",
         "How much is a ticket for {s}?"),
        ("How many people sing in {s}?", "What is the best song of {s}?")),
    "dish": Bank(
        ("How much does {s} cost?", "How long do you cook {s}?", "Is {s} sweet?",
         "Who cooks the best {s}?"),
        ("What is the price of {s}?", "How hot should {s} be?")),
    "planet": Bank(
        ("How big is the planet {s}?", "How far away is the planet {s}?",
         "Who lives on the planet {s}?", "Is it cold on the planet {s}?"),
        ("How old is the planet {s}?", "Is there water on the planet {s}?")),
    "invention": Bank(
        ("How much is {s}?", "How big is {s}?", "When was {s} invented?", "Where can I buy {s}?"),
        ("What does {s} cost?", "How heavy is {s}?")),
    "river": Bank(
        ("How long is {s}?", "How deep is {s}?", "How cold is {s}?", "Where does {s} end?"),
        ("How wide is {s}?", "Into which sea does {s} flow?")),
    "festival": Bank(
        ("How long is {s}?", "How many people go to {s}?", "What do they eat at {s}?",
         "How old is {s}?"),
        ("How many days does {s} last?", "Who started {s}?")),
    "team": Bank(
        ("Who is the coach of {s}?", "How many players do {s} have?", "Did {s} win?",
         "Who is the best player of {s}?"),
        ("How many games did {s} win?", "Who trains {s}?")),
}  # fmt: skip
