"""Sentences to facts, by the same wordings in which facts are told: the bank read backwards.

No model and no grammar: a sentence that no wording fits is left whole (`parse` gives None).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nanohydra.learn.study.bank import GENERIC_KEYS, RELATIONS
from nanohydra.learn.study.facts import PRONOUNS, ParsedFact
from nanohydra.learn.study.grammar import (
    IRREGULAR_PAST,
    PREPOSITIONS,
    VERBS,
    Person,
    agree,
    base_form,
    base_of_past,
    inside,
    third_form,
)
from nanohydra.learn.study.relation import Relation

MAX_SUBJECT_WORDS, MAX_OBJECT_WORDS = 8, 12
_OPENINGS = re.compile(
    r"^(?:(?:please )?(?:remember|note|learn|know)(?: this| that|:)*|did you know\??(?: that)?|"
    r"fyi|by the way|here is a fact|keep this in mind|you should know(?: this| that)?|fact)"
    r"[\s:,.]+",
    re.IGNORECASE,
)
_FIRST = re.compile(r"\b(?:i|i'm|my|me|we|our|us|you|your)\b", re.IGNORECASE)
_SHORT = ((r"\bI'm\b", "I am"), (r"\b(it|he|she|that|there|what|who)'s\b", r"\1 is"),
          (r"\b(you|we|they)'re\b", r"\1 are"), (r"\bI've\b", "I have"))  # fmt: skip
_NOT_SUBJECTS = frozenset(
    "it he she they this that these those there here i we you who which what and but so then "
    "if when because while although nobody nothing everybody".split()
)
_NOT_LAST = frozenset("there to that and or is are was were not the a an of in it they".split())
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!Mrs\.)(?<!\bSt\.)(?<!e\.g\.)(?<!i\.e\.)"
    r"\s+(?=[\"'(]?[A-Z0-9])"
)
_SLOTS = {
    "s": r"(?P<s>[^,;:?!\"]+?)", "o": r"(?P<o>.+?)", "ao": r"(?:an? )(?P<o>.+?)",
    "r": r"(?P<r>[\w'/-]+(?: [\w'/-]+){0,3}?)", "n": r"(?P<n>[a-z-]+(?: [a-z-]+)?)",
    "d": r"(?P<d>long|tall|high|wide|deep|thick|big|large|old|heavy|away)",
    "at": r"(?P<at>at|for|in|with|by)", "on": r"(?P<on>on|in|at)",
}  # fmt: skip
_ANY_PREPOSITION = rf"(?P<at>{'|'.join(PREPOSITIONS)})"
_FORMS_OF_VERBS = VERBS | {third_form(verb) for verb in VERBS}


@dataclass(frozen=True)
class Form:
    """One wording for one person, as a pattern. literal: letters that are not slots."""

    relation: Relation
    person: Person
    text: str
    literal: int = field(init=False)
    words: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        plain = re.sub(r"\{\w+\}", " ", self.text.replace("{ao}", "{o} a"))
        object.__setattr__(self, "literal", len(plain.replace(" ", "")))
        plain = re.sub(r"\{\w+\}", " ", self.text)
        object.__setattr__(self, "words", frozenset(_words(plain)))

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        """Compiled when a sentence first has all the words of the form."""
        return re.compile(self._pattern(_SLOTS), re.IGNORECASE)

    def match(self, text: str, verbs: Mapping[str, str]) -> re.Match[str] | None:
        """The match of a whole sentence. verbs: slot -> the sentence's words that can fill it."""
        slots = [name for name in ("v", "vs", "vd") if f"{{{name}}}" in self.text]
        if not slots:
            return self.regex.fullmatch(text)
        if not all(verbs[name] for name in slots):
            return None
        filled = {name: f"(?P<{name}>{verbs[name]})" for name in slots}
        return re.fullmatch(
            self._pattern({**_SLOTS, "at": _ANY_PREPOSITION, **filled}), text, re.IGNORECASE
        )

    def _pattern(self, all_slots: Mapping[str, str]) -> str:
        slots = dict(all_slots)
        if self.relation.only is not None:
            slots["o"] = f"(?P<o>{self.relation.only.pattern})"
            slots["ao"] = "(?:an? )" + slots["o"]
        if self.person in PRONOUNS:
            for name, word in zip("spm", PRONOUNS[self.person], strict=True):
                slots[name] = word
        else:
            slots["p"], slots["m"] = slots["s"] + "(?:'s|')", slots["s"]
        parts = re.split(r"\{(\w+)\}", self.text)
        seen: set[str] = set()
        pattern = ""
        for i, part in enumerate(parts):
            if i % 2 == 0:
                pattern += re.escape(part)
                continue
            piece = slots[part]
            for name in re.findall(r"\(\?P<(\w+)>", piece):
                if name in seen:  # a slot that comes twice must read the same
                    piece = f"(?P={name})"
                seen.add(name)
            pattern += piece
        return pattern


@functools.cache
def _forms(kind: str) -> tuple[Form, ...]:
    """All forms of statements ("say") or of questions ("ask")."""
    found: dict[tuple[str, str, str], Form] = {}
    for relation in RELATIONS:
        wordings = relation.say
        if kind == "ask":
            wordings = relation.ask + relation.dev + relation.test
        for wording in wordings:
            people: tuple[Person, ...] = ("he", "they", "I", "we", "you")
            for person in people:
                text = agree(wording, person).rstrip(".?")
                form = Form(relation, person, text)
                # most wordings are the same for one and for many
                found.setdefault((relation.key, person if person in PRONOUNS else "", text), form)
    return tuple(found.values())


def parse(text: str) -> ParsedFact | None:
    """The fact that a sentence tells; None if no wording of the bank fits it."""
    plain = tidy(text)
    if not plain or plain.endswith("?"):
        return None
    best: tuple[tuple[bool, int], ParsedFact] | None = None
    for form, match in _matches(plain.rstrip(".!"), "say"):
        fact = _fact(form, match, text)
        if fact is None:
            continue
        # special relations before generic ones, then the wording with most words of its own
        rank = (form.relation.key not in GENERIC_KEYS, form.literal)
        if best is None or rank > best[0]:
            best = rank, fact
    return best[1] if best else None


def parse_question(text: str, answer: str) -> ParsedFact | None:
    """The fact that a question and its answer tell; None if no wording of the bank asks so."""
    plain = tidy(text).rstrip("?. ")
    told = parse(answer)
    best: tuple[tuple[bool, int], ParsedFact] | None = None
    for form, match in _matches(plain, "ask"):
        value = inside(tidy(answer).rstrip(".! "))
        if told is not None:
            if told.relation.key != form.relation.key:
                continue
            value = told.object
        elif len(value.split()) > 5:
            continue
        else:
            value = _as_object(value, form.relation)
        fact = _fact(form, match, text, value=value)
        rank = (form.relation.key not in GENERIC_KEYS, form.literal)
        if fact is not None and (best is None or rank > best[0]):
            best = rank, fact
    return best[1] if best else None


def _as_object(answer: str, relation: Relation) -> str:
    """A short answer as it stands in the relation's sentence: "In Oslo" -> "Oslo"."""
    first, _, rest = answer.partition(" ")
    if first.casefold() not in PREPOSITIONS or not rest:
        return answer
    before = relation.answer.partition("{o}")[0].split()
    held = bool(before) and before[-1] in (*PREPOSITIONS, "{at}", "{on}")
    return rest if held else f"{first.lower()} {rest}"


def tidy(text: str) -> str:
    """One line without an opening such as "Remember that", with full forms and plain quotes."""
    plain = " ".join(text.replace("\u2019", "'").replace("\u2018", "'").split())
    plain = _OPENINGS.sub("", plain)
    for short, full in _SHORT:
        plain = re.sub(short, full, plain, flags=re.IGNORECASE)
    return plain


def split_sentences(text: str) -> list[str]:
    """Sentences of a text; list marks and headings are taken off."""
    found = []
    for line in text.splitlines():
        line = re.sub(r"^\s*(?:[-*+\u2022]|\d{1,2}[.)]|#+)\s+", "", line).strip()
        found += [part.strip() for part in _SENTENCE_END.split(line) if part.strip()]
    return found


def _matches(text: str, kind: str) -> Iterator[tuple[Form, re.Match[str]]]:
    present = frozenset(_words(text))
    personal = bool(_FIRST.search(text))
    verbs = {
        "v": "|".join(sorted(present & VERBS)),
        "vs": "|".join(sorted(present & _FORMS_OF_VERBS)),
        "vd": "|".join(
            sorted(w for w in present if w in IRREGULAR_PAST or (len(w) > 3 and w.endswith("ed")))
        ),
    }
    for form in _forms(kind):
        if not form.words <= present or (form.person in PRONOUNS and not personal):
            continue
        match = form.match(text, verbs)
        if match is not None:
            yield form, match


def _fact(
    form: Form, match: re.Match[str], told: str, value: str | None = None
) -> ParsedFact | None:
    """The fact of a match, if its parts can be what they must be."""
    found = match.groupdict()
    relation = form.relation
    o = (found.get("o") or "" if value is None else value).strip().rstrip(",")
    s = inside((found.get("s") or "").strip())
    if form.person not in PRONOUNS and not _can_be_subject(s):
        return None
    if not re.search(r"\w", o) or len(o.split()) > MAX_OBJECT_WORDS or o.casefold() == "there":
        return None
    if relation.only is not None and not relation.only.fullmatch(o):
        return None
    extra = {k: v for k, v in found.items() if v and k not in ("s", "o")}
    if "r" in extra and not _can_be_attribute(relation, extra["r"]):
        return None
    if not _add_verb_forms(extra, form.person):
        return None
    subject = "" if form.person in PRONOUNS else s
    return ParsedFact(
        relation=relation, subject=subject, object=inside(o), person=form.person, extra=extra,
        told=told,
    )  # fmt: skip


def _can_be_subject(s: str) -> bool:
    parts = s.casefold().split()
    return (
        0 < len(parts) <= MAX_SUBJECT_WORDS
        and parts[0] not in _NOT_SUBJECTS
        and parts[-1] not in _NOT_LAST
    )


def _can_be_attribute(relation: Relation, r: str) -> bool:
    from nanohydra.learn.study.bank_generic import ROLE

    return relation.key != "role" or re.fullmatch(ROLE, r, re.IGNORECASE) is not None


def _add_verb_forms(extra: dict[str, str], person: Person) -> bool:
    """Complete the forms of a verb that was found; False if it is no verb that we know."""
    if "vs" in extra:
        base = base_form(extra["vs"]) if person == "he" else extra["vs"]
        if base not in VERBS or (person == "he" and base == extra["vs"]):
            return False
        extra |= {"v": base, "vs": third_form(base) if person == "he" else base}
    elif "vd" in extra:
        past = base_of_past(extra["vd"].casefold())
        if past is None:
            return False
        extra["v"] = past
    elif "v" in extra:
        if extra["v"] not in VERBS:
            return False
        extra |= {"vs": third_form(extra["v"]) if person == "he" else extra["v"]}
    return True


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.casefold())
