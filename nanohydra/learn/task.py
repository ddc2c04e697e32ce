"""What one version has to learn and to prove: study items, replay, questions about earlier lessons.

Read from the learning home, made for one batch of a job's lessons. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nanohydra.core.errors import UserError
from nanohydra.learn.gate import Earlier
from nanohydra.learn.model_writer import ModelWriter, writer_for
from nanohydra.learn.replay import choose_replay
from nanohydra.learn.replies import reply_to_all
from nanohydra.learn.study import Study, StudyItem, judge, study, written_about
from nanohydra.learn.study.writer import FAMILY, FAMILY_TOLD
from nanohydra.learn.work import Work

if TYPE_CHECKING:
    from nanohydra.adapters.bank import Bank
    from nanohydra.checkpoint import Loaded
    from nanohydra.learn.config import LearnConfig
    from nanohydra.learn.lessons import Lesson
    from nanohydra.learn.store import Job, LearningStore

TRAINED_ASKED = 2  # of a lesson that has no held-out questions
NOTE_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to train and to prove.

    replay: items of earlier lessons. earlier: what must still be answered, and by which version.
    texts: what the short lessons say, by id; of long ones a memory finds only parts.
    replaces: versions that the new one takes the place of.
    """

    study: Study
    replay: Sequence[StudyItem] = ()
    earlier: Sequence[Earlier] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    replaces: Sequence[str] = ()

    @property
    def held_out(self) -> list[StudyItem]:
        """What the gate asks about the new lessons: of one without held-out items, trained ones."""
        asked: list[StudyItem] = []
        for lesson in self.study.lesson_ids:
            own = [i for i in self.study.items if i.lesson_id == lesson and i.messages]
            held = [i for i in own if i.split == "test"]
            asked += held or [i for i in own if i.split == "train"][:TRAINED_ASKED]
        return asked


class TaskMaker:
    """Makes the tasks of a learning home's jobs.

    loaded: the base, with no adapter on it. cache: folder for what was found of the base.
    """

    def __init__(
        self,
        store: LearningStore,
        bank: Bank,
        loaded: Loaded,
        config: LearnConfig,
        cache: Path | None = None,
    ) -> None:
        self.store, self.bank, self.loaded, self.config = store, bank, loaded, config
        self.cache = cache

    @cached_property
    def writer(self) -> ModelWriter | None:
        """The base as a writer, if it is able to."""
        return writer_for(self.loaded, self.config.study, self.cache)

    def make(self, work: Work, lesson_ids: Sequence[str]) -> Task:
        """The task of some of a job's lessons, without those that the base knows.

        Raises UserError if all of them were deleted, or one is not of the job's owner.
        """
        job = work.job
        with work.timed("studied") as row:
            found = self.store.lessons_by_id(lesson_ids, owner=job.owner)
            lessons = [x for x in found if x.state != "deleted"]
            if not lessons:
                raise UserError("its lessons were deleted")
            rest = [id for id in job.lesson_ids if id not in lesson_ids]
            mine = self.store.lessons(owner=job.owner, alias=job.alias, states=("live",))
            others = {x.id: x for x in mine}
            unread = self.store.lessons_by_id(rest, owner=job.owner)
            others |= {x.id: x for x in unread if x.state != "deleted"}
            others = {id: x for id, x in others.items() if id not in lesson_ids}
            made = study(lessons, seed=self.config.seed, others=list(others.values()))
            before = self.store.study_items([lesson.id for lesson in lessons])
            self.store.save_study(made.items)
            known = () if job.kind == "consolidate" else self.known(made)
            unknown = [lesson for lesson in lessons if lesson.id not in known]
            if added := self.written(work, unknown, made, before, row):
                made = Study(items=(*made.items, *added))
                self.store.save_study(made.items)
            kept = tuple(item for item in made.items if item.lesson_id not in known)
            replaces = tuple(job.details.get("versions", ())) if job.kind == "consolidate" else ()
            held, earlier = self.earlier(job, lesson_ids, replaces)
            new = [item for item in kept if item.split == "train"]
            replay = choose_replay(held, new, count=len(new), seed=self.config.seed)
            row |= {"lessons": len(lessons), "known": len(known), "items": len(kept)}
            row |= {"replayed": len(replay)}
        texts = {x.id: x.text for x in lessons if x.id not in known and len(x.text) <= NOTE_CHARS}
        return Task(
            study=Study(items=kept), replay=replay, earlier=earlier, texts=texts, replaces=replaces
        )

    def written(
        self,
        work: Work,
        lessons: Sequence[Lesson],
        made: Study,
        before: Sequence[StudyItem],
        row: dict[str, Any],
    ) -> tuple[StudyItem, ...]:
        """What the model adds to the study of lessons; what it once wrote about one is used again.

        before: the items that are kept of them.
        """
        added = tuple(item for item in before if item.family in (FAMILY, FAMILY_TOLD))
        done = {item.lesson_id for item in added}
        rest = [lesson for lesson in lessons if lesson.id not in done]
        if rest and self.writer is not None:
            self.writer.check = work.check
            outcome = written_about(rest, self.writer, made)
            kept = len(outcome.items)
            row |= {"written": outcome.num_written, "kept": kept}
            row["text"] = (
                f"wrote questions and paraphrases; the model wrote {outcome.num_written} more, of "
                f"which {kept} keep the fact"
            )
            added += outcome.items
        ids = {lesson.id for lesson in lessons}
        return tuple(item for item in added if item.lesson_id in ids)

    def known(self, made: Study) -> set[str]:
        """Lessons of which the base answers every held-out question already."""
        asked = [item for item in made.items if item.split != "train" and item.messages]
        replies = reply_to_all(
            self.loaded.model,
            self.loaded.tokenizer,
            [item.messages for item in asked],
            max_new_tokens=self.config.train.max_new_tokens,
        )
        right = [
            judge(item, reply.message.content, finished=reply.ended)
            for item, reply in zip(asked, replies, strict=True)
        ]
        wrong = {item.lesson_id for item, ok in zip(asked, right, strict=True) if not ok}
        return {item.lesson_id for item in asked} - wrong

    def earlier(
        self, job: Job, lesson_ids: Sequence[str], replaces: Sequence[str]
    ) -> tuple[list[StudyItem], list[Earlier]]:
        """The items of the owner's earlier lessons, and what the gate asks about them."""
        bank = self.bank.of(job.owner)
        held: list[StudyItem] = []
        earlier: list[Earlier] = []
        room = self.config.gate.earlier_items
        lessons = self.store.lessons(owner=job.owner, alias=job.alias, states=("live",))
        live = {lesson.id for lesson in lessons}
        for version in bank.alias(job.alias).versions:
            recalled = bank.info(version).manifest.get("lessons", {})
            new = version in replaces  # its lessons are those of the job
            ids = [id for id, share in recalled.items() if id in live and (share or 0.0) >= 0.5]
            items = self.store.study_items([i for i in ids if new or i not in lesson_ids])
            held += () if new else items
            # All questions of a lesson, as at its own gate, or none.
            asked: list[StudyItem] = []
            for lesson in dict.fromkeys(item.lesson_id for item in items):
                own = [i for i in items if i.lesson_id == lesson and i.split == "test"]
                own = [i for i in own if i.kind != "reverse"]
                if len(own) <= room:
                    asked += own
                    room -= len(own)
            if asked:
                folder = None if new else bank.path(version)
                earlier.append(Earlier(folder=folder, items=tuple(asked)))
        return held, earlier
