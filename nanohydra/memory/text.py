"""Characters that a stored text must not have, replaced one for one so that places stay true."""

from __future__ import annotations

import re

# Control characters but for tab, line feed, form feed and carriage return; halves of surrogate
# pairs, which UTF-8 cannot hold; the two code points that are never characters.
CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")
BROKEN = re.compile("[\ud800-\udfff\ufffe\uffff]")


def clean_text(text: str) -> str:
    """The text with spaces for control characters and U+FFFD for what is no character."""
    return BROKEN.sub("\ufffd", CONTROL.sub(" ", text))
