"""All relations in the order in which a fact is tried against them: special ones first."""

from __future__ import annotations

from dataclasses import replace

from nanohydra.data.primer import words
from nanohydra.learn.study.bank_generic import GENERIC
from nanohydra.learn.study.bank_people import PEOPLE
from nanohydra.learn.study.bank_places import PLACES
from nanohydra.learn.study.bank_things import THINGS
from nanohydra.learn.study.relation import Relation, listed, pattern

# "Mara is a baker" tells a job, "a rose is a flower" does not
JOB_ENDS = r"(?:er|or|ist|ian|eer|man|woman|yst|geon|ess|clerk|nurse|judge|cook|chef|pilot|guard)"
JOBS = rf"(?:[\w-]+ )*(?:{'|'.join(words.JOBS)}|[\w-]{{2,}}{JOB_ENDS})"
NOT_JOBS = r"(?!.*\b(?:river|tower|flower|computer|printer|number|water|letter|paper|center)\b)"


def _job_by_is(job: Relation) -> Relation:
    say = listed("{s} is {ao}. | {s} was {ao}. | {s} is {ao} at work.")
    return replace(job, say=say, only=pattern(NOT_JOBS + JOBS))


_BY_KEY = {relation.key: relation for relation in (*PEOPLE, *THINGS, *PLACES, *GENERIC)}
SPECIAL = (*PLACES, *PEOPLE, _job_by_is(_BY_KEY["job"]), *THINGS)
RELATIONS = (*SPECIAL, *GENERIC)
GENERIC_KEYS = frozenset(relation.key for relation in GENERIC)
