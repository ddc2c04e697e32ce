"""Which records to leave out: duplicates, other languages, poor pages, evaluation texts."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names

if TYPE_CHECKING:
    from nanohydra.data.clean.cleaner import Cleaner
    from nanohydra.data.clean.duplicates import ExactDuplicates, NearDuplicates
    from nanohydra.data.clean.language import LanguageFilter
    from nanohydra.data.clean.overlap import Overlap
    from nanohydra.data.clean.quality import QualityFilter

__all__ = [
    "Cleaner",
    "ExactDuplicates",
    "LanguageFilter",
    "NearDuplicates",
    "Overlap",
    "QualityFilter",
]
_HERE = "nanohydra.data.clean"
__getattr__ = lazy_names(
    __name__,
    {
        "Cleaner": f"{_HERE}.cleaner",
        "ExactDuplicates": f"{_HERE}.duplicates",
        "LanguageFilter": f"{_HERE}.language",
        "NearDuplicates": f"{_HERE}.duplicates",
        "Overlap": f"{_HERE}.overlap",
        "QualityFilter": f"{_HERE}.quality",
    },
)
