"""Lessons to study items: facts are parsed, asked in many wordings, and the replies judged."""

from nanohydra.learn.study.facts import ParsedFact
from nanohydra.learn.study.items import ItemKind, ItemSplit, Study, StudyItem, judge
from nanohydra.learn.study.make import facts_of, statements_of, study, written_about
from nanohydra.learn.study.parse import parse, parse_question
from nanohydra.learn.study.writer import Outcome, Statement, Writer, Written

__all__ = [
    "ItemKind",
    "ItemSplit",
    "Outcome",
    "ParsedFact",
    "Statement",
    "Study",
    "StudyItem",
    "Writer",
    "Written",
    "facts_of",
    "judge",
    "parse",
    "parse_question",
    "statements_of",
    "study",
    "written_about",
]
