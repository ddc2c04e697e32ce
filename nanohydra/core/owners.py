"""Owners: whose a lesson, an adapter, a conversation is. What one taught, no other sees.

Names are parts of paths too, so they are small letters: some file systems do not tell cases apart.
"""

from __future__ import annotations

import re

from nanohydra.core.errors import UserError

OWNER = "local"  # of everything where nobody said whose it is
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


def check_owner(name: str) -> str:
    """The name of an owner, as it is. Raises UserError for one that cannot be."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r:.80} cannot be an owner: small letters, digits, '.', '_' and '-', at most "
            "64, beginning with a letter or a digit"
        )
    return name
