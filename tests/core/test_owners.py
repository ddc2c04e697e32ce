"""Names of owners: parts of paths and of keys, so few letters will do."""

from __future__ import annotations

import pytest

from nanohydra.core.errors import UserError
from nanohydra.core.owners import OWNER, check_owner


@pytest.mark.parametrize("name", [OWNER, "ana", "a", "7", "team-2.west_1", "x" * 64])
def test_names_of_owners(name: str) -> None:
    assert check_owner(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-a", "a/b", "a\\b", "Ana", "a b", "a:b", "ä", "a\n", "x" * 65]
)
def test_what_cannot_be_an_owner(name: str) -> None:
    with pytest.raises(UserError, match="cannot be an owner: small letters, digits"):
        check_owner(name)
