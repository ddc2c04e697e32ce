"""Wordings that belong to no relation: frames around a question, gaps to fill, yes and no.

Each group is a family and belongs to one split. {c} is a question as a part of a sentence, {q} a
whole one, {s} a subject, {x} the beginning of a sentence or a whole one.
"""

from __future__ import annotations

from nanohydra.data.primer.wordings_facts import FRAMES

DEV_FRAMES = ("Would you tell me {c}?", "I would love to know {c}.", "Can you say {c}?")
TRAIN_FRAMES = tuple(frame for frame in FRAMES.train if frame not in DEV_FRAMES)
TEST_FRAMES = FRAMES.test

# around a question that no relation knows
QUOTED_TRAIN = (
    "Please tell me: {q}", "I have a question. {q}", "{q} Tell me.", "Tell me, {q}",
    "Can you tell me? {q}", "Please answer this: {q}", "{q} Please tell me.", "Do you know? {q}",
    "My question is: {q}", "Hello. {q}", "I want to know: {q}", "Question: {q}",
)  # fmt: skip
QUOTED_DEV = ("Please help: {q}", "{q} Can you tell me?")
QUOTED_TEST = ("Can you help me with this? {q}", "{q} I forgot.", "I need to know: {q}")

ABOUT_TRAIN = (
    "What do you know about {s}?", "Tell me about {s}.", "What can you tell me about {s}?",
    "Do you know {s}?", "Say something about {s}.", "I want to know about {s}.",
)  # fmt: skip
ABOUT_DEV = ("What have you learned about {s}?",)
ABOUT_TEST = ("What did you hear about {s}?", "Tell me what you know about {s}.",
              "What do you remember about {s}?")  # fmt: skip

GAPS_TRAIN = ("Complete this: {x}", "Finish the sentence: {x} ...", "How does it go on? {x}")
GAPS_DEV = ("Go on: {x} ...",)
GAPS_TEST = ("What comes next? {x} ...", "Fill in the end: {x}")

CONFIRM_TRAIN = ("Is it true? {x}", "{x} Is that right?", "Is this right: {x}",
                 "I think this: {x} Is it true?")  # fmt: skip
YES, NO = "Yes.", "No."
