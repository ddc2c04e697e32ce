"""Lessons to study items: facts are parsed, asked in many wordings, and the replies judged."""

from nanohydra.learn.study.items import ItemKind, ItemSplit, Study, StudyItem, judge
from nanohydra.learn.study.make import study

__all__ = ["ItemKind", "ItemSplit", "Study", "StudyItem", "judge", "study"]
