"""The items of one parsed fact: asked, asked in reverse, told, to complete, to confirm or deny."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import Random

from nanohydra.core.types import Message
from nanohydra.data.primer.craft import capital
from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.grammar import bare, swap_speaker
from nanohydra.learn.study.items import ItemKind, ItemSplit, StudyItem
from nanohydra.learn.study.pools import wrong_value
from nanohydra.learn.study.relation import Back
from nanohydra.learn.study.wordings import (
    CONFIRM_TRAIN,
    DEV_FRAMES,
    GAPS_TRAIN,
    NO,
    TEST_FRAMES,
    TRAIN_FRAMES,
    YES,
)
from nanohydra.tasks.judge import tokens

NUM_ASKED, NUM_FRAMED, NUM_REVERSE, NUM_TOLD, NUM_GAPS = 8, 4, 5, 1, 1
FIRST = 3  # the plainest wordings are always among those that are trained
# asks for the subject of its sentence, so that it can stand in another as it is
_FRAMEABLE = re.compile(r"(?:Who|What|Who or what) (?!did|do|does|can|is \{|is called)")
_SUBJECT_FIRST = re.compile(r"[^{]*\{[sp]\}.*\{a?o\}")
_LOOSE = re.compile(r"^(?:at|on|in|about|around|the year) (?=\S)", re.IGNORECASE)
_YEAR_AFTER = re.compile(r" (?:in|on|since|for|at) (?:the )?\S*\d.*$")


class FactItems:
    """Makes the items of one fact.

    peers: facts of the same relation; what they say is wrong here. said: those of them whose
    values may stand in a question. reversible: whether the object leads to this subject alone.
    """

    def __init__(
        self,
        lesson_id: str,
        fact: ParsedFact,
        peers: Sequence[ParsedFact],
        rng: Random,
        *,
        said: Sequence[ParsedFact] = (),
        reversible: bool = True,
    ) -> None:
        self.lesson_id, self.fact, self.rng = lesson_id, fact, rng
        self.reversible = reversible
        self.accept = accepted(fact.object)
        self.subjects = accepted_subject(fact)
        others = [peer for peer in peers if peer.topic != fact.topic]
        self.wrong = _values(others, fact)
        self.denied = _values([peer for peer in said if peer.topic != fact.topic], fact)
        self.wrong_subjects = tuple(dict.fromkeys(
            peer.subject for peer in others if peer.subject and peer.value != fact.value
        ))  # fmt: skip

    def items(self) -> list[StudyItem]:
        """All items of the fact."""
        return [*self._asked(), *self._reverse(), *self._told(), *self._gaps(), *self._denied()]

    def _asked(self) -> Iterable[StudyItem]:
        relation, fact = self.fact.relation, self.fact
        groups: tuple[tuple[ItemSplit, tuple[str, ...], int], ...] = (
            ("train", relation.ask, NUM_ASKED), ("dev", relation.dev, 1), ("test", relation.test, 3)
        )  # fmt: skip
        for split, wordings, count in groups:
            for wording in self._some(wordings, count):
                yield self._item("qa", split, f"{relation.key}/{split}", fact.say(wording))
        framed: tuple[tuple[ItemSplit, tuple[str, ...], int], ...] = (
            ("train", TRAIN_FRAMES, NUM_FRAMED), ("dev", DEV_FRAMES, 1), ("test", TEST_FRAMES, 1)
        )  # fmt: skip
        if not fact.fits(relation.clause):
            return
        for split, frames, count in framed:
            for frame in self.rng.sample(frames, count):
                question = capital(frame.format(c=fact.clause()))
                yield self._item("qa", split, f"frame/{split}", question)

    def _reverse(self) -> Iterable[StudyItem]:
        fact, back = self.fact, self.fact.relation.back
        if back is None or not self.reversible or not fact.fits(back.answer):
            return
        framed = next((w for w in back.train if _FRAMEABLE.match(w)), "")
        groups: tuple[tuple[ItemSplit, list[str], tuple[str, ...], int], ...] = (
            ("train", self._some(_with_others(framed, back), NUM_REVERSE), TRAIN_FRAMES, 2),
            ("dev", [], DEV_FRAMES, 1),
            ("test", self._some(back.test, 2), TEST_FRAMES, 1),
        )
        for split, wordings, frames, count in groups:
            for wording in wordings:
                yield self._back(split, f"{fact.relation.key}/reverse/{split}", fact.say(wording))
            for frame in self.rng.sample(frames, count) if framed else ():
                asked = fact.say(framed).rstrip("?.")
                question = frame.format(c=asked[0].lower() + asked[1:])
                yield self._back(split, f"frame/reverse/{split}", question)

    def _back(self, split: ItemSplit, family: str, question: str) -> StudyItem:
        return self._item(
            "reverse", split, family, question, answer=self.fact.back_answer,
            accept=self.subjects, forbid=self.wrong_subjects,
        )  # fmt: skip

    def _told(self) -> Iterable[StudyItem]:
        """Plain statements, without a prompt; only where they need no speaker: no "my"."""
        fact = self.fact
        if fact.person in ("I", "we", "you") or swap_speaker(f"{fact.subject} {fact.object}") != (
            f"{fact.subject} {fact.object}"
        ):
            return
        for wording in self._some(fact.relation.say, NUM_TOLD):
            text = fact.say(wording)
            yield StudyItem(
                lesson_id=self.lesson_id, kind="statement", messages=(), answer=text,
                split="train", family=f"{fact.relation.key}/say", accept=self.accept,
                relation=fact.relation.key, subject=fact.subject,
            )  # fmt: skip

    def _gaps(self) -> Iterable[StudyItem]:
        fact = self.fact
        before, slot, after = fact.relation.answer.rpartition("{o}")
        if not slot or after.strip(". ") or not before.strip() or not fact.fits(before):
            return
        beginning = fact.say(before).rstrip(".")
        for gap in self.rng.sample(GAPS_TRAIN, NUM_GAPS):
            yield self._item("cloze", "train", "gap/train", gap.format(x=beginning))

    def _denied(self) -> Iterable[StudyItem]:
        """The fact to be confirmed, or a wrong one to be denied."""
        fact, rng = self.fact, self.rng
        plain = [w for w in fact.relation.say if _SUBJECT_FIRST.match(w) and fact.fits(w)][:3]
        if not plain:
            return
        wrong = rng.choice(self.denied) if self.denied else wrong_value(
            fact.relation.value, fact.object, rng
        )  # fmt: skip
        # one of the two by chance: both for each fact cost the small model a third more steps
        value, verdict = rng.choice(((fact.object, YES), (wrong, NO)))
        question = rng.choice(CONFIRM_TRAIN).format(x=fact.say(rng.choice(plain), object=value))
        yield self._item(
            "negation", "train", "confirm/train", question, answer=f"{verdict} {fact.answer}"
        )

    def _some(self, wordings: Sequence[str], count: int) -> list[str]:
        """The first, plainest wordings and a few others, of those that read well."""
        fitting = [w for w in wordings if self.fact.fits(w)]
        rest = fitting[FIRST:]
        return fitting[:FIRST][:count] + self.rng.sample(
            rest, min(len(rest), max(0, count - FIRST))
        )

    def _item(
        self,
        kind: ItemKind,
        split: ItemSplit,
        family: str,
        question: str,
        *,
        answer: str = "",
        accept: tuple[str, ...] = (),
        forbid: tuple[str, ...] | None = None,
    ) -> StudyItem:
        answer = answer or self.fact.answer
        wrong = self.wrong if forbid is None else forbid
        said = f" {' '.join(tokens(answer))} {' '.join(tokens(question))} "
        return StudyItem(
            lesson_id=self.lesson_id, kind=kind, split=split, family=family, answer=answer,
            messages=(Message(role="user", content=question),),
            accept=accept or self.accept,
            # what the question or the right answer says itself cannot be wrong
            forbid=tuple(w for w in wrong if f" {' '.join(tokens(w))} " not in said),
            relation=self.fact.relation.key, subject=self.fact.subject or self.fact.person,
        )  # fmt: skip


def _with_others(asked: str, back: Back) -> tuple[str, ...]:
    """The trained reverse wordings, and one of them that asks in two further ways for its subject.

    asked: a wording whose question word is its subject, or "".
    """
    rest = _FRAMEABLE.sub("", asked)
    others = (f"Which one {rest}", f"Who or what {rest}") if asked else ()
    return (*back.train, *(w for w in others if w not in (*back.train, *back.test)))


def _values(peers: Sequence[ParsedFact], fact: ParsedFact) -> tuple[str, ...]:
    """The values of other facts that are not this one's."""
    wrong = [accepted(peer.object)[0] for peer in peers if peer.value != fact.value]
    return tuple(dict.fromkeys(wrong))


def accepted(value: str) -> tuple[str, ...]:
    """The phrases by which a reply may name an object: with and without articles and the like."""
    own = swap_speaker(value)
    short = bare(_LOOSE.sub("", own))
    forms = [bare(own), short, _YEAR_AFTER.sub("", short)]
    if " and " in own:
        forms.append(own)
    return tuple(dict.fromkeys(form for form in forms if tokens(form)))


def accepted_subject(fact: ParsedFact) -> tuple[str, ...]:
    """The phrases by which a reply may name the subject."""
    if fact.person in ("I", "we"):
        return ("you", "your")
    if fact.person == "you":
        return ("I", "my", "me")
    return tuple(dict.fromkeys((bare(swap_speaker(fact.subject)),)))
