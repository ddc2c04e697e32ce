"""Wordings for what no special relation covers: "the R of S is O", "S is O", "S verbs O".

Further slots: {r} the attribute, {v} the verb's base form, {vs} its third person, {vd} its past,
{at} a preposition after it.
"""

from __future__ import annotations

from nanohydra.learn.study.bank_places import NAMED
from nanohydra.learn.study.grammar import PREPOSITIONS
from nanohydra.learn.study.relation import relation

ROLES = (
    "mayor captain boss leader head chief king queen president teacher doctor coach trainer owner "
    "founder director manager chair chairman chairwoman chairperson secretary treasurer editor "
    "author singer player friend brother sister mother father mom mum dad son daughter wife "
    "husband partner uncle aunt cousin neighbor neighbour grandmother grandfather grandma grandpa "
    "student pupil colleague landlord dentist lawyer driver cook chef gardener nurse winner "
    "inventor builder designer principal minister host keeper guard pilot baker mentor supervisor "
    "advisor adviser ceo cto cfo lead maintainer assistant rival enemy hero"
).split()
ROLE = rf"(?:[\w'-]+ )*?(?:{'|'.join(ROLES)})s?"
NO_PREPOSITION = rf"(?!(?:{'|'.join(PREPOSITIONS)})\b).*"

GENERIC = (
    relation(
        "role", "name", only=NAMED,
        say="The {r} of {s} is {o}. | {o} is the {r} of {s}. | {p} {r} is {o}. |"
            "{p} {r} is called {o}. | The {r} of {s} is called {o}. | {o} is {p} {r}. |"
            "As {r}, {s} has {o}. | {o} became the {r} of {s}. | {s} has {o} as {r}. |"
            "{p} {r} is named {o}. | The name of {p} {r} is {o}. | {o} is the name of {p} {r}.",
        ask="Who is the {r} of {s}? | Who is {p} {r}? | What is the {r} of {s} called? |"
            "What is {p} {r} called? | What is the name of the {r} of {s}? |"
            "What is the name of {p} {r}? | The {r} of {s} is who? | {p} {r} is who? |"
            "Who became the {r} of {s}? | Who is the {r} in {s}?",
        dev="What is {p} {r}'s name? | What person is {p} {r}?",
        test="Which person is the {r} of {s}? | Who is it that is {p} {r}? |"
             "What name does the {r} of {s} have?",
        clause="who the {r} of {s} is", answer="The {r} of {s} is {o}.",
        back="Who is {o}? | Whose {r} is {o}? | Of whom or what is {o} the {r}? |"
             "{o} is the {r} of what? | What is {o} the {r} of? | What has the {r} {o}? |"
             "Which one has {o} for {r}?",
        back_test="Of what is {o} the {r}? | Who or what has {o} as {r}?",
        back_answer="{o} is the {r} of {s}.",
    ),
    relation(
        "attribute", "thing",
        say="The {r} of {s} is {o}. | {p} {r} is {o}. | {o} is the {r} of {s}. | {o} is {p} {r}. |"
            "{s} has the {r} {o}. | As {r}, {s} has {o}. | {p} {r} is now {o}. |"
            "For {s} the {r} is {o}. | The {r} of {s} is called {o}. | The {r} for {s} is {o}. |"
            "The {r} at {s} is {o}. | The {r} in {s} is {o}. | The {r} on {s} is {o}.",
        ask="What is the {r} of {s}? | What is {p} {r}? | Which {r} does {s} have? |"
            "What {r} does {s} have? | {p} {r} is what? | Which is {p} {r}? |"
            "The {r} of {s} is what? | {s} has which {r}? | What is the {r} for {s}? |"
            "What {r} has {s}? | Which {r} has {s}?",
        dev="What {r} does {s} use? | Which is the {r} of {s}?",
        test="What {r} has {s} got? | Which {r} belongs to {s}? | What is it that {s} has as {r}?",
        clause="what the {r} of {s} is", answer="The {r} of {s} is {o}.",
        back="Of what is {o} the {r}? | Whose {r} is {o}? | What has the {r} {o}? |"
             "{o} is the {r} of what? | What is {o} the {r} of? | Which one has {o} for {r}? |"
             "For which one is {o} the {r}?",
        back_test="Who or what has {o} as {r}? | Of whom or what is {o} the {r}?",
        back_answer="{o} is the {r} of {s}.",
    ),
    relation(
        "of_itself", "thing",  # "Our Wi-Fi password is tulip": no owner to take apart
        say="{s} is {o}. | {s} is now {o}. | {o} is {s}. | {s} is always {o}. | {s} was {o}. |"
            "For {s} we have {o}. | {s} is just {o}. | {s} will be {o}.",
        ask="What is {s}? | {s} is what? | What about {s}? | Which is {s}? | What is {s} now? |"
            "What do we have for {s}? | What is {s} really? | What was {s}? | How is {s}?",
        dev="What do you know as {s}? | What can {s} be?",
        test="What is it that is {s}? | What would you say {s} is? | As what do we know {s}?",
        clause="what {s} is", answer="{s} is {o}.",
        back="What is {o}? | Who or what is {o}? | What do we know as {o}?",
        back_test="Which thing is {o}? | What thing is {o}?",
    ),
    relation(
        "is_a", "thing",
        say="{s} is {ao}. | {s} was {ao}. | {s} is known as {ao}. | People know {s} as {ao}. |"
            "{s} is really {ao}. | We call {s} {ao}. | As everybody knows, {s} is {ao}. |"
            "{s} has always been {ao}.",
        ask="What is {s}? | Who or what is {s}? | What kind of thing is {s}? | {s} is what? |"
            "As what do people know {s}? | What do people know about {s}? | What sort is {s}? |"
            "What is {s} really? | What do we call {s}?",
        dev="As what is {s} known? | What can you say {s} is?",
        test="What kind is {s} of? | Do you know what to call {s}? | What would you call {s}?",
        clause="what {s} is", answer="{s} is {ao}.",
        back="Who or what is {ao}? | What is {ao}? | Who is {ao}?",
        back_test="Which thing is {ao}? | Who or what was {ao}?",
    ),
    relation(
        "verb", "thing", multi=True, only=NO_PREPOSITION,
        say="{s} {vs} {o}. | {s} always {vs} {o}. | {s} often {vs} {o}. | What {s} {vs} is {o}. |"
            "It is {o} that {s} {vs}. | {s} {vs} {o}, as everybody knows. |"
            "Every day {s} {vs} {o}. | {o} is what {s} {vs}.",
        ask="What does {s} {v}? | What is it that {s} {vs}? | {s} {vs} what? | What can {s} {v}? |"
            "Which thing does {s} {v}? | What does {s} often {v}? | What does {s} always {v}? |"
            "What does {s} {v} every day? | Now what does {s} {v}?",
        dev="Which things does {s} {v}? | What would {s} {v}?",
        test="What kind of thing does {s} {v}? | What will {s} {v}? | What thing does {s} {v}?",
        clause="what {s} {vs}", answer="{s} {vs} {o}.",
        back="Who or what {vs} {o}? | Who {vs} {o}? | Who is it that {vs} {o}? |"
             "Which one {vs} {o}?",
        back_test="What {vs} {o}? | Who or what is it that {vs} {o}?",
    ),
    relation(
        "verb_past", "thing", multi=True, only=NO_PREPOSITION,
        say="{s} {vd} {o}. | What {s} {vd} is {o}. | It was {o} that {s} {vd}. |"
            "{o} is what {s} {vd}. | {s} once {vd} {o}. | {s} {vd} {o}, as everybody knows. |"
            "One day {s} {vd} {o}. | In the end {s} {vd} {o}.",
        ask="What did {s} {v}? | What is it that {s} {vd}? | {s} {vd} what? |"
            "Which thing did {s} {v}? | What was it that {s} {vd}? | What did {s} once {v}? |"
            "What did {s} {v} one day? | What has {s} done, what did {s} {v}? |"
            "Now what did {s} {v}?",
        dev="Which things did {s} {v}? | And what did {s} {v}?",
        test="What kind of thing did {s} {v}? | What thing did {s} {v}? |"
             "What did {s} {v} in the end?",
        clause="what {s} {vd}", answer="{s} {vd} {o}.",
        back="Who or what {vd} {o}? | Who {vd} {o}? | Who was it that {vd} {o}? |"
             "Which one {vd} {o}?",
        back_test="What {vd} {o}? | Who or what was it that {vd} {o}?",
    ),
    relation(
        "verb_at", "thing", multi=True,
        say="{s} {vs} {at} {o}. | {s} always {vs} {at} {o}. | {s} often {vs} {at} {o}. |"
            "It is {at} {o} that {s} {vs}. | {s} {vs} {at} {o}, as everybody knows. |"
            "Every day {s} {vs} {at} {o}. | {o} is what {s} {vs} {at}. |"
            "What {s} {vs} {at} is {o}.",
        ask="What does {s} {v} {at}? | {s} {vs} {at} what? | Who or what does {s} {v} {at}? |"
            "Which thing does {s} {v} {at}? | What does {s} always {v} {at}? |"
            "What does {s} often {v} {at}? | What is it that {s} {vs} {at}? |"
            "What can {s} {v} {at}? | Now what does {s} {v} {at}?",
        dev="Which things does {s} {v} {at}? | What would {s} {v} {at}?",
        test="What kind of thing does {s} {v} {at}? | What thing does {s} {v} {at}? |"
             "What will {s} {v} {at}?",
        clause="what {s} {vs} {at}", answer="{s} {vs} {at} {o}.",
        back="Who or what {vs} {at} {o}? | Who {vs} {at} {o}? |"
             "Who is it that {vs} {at} {o}? | Which one {vs} {at} {o}?",
        back_test="What {vs} {at} {o}? | Who or what is it that {vs} {at} {o}?",
    ),
    relation(
        "verb_past_at", "thing", multi=True,
        say="{s} {vd} {at} {o}. | It was {at} {o} that {s} {vd}. | {s} once {vd} {at} {o}. |"
            "{s} {vd} {at} {o}, as everybody knows. | One day {s} {vd} {at} {o}. |"
            "In the end {s} {vd} {at} {o}. | {o} is what {s} {vd} {at}. |"
            "What {s} {vd} {at} is {o}.",
        ask="What did {s} {v} {at}? | {s} {vd} {at} what? | Who or what did {s} {v} {at}? |"
            "Which thing did {s} {v} {at}? | What did {s} once {v} {at}? |"
            "What is it that {s} {vd} {at}? | What was it that {s} {vd} {at}? |"
            "What did {s} {v} {at} one day? | Now what did {s} {v} {at}?",
        dev="Which things did {s} {v} {at}? | And what did {s} {v} {at}?",
        test="What kind of thing did {s} {v} {at}? | What thing did {s} {v} {at}? |"
             "What did {s} {v} {at} in the end?",
        clause="what {s} {vd} {at}", answer="{s} {vd} {at} {o}.",
        back="Who or what {vd} {at} {o}? | Who {vd} {at} {o}? |"
             "Who was it that {vd} {at} {o}? | Which one {vd} {at} {o}?",
        back_test="What {vd} {at} {o}? | Who or what was it that {vd} {at} {o}?",
    ),
)  # fmt: skip
