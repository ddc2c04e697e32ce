"""A parsed fact, and its words in any wording, as the user or as the assistant says them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nanohydra.data.primer.craft import article
from nanohydra.learn.study.grammar import (
    Person,
    agree,
    bare,
    possessive,
    sentence,
    swap_speaker,
)
from nanohydra.learn.study.relation import Relation

Voice = Literal["user", "assistant"]
# subject, possessive, object form
PRONOUNS: Mapping[Person, tuple[str, str, str]] = {
    "I": ("I", "my", "me"), "we": ("we", "our", "us"), "you": ("you", "your", "you"),
}  # fmt: skip
# "the home of me", "Where can I visit I?"
_AWKWARD = re.compile(r"\b(?:of|in|at|on|under|without) \{m\}")
_NEAR = re.compile(
    r"(?:^|[,.?] |\b(?:do|does|did|is|am|are|was|were|has|have|can|will|would|should|must|could|"
    r"may|where|when|what|who|how|which|that|whom|why|if|since|day|in \w+|now|always|what \w+|"
    r"which \w+|\{d\}|\{n\}) )$",
    re.IGNORECASE,
)
_ARTICLED = re.compile(r"^(?:the|a|an|my|your|our|his|her|their|its|some|any|no|two|\d)\b", re.I)
_TIME_PREPOSITION = re.compile(r"^(?:at|on|in|every|next|this)\b", re.I)


@dataclass(frozen=True, kw_only=True)
class ParsedFact:
    """One fact taken apart.

    subject and object: as they stand inside a sentence of the user: "the printer", "my dog", "I".
    person: what verbs agree with. extra: further slots of the relation ("r": "password").
    told: the sentence that it was told in.
    """

    relation: Relation
    subject: str
    object: str
    person: Person = "he"
    extra: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    @property
    def topic(self) -> tuple[str, ...]:
        """What the fact is about: the same for two that tell the same thing, or contradict."""
        extra = (self.extra[name].casefold() for name in ("r", "v", "d", "n") if name in self.extra)
        subject = self.person if self.subject == "" else bare(self.subject)
        return (self.relation.key, " ".join(subject.casefold().split()), *extra)

    @property
    def value(self) -> str:
        """The object without article, folded, to compare."""
        return " ".join(bare(self.object).casefold().split())

    def fits(self, wording: str) -> bool:
        """Whether a wording reads well for this subject: not "the home of me"."""
        if self.person not in PRONOUNS:
            return True
        text = agree(wording, self.person)
        before = [text[: match.start()] for match in re.finditer(r"\{s\}", text)]
        return not _AWKWARD.search(text) and all(_NEAR.search(part) for part in before)

    def say(self, wording: str, voice: Voice = "user", *, object: str | None = None) -> str:
        """A wording filled in, as a sentence or as a question."""
        person, slots = self._slots(voice, self.object if object is None else object)
        return sentence(agree(wording, person).format_map(slots))

    def clause(self, voice: Voice = "user") -> str:
        """The question for the object as a part of a sentence: "where my dog lives"."""
        person, slots = self._slots(voice, self.object)
        return agree(self.relation.clause, person).format_map(slots)

    @property
    def answer(self) -> str:
        """The sentence that answers a question for the object."""
        own = self.person in PRONOUNS and self.relation.own
        return self.say(own or self.relation.answer, "assistant")

    @property
    def back_answer(self) -> str:
        """The sentence that answers a question for the subject."""
        assert self.relation.back is not None
        return self.say(self.relation.back.answer, "assistant")

    def spoken(self, phrase: str, voice: Voice) -> str:
        """A phrase of the user's, in a voice."""
        return phrase if voice == "user" else swap_speaker(phrase)

    def _slots(self, voice: Voice, value: str) -> tuple[Person, dict[str, str]]:
        person = self.person
        if person in PRONOUNS:
            if voice == "assistant":
                person = "I" if person == "you" else "you"
            s, p, m = PRONOUNS[person]
        else:
            s = m = self.spoken(self.subject, voice)
            p = possessive(s)
        o = self.spoken(value, voice)
        slots = {"s": s, "p": p, "m": m, "o": o, "at": "at", "on": "in"}
        slots["ao"] = o if _ARTICLED.match(o) else article(o)
        slots["on_o"] = o if _TIME_PREPOSITION.match(o) else f"{_preposition(o)} {o}"
        return person, slots | {k: self.spoken(v, voice) for k, v in self.extra.items()}


def _preposition(date: str) -> str:
    """What stands before a date: "in May", "on 4 May", "on Friday"."""
    month_or_year = re.fullmatch(r"(?:the )?(?:year )?\d{3,4}|[A-Z][a-z]+(?: \d{4})?|the \w+", date)
    day = re.match(r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day", date)
    return "in" if month_or_year and not day else "on"
