"""Wordings of what is told of things: name, colour, price, place, owner, maker, size, parts."""

from __future__ import annotations

from nanohydra.data.primer import words
from nanohydra.learn.study.bank_people import PRIMER
from nanohydra.learn.study.relation import relation

COLOUR_WORDS = "|".join(dict.fromkeys((*words.COLOURS, "grey", "violet", "turquoise", "silver")))
COLOUR = rf"(?:(?:dark|light|bright|pale|deep) )?(?:{COLOUR_WORDS})(?: and (?:{COLOUR_WORDS}))?"
PLACE = "in on at under behind beside near above below inside next opposite between".split()
UNITS = (
    r"[\d.,]+ ?(?:mm|cm|m|km|g|kg|t|l|ml|meters?|metres?|feet|foot|inch(?:es)?|miles?|kilometers?|"
    r"kilometres?|kilos?|kilograms?|grams?|tons?|tonnes?|pounds?|liters?|litres?|centimeters?|"
    r"centimetres?|hours?|minutes?|days?|years?|pages?)"
)
MONEY = r".*(?:\d|free|nothing|dollar|euro|pound|coin|cent|crown|franc).*"
TIME = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?: [ap]\.?m\.?)?"
    r"(?: in the .+)?|"
    r"(?:about |around )?(?:\d{1,2}(?:[:.]\d{2})?(?: ?[ap]\.?m\.?)?(?: o'clock)?|noon|midnight|"
    r"dawn|dusk|sunrise|sunset|\w+ o'clock|half past \w+|(?:a )?quarter (?:to|past) \w+)"
    r"(?: (?:in the|at|on|every) .+)?"
)

THINGS = (
    relation(
        "called", "name",
        say="{s} is called {o}. | {s} is named {o}. | The name of {s} is {o}. | {p} name is {o}. |"
            "{s} has the name {o}. | {o} is the name of {s}. | People call {s} {o}. |"
            "We call {s} {o}. | {s} goes by the name {o}. | {s} was named {o}.",
        ask="What is {s} called? | What is the name of {s}? | What name does {s} have? |"
            "Which name does {s} have? | How is {s} called? | {s} is called what? |"
            "What do people call {s}? | What do we call {s}? | What is {p} name?",
        dev="What name has {s} got? | By what name do people call {s}?",
        test="Which name was given to {s}? | What name do people use for {s}? |"
             "By which name do you know {s}?",
        clause="what {s} is called", answer="{s} is called {o}.", own="{p} name is {o}.",
        back="What is called {o}? | Who or what is {o}? | What has the name {o}? |"
             "Who or what is called {o}? | To what does the name {o} belong?",
        back_test="Which thing is called {o}? | What is named {o}?",
        back_answer="{o} is the name of {s}.",
    ),
    relation(
        "colour", "colour", only=COLOUR,
        say="{s} is {o}. | The color of {s} is {o}. | {p} color is {o}. | {s} has the color {o}. |"
            "{s} is painted {o}. | They painted {s} {o}. | {s} looks {o}. | {s} was painted {o}. |"
            "The colour of {s} is {o}. | {s} has a {o} color.",
        ask="What color is {s}? | What is the color of {s}? | Which color is {s}? |"
            "What color does {s} have? | Which color has {s}? | {s} has which color? |"
            "Which color does {s} have? | What is {p} color? | In which color is {s} painted?",
        dev="In what color is {s}? | What color has {s} got?",
        test="Of what color is {s}? | In what color was {s} painted? |"
             "What color would I see on {s}?",
        clause="which color {s} has", answer="{s} is {o}.",
        back="What is {o}? | Which thing is {o}? | What has the color {o}?",
        back_test="What thing is {o}? | Which thing has the color {o}?",
    ),
    relation(
        "costs", "price", only=MONEY,
        say="{s} costs {o}. | The price of {s} is {o}. | {p} price is {o}. | {s} sells for {o}. |"
            "You can buy {s} for {o}. | You pay {o} for {s}. | {s} has a price of {o}. |"
            "We sell {s} for {o}. | {s} cost {o}.",
        ask="What does {s} cost? | How much does {s} cost? | What is the price of {s}? |"
            "How much is {s}? | How much money is {s}? | {s} costs how much? |"
            "What do I pay for {s}? | How much do I pay for {s}? | What is {p} price?",
        dev="For how much can I buy {s}? | What price does {s} have?",
        test="How much money do I need for {s}? | For what price do they sell {s}? |"
             "What must I pay for {s}?",
        clause="how much {s} costs", answer="{s} costs {o}.",
        back="What costs {o}? | What can I buy for {o}? | Which thing costs {o}?",
        back_test="What thing costs {o}? | What has a price of {o}?",
    ),
    relation(
        "built", "material",
        say=("{s} is made of {o}.", "{s} was built of {o}.", "{s} is built of {o}.",
             "{s} was made of {o}.", "They built {s} out of {o}.", "The builders of {s} used {o}.",
             "{s} consists of {o}.", "{s} is made from {o}.", "It took much {o} to make {s}."),
        ask=PRIMER["built"].ask.train[:5] + ("What did they make {s} of?",
            "What is {s} made from?", "What is the material of {s}?", "{s} is made of what?",
            "Which material did they use for {s}?", "From what was {s} made?"),
        dev="Of which material is {s}? | Out of what did they make {s}?",
        test=PRIMER["built"].ask.test,
        clause="what {s} is made of", answer="{s} is made of {o}.",
        back="What is made of {o}? | Which thing is made of {o}? | What was built of {o}?",
        back_test="What thing is made of {o}? | What was made of {o}?",
    ),
    relation(
        "located", "spot", only=rf"(?:{'|'.join(PLACE)}|to the (?:left|right|north|south)) .+",
        say="{s} is {o}. | {s} lies {o}. | {s} stands {o}. | {s} is kept {o}. | {s} hangs {o}. |"
            "{s} is located {o}. | You can find {s} {o}. | You will find {s} {o}. |"
            "The place of {s} is {o}. | {s} is always {o}. | We keep {s} {o}.",
        ask="Where is {s}? | Where can I find {s}? | Where does {s} lie? | Where do I find {s}? |"
            "In which place is {s}? | {s} is where? | Where is {s} now? |"
            "What is the place of {s}? |"
            "Where can {s} be found? | Where did they put {s}?",
        dev="Where should I look for {s}? | In what place can I find {s}?",
        test="Where would I find {s}? | At which place is {s}? | In what place is {s}?",
        clause="where {s} is", answer="{s} is {o}.",
        back="What is {o}? | What can I find {o}? | What lies {o}? | What do you find {o}?",
        back_test="Which thing is {o}? | What thing lies {o}?",
    ),
    relation(
        "owner", "name",
        say="{s} belongs to {o}. | The owner of {s} is {o}. | {o} is the owner of {s}. |"
            "{s} is owned by {o}. | {s} is the property of {o}. | {p} owner is {o}. |"
            "{s} is in the hands of {o}. | {s} was bought by {o}.",
        ask="Who owns {s}? | To whom does {s} belong? | Who is the owner of {s}? | Whose is {s}? |"
            "Who does {s} belong to? | {s} belongs to whom? | By whom is {s} owned? |"
            "What is the owner of {s} called? | What is the name of the owner of {s}? |"
            "Who is {p} owner?",
        dev="Who is it that owns {s}? | What person does {s} belong to?",
        test="Which person owns {s}? | Who bought {s}? | In whose hands is {s}?",
        clause="who owns {s}", answer="{s} belongs to {o}.",
        back="What belongs to {o}? | What does {o} own? | Of what is {o} the owner? |"
             "Which thing does {o} own?",
        back_test="Which thing belongs to {o}? | What is owned by {o}?",
    ),
    relation(
        "builder", "name",
        say="{s} was built by {o}. | {s} was made by {o}. | The builder of {s} is {o}. |"
            "{o} is the builder of {s}. | It was {o} who built {s}. | {s} was created by {o}. |"
            "{s} is the work of {o}. | {s} was designed by {o}. | The maker of {s} is {o}.",
        ask="Who built {s}? | Who made {s}? | By whom was {s} built? | Who is the builder of {s}? |"
            "Who created {s}? | {s} was built by whom? | Who is the maker of {s}? |"
            "By whom was {s} made? | What is the builder of {s} called?",
        dev="What person built {s}? | By which person was {s} built?",
        test="Which person built {s}? | Who was it that built {s}? | Whose work is {s}?",
        clause="who built {s}", answer="{s} was built by {o}.",
        back="What did {o} build? | What was built by {o}? | Which thing did {o} build? |"
             "What did {o} make?",
        back_test="What thing was built by {o}? | Of what is {o} the builder?",
    ),
    relation(
        "inventor", "name",
        say=PRIMER["inventor"].say.train[:3] + ("It was {o} who invented {s}.",
            "{o} is the inventor of {s}.", "{s} was the idea of {o}.",
            "{o} had the idea of {s}.", "{s} is an invention of {o}."),
        ask=tuple(q for q in PRIMER["inventor"].ask.train if "{b}" not in q),
        test=PRIMER["inventor"].ask.test,
        dev="What person invented {s}? | Whose invention is {s}?",
        clause="who invented {s}", answer="{s} was invented by {o}.",
        back="What did {o} invent? | Which thing did {o} invent? | What was invented by {o}? |"
             "What was the idea of {o}?",
        back_test="Of what is {o} the inventor? | What thing was invented by {o}?",
    ),
    relation(
        "author", "name",
        say="{s} was written by {o}. | The author of {s} is {o}. | {o} is the author of {s}. |"
            "{o} wrote {s}. | It was {o} who wrote {s}. | {s} is a book by {o}. |"
            "The writer of {s} is {o}. | {s} is a song by {o}. | {s} was composed by {o}.",
        ask="Who wrote {s}? | Who is the author of {s}? | By whom was {s} written? |"
            "Who is the writer of {s}? | What is the author of {s} called? |"
            "{s} was written by whom? | Who was the author of {s}? | Who did write {s}? |"
            "What is the name of the author of {s}?",
        dev="What person wrote {s}? | From whom is {s}?",
        test="Which person wrote {s}? | Who was it that wrote {s}? | Whose work is {s}?",
        clause="who wrote {s}", answer="{s} was written by {o}.",
        back="What did {o} write? | What was written by {o}? | Of what is {o} the author? |"
             "Which work did {o} write?",
        back_test="What work was written by {o}? | Of what is {o} the writer?",
    ),
    relation(
        "painter", "name",
        say="{s} was painted by {o}. | The painter of {s} is {o}. | {o} is the painter of {s}. |"
            "{o} painted {s}. | It was {o} who painted {s}. | {s} is a picture by {o}. |"
            "{s} was drawn by {o}. | {s} is a painting by {o}.",
        ask="Who painted {s}? | Who is the painter of {s}? | By whom was {s} painted? |"
            "What is the painter of {s} called? | {s} was painted by whom? | Who made {s}? |"
            "Who was the painter of {s}? | What is the name of the painter of {s}? |"
            "From whom is {s}?",
        dev="What person painted {s}? | Who did paint {s}?",
        test="Which person painted {s}? | Who was it that painted {s}? | Whose picture is {s}?",
        clause="who painted {s}", answer="{s} was painted by {o}.",
        back="What did {o} paint? | What was painted by {o}? | Of what is {o} the painter? |"
             "Which picture did {o} paint?",
        back_test="What picture was painted by {o}? | Which thing did {o} paint?",
    ),
    relation(
        "weighs", "measure",
        say="{s} weighs {o}. | The weight of {s} is {o}. | {p} weight is {o}. | {s} is {o} heavy. |"
            "{s} has a weight of {o}. | {s} has the weight {o}. | {o} is the weight of {s}. |"
            "If you weigh {s}, you find {o}.",
        ask="How much does {s} weigh? | What does {s} weigh? | How heavy is {s}? |"
            "What is the weight of {s}? | What weight does {s} have? | {s} weighs how much? |"
            "Which weight does {s} have? | What is {p} weight? | How much is the weight of {s}?",
        dev="How heavy can {s} be? | What weight has {s} got?",
        test="Of what weight is {s}? | What is it that {s} weighs? | How big is the weight of {s}?",
        clause="how much {s} weighs", answer="{s} weighs {o}.",
        back="What weighs {o}? | Which thing weighs {o}? | What has a weight of {o}?",
        back_test="What thing weighs {o}? | Which thing has the weight {o}?",
    ),
    relation(
        "measures", "measure", only=UNITS,
        say="{s} is {o} {d}. | {s} is about {o} {d}. | {s} was {o} {d}. |"
            "How {d} {s} is? It is {o}. | With {o} {s} is very {d}. | {s} is as {d} as {o}. |"
            "{s} is more or less {o} {d}. | {s} is {o} {d} in all.",
        ask="How {d} is {s}? | {s} is how {d}? | Of {s}, how {d} is it? | How {d} is {s} in all? |"
            "How {d} is {s} today? | Is {s} {d}, and how {d}? | How {d} can {s} be? |"
            "Just how {d} is {s}? | Now, how {d} is {s}?",
        dev="How very {d} is {s}? | And how {d} is {s}?",
        test="About how {d} is {s}? | How {d} would you say {s} is? | How {d} was {s}?",
        clause="how {d} {s} is", answer="{s} is {o} {d}.",
        back="What is {o} {d}? | Which thing is {o} {d}?",
        back_test="What thing is {o} {d}? | Which thing was {o} {d}?",
    ),
    relation(
        "power", "power",
        say=PRIMER["power"].say.train,
        ask=PRIMER["power"].ask.train, test=PRIMER["power"].ask.test,
        dev="With what does {s} run? | What moves {s}?",
        clause="what {s} runs on", answer="{s} runs on {o}.",
        back="What runs on {o}? | Which thing runs on {o}? | What needs {o} to run?",
        back_test="What thing runs on {o}? | Which thing works with {o}?",
    ),
    relation(
        "made_with", "ingredient",
        say=PRIMER["made_with"].say.train + ("{s} contains {o}.", "{s} is full of {o}."),
        ask=PRIMER["made_with"].ask.train, test=PRIMER["made_with"].ask.test,
        dev="Of what does {s} taste? | What do people put into {s}?",
        clause="what {s} is made with", answer="{s} is made with {o}.",
        back="What is made with {o}? | What tastes of {o}? | What contains {o}?",
        back_test="What thing is made with {o}? | Into what do cooks put {o}?",
    ),
    relation(
        "has_number", "number", only=r"\d[\d.,]*|two|three|four|five|six|seven|eight|nine|ten|"
        r"eleven|twelve|thirteen|fourteen|fifteen|sixteen|twenty|thirty|forty|fifty|a hundred",
        say="{s} has {o} {n}. | There are {o} {n} in {s}. | The number of {n} of {s} is {o}. |"
            "You can count {o} {n} in {s}. | {s} owns {o} {n}. | {s} comes with {o} {n}. |"
            "{s} got {o} {n}. | {s} had {o} {n}.",
        ask="How many {n} does {s} have? | How many {n} has {s}? | {s} has how many {n}? |"
            "What is the number of {n} of {s}? | How many {n} are there in {s}? |"
            "What number of {n} does {s} have? | How many {n} are in {s}? |"
            "How many {n} can you count in {s}? | How many {n} did {s} get?",
        dev="What number of {n} has {s}? | How many {n} does {s} own?",
        test="How many {n} belong to {s}? | What is the number of {n} that {s} has? |"
             "How many {n} has {s} got?",
        clause="how many {n} {s} has", answer="{s} has {o} {n}.",
        back="Who or what has {o} {n}? | What has {o} {n}?",
        back_test="To whom or what do {o} {n} belong? | Which thing has {o} {n}?",
    ),
    relation(
        "has", "thing", multi=True,
        say="{s} has {o}. | {s} owns {o}. | {s} has got {o}. | {s} got {o}. | {s} keeps {o}. |"
            "{s} bought {o}. | {s} carries {o}. | {s} is the owner of {o}. | {s} holds {o}.",
        ask="What does {s} have? | What does {s} own? | What has {s} got? | {s} has what? |"
            "Which thing does {s} have? | What does {s} carry? | Which thing belongs to {s}? |"
            "What does {s} keep? | What is {s} holding?",
        dev="What did {s} get? | Of what is {s} the owner?",
        test="What belongs to {s}? | What thing does {s} own? | Which thing is {s} holding?",
        clause="what {s} has", answer="{s} has {o}.",
        back="Who has {o}? | Who owns {o}? | To whom does {o} belong? | Who is holding {o}?",
        back_test="Which person has {o}? | Who is the owner of {o}?",
    ),
)  # fmt: skip
