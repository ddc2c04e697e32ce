"""What users tell about themselves and ask back later: "My dog is called Rex."

Each entry has statements and questions in the first person and the answer in the second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from nanohydra.data.primer import names, words
from nanohydra.data.primer.craft import Bank, Split


@dataclass(frozen=True)
class Personal:
    """One thing a user may tell about herself or himself."""

    say: Bank
    ask: Bank
    answer: str
    value: Callable[[Random, Split], str]


def _from(pool: tuple[str, ...]) -> Callable[[Random, Split], str]:
    return lambda rng, split: rng.choice(pool)


def _number(low: int, high: int) -> Callable[[Random, Split], str]:
    return lambda rng, split: str(rng.randint(low, high))


PERSONAL = (
    Personal(
        Bank(("My favorite color is {o}.", "I like the color {o} best.",
              "The color I love is {o}."),
             ("No color is nicer to me than {o}.", "My best color is {o}.")),
        Bank(("What is my favorite color?", "Which color do I like best?", "What color do I love?"),
             ("Do you know my favorite color?", "Which color is my favorite?")),
        "Your favorite color is {o}.", _from(words.COLOURS)),
    Personal(
        Bank(("My favorite food is {o}.", "I love to eat {o}.", "I like {o} best of all food."),
             ("The food I like most is {o}.", "I could eat {o} all day.")),
        Bank(("What is my favorite food?", "What do I like to eat?", "Which food do I love?"),
             ("Do you know what I like to eat?", "Which food is my favorite?")),
        "Your favorite food is {o}.", _from(words.FOODS)),
    Personal(
        Bank(("I like to drink {o}.", "My favorite drink is {o}.", "I drink {o} every morning."),
             ("The drink I like most is {o}.", "I always drink {o}.")),
        Bank(("What do I like to drink?", "What is my favorite drink?", "What do I drink?"),
             ("Which drink do I like?", "Do you know what I drink?")),
        "You like to drink {o}.", _from(words.DRINKS)),
    Personal(
        Bank(("I live in {o}.", "My home is in {o}.", "I am from {o}.", "I moved to {o}."),
             ("My house is in {o}.", "The town where I live is {o}.")),
        Bank(("Where do I live?", "In which town do I live?", "Where is my home?",
              "Where am I from?"),
             ("What town do I live in?", "Do you know where I live?")),
        "You live in {o}.", names.town),
    Personal(
        Bank(("I am a {o}.", "I work as a {o}.", "My job is {o}.", "For work I am a {o}."),
             ("I earn money as a {o}.", "I have a job as a {o}.")),
        Bank(("What is my job?", "What do I do for work?", "What do I work as?"),
             ("Do you know my job?", "What work do I do?")),
        "You are a {o}.", _from(words.JOBS)),
    Personal(
        Bank(("My dog is called {o}.", "I have a dog named {o}.", "The name of my dog is {o}."),
             ("{o} is the name of my dog.", "I own a dog. We call it {o}.")),
        Bank(("What is my dog called?", "What is the name of my dog?", "How is my dog called?"),
             ("Do you know the name of my dog?", "Which name does my dog have?")),
        "Your dog is called {o}.", lambda rng, split: names.made_name(rng, split)),
    Personal(
        Bank(("My cat is called {o}.", "I have a cat named {o}.", "The name of my cat is {o}."),
             ("{o} is the name of my cat.", "I own a cat. We call it {o}.")),
        Bank(("What is my cat called?", "What is the name of my cat?", "How is my cat called?"),
             ("Do you know the name of my cat?", "Which name does my cat have?")),
        "Your cat is called {o}.", lambda rng, split: names.made_name(rng, split)),
    Personal(
        Bank(("My sister is called {o}.", "I have a sister named {o}.", "{o} is my sister."),
             ("The name of my sister is {o}.", "My sister has the name {o}.")),
        Bank(("What is my sister called?", "What is the name of my sister?", "Who is my sister?"),
             ("Do you know the name of my sister?", "Tell me the name of my sister.")),
        "Your sister is called {o}.", names.person),
    Personal(
        Bank(("My brother is called {o}.", "I have a brother named {o}.", "{o} is my brother."),
             ("The name of my brother is {o}.", "My brother has the name {o}.")),
        Bank(("What is my brother called?", "What is the name of my brother?",
              "Who is my brother?"),
             ("Do you know the name of my brother?", "Tell me the name of my brother.")),
        "Your brother is called {o}.", names.person),
    Personal(
        Bank(("My best friend is {o}.", "My best friend is called {o}.", "{o} is my best friend."),
             ("The name of my best friend is {o}.", "I have a best friend named {o}.")),
        Bank(("Who is my best friend?", "What is my best friend called?",
              "What is the name of my friend?"),
             ("Do you know my best friend?", "Tell me the name of my friend.")),
        "Your best friend is {o}.", names.person),
    Personal(
        Bank(("I am {o} years old.", "My age is {o}.", "I turned {o} today."),
             ("I have just turned {o}.", "I am already {o} years old.")),
        Bank(("How old am I?", "What is my age?", "How many years old am I?"),
             ("Do you know how old I am?", "Tell me my age.")),
        "You are {o} years old.", _number(5, 90)),
    Personal(
        Bank(("My birthday is in {o}.", "I was born in {o}.", "I have my birthday in {o}."),
             ("In {o} I have my birthday.", "The month of my birthday is {o}.")),
        Bank(("When is my birthday?", "In which month is my birthday?", "When was I born?"),
             ("Do you know when my birthday is?", "What is the month of my birthday?")),
        "Your birthday is in {o}.", _from(words.MONTHS)),
    Personal(
        Bank(("I play the {o}.", "I can play the {o}.", "My instrument is the {o}."),
             ("I make music on the {o}.", "I am good at the {o}.")),
        Bank(("What do I play?", "Which instrument do I play?", "What is my instrument?"),
             ("Do you know which instrument I play?", "What instrument can I play?")),
        "You play the {o}.", _from(words.INSTRUMENTS)),
    Personal(
        Bank(("My lucky number is {o}.", "The number I like is {o}.", "My number is {o}."),
             ("{o} is my lucky number.", "My best number is {o}.")),
        Bank(("What is my lucky number?", "Which number do I like?", "What is my number?"),
             ("Do you know my lucky number?", "Tell me my number.")),
        "Your lucky number is {o}.", _number(2, 999)),
    Personal(
        Bank(("My car is {o}.", "I have a {o} car.", "The color of my car is {o}."),
             ("I drive a {o} car.", "I painted my car {o}.")),
        Bank(("What color is my car?", "Which color does my car have?",
              "What is the color of my car?"),
             ("Do you know the color of my car?", "Of what color is my car?")),
        "Your car is {o}.", _from(tuple(c for c in words.COLOURS if c != "orange"))),
    Personal(
        Bank(("On {o} I am free.", "My free day is {o}.", "I do not work on {o}."),
             ("{o} is the day when I am free.", "Each {o} I have a free day.")),
        Bank(("What is my free day?", "On which day am I free?", "Which day is free for me?"),
             ("Do you know my free day?", "When am I free?")),
        "Your free day is {o}.", _from(words.DAYS)),
)  # fmt: skip
