"""What is held fast while something new is learned: earlier lessons, and the base's own words.

Replay takes items of earlier lessons, those nearest to the new ones first. General questions and
texts of its own are for models that were not trained on the primer: the base itself answers and
writes them, so they say nothing of the world that it does not say already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Literal

from nanohydra.continual.turns import in_turn
from nanohydra.core.types import Conversation, Document, Message, Record
from nanohydra.data.primer.craft import capital
from nanohydra.learn.study.items import StudyItem
from nanohydra.tasks.judge import tokens

if TYPE_CHECKING:
    from nanohydra.checkpoint import Loaded

NEAR_SHARE = 0.5  # of the replayed items are those most like the new lessons
SUBJECTS = (
    "the moon", "a rainbow", "bread", "the sea", "a bicycle", "winter", "a computer", "trees",
    "music", "an elephant", "the human heart", "money", "a library", "sleep", "volcanoes", "chess",
    "a good friend", "the Roman Empire", "tea", "photosynthesis", "a prime number", "electricity",
    "the internet", "honey", "a haiku",
)  # fmt: skip
ASKED = (
    "What is {s}?", "Tell me about {s} in one sentence.", "Why do people care about {s}?",
    "Write one sentence with the words \"{s}\".", "Explain {s} to a child.",
)  # fmt: skip
ERRANDS = (
    "Hello!", "How are you?", "Thank you very much.", "Who are you?", "Good night.",
    "What can you do?", "Tell me a joke.", "Tell me a very short story.", "Count from one to ten.",
    "What is 7 plus 5?", "What is 12 times 3?", "Is 17 larger than 9?", "Name three colors.",
    "Name three animals that can fly.", "What day comes after Monday?", "Spell the word river.",
    "Translate \"good morning\" into French.", "Give me a word that rhymes with cat.",
    "Write a haiku about rain.", "What is the capital of France?", "How many legs has a spider?",
    "Which is heavier, a stone or a feather?", "What is the opposite of hot?",
    "Write a Python function that adds two numbers.", "Make a list of things to pack for a trip.",
    "Say this politely: give me that.", "What should I cook tonight?", "I am sad today.",
    "Can you help me write a letter?", "What comes next: 2, 4, 6, 8?",
    "Sort these words: pear, apple, plum.", "What is the past tense of go?",
)  # fmt: skip


def choose_replay(
    earlier: Sequence[StudyItem], new: Sequence[StudyItem], *, count: int, seed: int
) -> tuple[StudyItem, ...]:
    """At most `count` training items of earlier lessons, every lesson in turn.

    Half are of the lessons that share most words with the new ones, as those are the first to be
    confused with them; the others are of all lessons alike.
    """
    rng = Random(f"{seed} replay")
    lessons: dict[str, list[StudyItem]] = {}
    for item in earlier:
        if item.split == "train":
            lessons.setdefault(item.lesson_id, []).append(item)
    for items in lessons.values():
        rng.shuffle(items)
    wanted = Counter(word for item in new for word in set(_words(item)))
    common = len(new) / 2
    telling = {word for word, times in wanted.items() if times <= common} or set(wanted)
    near = sorted(
        lessons, key=lambda id: -len(telling & {w for item in lessons[id] for w in _words(item)})
    )
    first = list(in_turn([lessons[id] for id in near[: max(1, len(near) // 4)]]))
    chosen = first[: int(count * NEAR_SHARE)]
    taken = {id(item) for item in chosen}
    order = list(lessons)
    rng.shuffle(order)
    rest = (item for item in in_turn([lessons[i] for i in order]) if id(item) not in taken)
    for item in rest:
        if len(chosen) >= count:
            break
        chosen.append(item)
    return tuple(chosen)


def general_questions(split: Literal["train", "test"]) -> tuple[str, ...]:
    """Everyday questions, errands and greetings; every fourth is one for testing."""
    made = [wording.format(s=subject) for wording in ASKED for subject in SUBJECTS]
    asked = (*ERRANDS, *made)
    return tuple(q for place, q in enumerate(asked) if (place % 4 == 3) == (split == "test"))


def answered_by_base(
    loaded: Loaded, questions: Iterable[str], *, max_new_tokens: int = 64
) -> list[Record]:
    """Conversations of questions and the base's own greedy answers; no adapter may be attached."""
    from nanohydra.learn.replies import reply_to_all

    prompts = [(Message(role="user", content=question),) for question in questions]
    replies = reply_to_all(loaded.model, loaded.tokenizer, prompts, max_new_tokens=max_new_tokens)
    return [
        Conversation(messages=(*prompt, reply.message), source="base")
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply.message.content or reply.message.tool_calls
    ]


def texts_of_base(
    loaded: Loaded, split: Literal["train", "test"], count: int, *, max_new_tokens: int = 64
) -> list[Record]:
    """Texts as the base writes them by itself after one of a few words, drawn by fixed seeds.

    Plain texts, in no chat: all that is known of what a model was trained on is what it says.
    """
    from nanohydra.learn.replies import continuations

    mine = [s for place, s in enumerate(SUBJECTS) if (place % 4 == 3) == (split == "test")]
    openings = [capital(mine[number % len(mine)]) for number in range(count)]
    texts = continuations(
        loaded.model, loaded.tokenizer, openings, max_new_tokens=max_new_tokens, seed=0
    )
    return [Document(text=opening + text) for opening, text in zip(openings, texts, strict=True)]


def _words(item: StudyItem) -> tuple[str, ...]:
    return tokens(f"{item.question} {item.answer}")
