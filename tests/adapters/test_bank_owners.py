"""The banks of several owners: one inside the other on disk, and nothing in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nanohydra.adapters import AdapterWeights, Bank
from nanohydra.core.errors import UserError
from nanohydra.model import Decoder

MakeWeights = Callable[..., AdapterWeights]
FEW = {"targets": ("q_proj",), "layers": (0,)}


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path / "bank")


def test_the_same_names_mean_different_versions(
    bank: Bank, model: Decoder, make_weights: MakeWeights
) -> None:
    ids = {}
    for seed, owner in enumerate(("local", "ana", "ben")):
        weights = make_weights(model, seed, **FEW)
        ids[owner] = bank.of(owner).publish(weights, model.config, manifest={})
        bank.of(owner).activate("default", (ids[owner],))
    assert len(set(ids.values())) == 3
    for owner, version in ids.items():
        own = bank.of(owner)
        assert own.owner == owner and own is bank.of(owner)
        assert [info.id for info in own.list()] == [version]
        assert own.alias("default").versions == (version,) and own.aliases() == ("default",)
        for other in set(ids.values()) - {version}:
            for ask in (own.resolve, own.info, own.load, own.remove, own.path):
                with pytest.raises(UserError, match=f"there is no version '{other}'"):
                    ask(other)
            with pytest.raises(UserError, match="there is no version"):
                own.activate("default", (other,))
    bank.of("ana").activate("default", ())
    assert bank.alias("default").versions == (ids["local"],)
    assert bank.owners() == ("local", "ana", "ben")
    assert Bank(bank.folder).of("ben").alias("default").versions == (ids["ben"],)


def test_the_default_owner_is_where_everything_was_before(bank: Bank, model: Decoder) -> None:
    assert bank.of("local") is bank and bank.owners() == ("local",)
    assert not bank.folder.exists()
    with pytest.raises(UserError, match="cannot be an owner"):
        bank.of("../ana")


def test_a_version_taken_by_two_is_removed_for_one(
    bank: Bank, model: Decoder, weights: AdapterWeights
) -> None:
    ana, ben = bank.of("ana"), bank.of("ben")
    version = ana.publish(weights, model.config, manifest={"from": "ana"})
    assert ben.publish(weights, model.config, manifest={"from": "ben"}) == version
    ben.activate("default", (version,))
    ana.remove(version)
    assert ana.list() == ()
    assert ben.info(version).manifest["from"] == "ben" and ben.load(version).id == version


def test_folders_of_others_may_not_be_read(bank: Bank, tmp_path: Path) -> None:
    ana, ben = bank.of("ana"), bank.of("ben")
    for own, other in ((ana, ben), (ben, ana), (bank, ana), (ana, bank)):
        assert own.may_read(own.folder / ("0" * 16))
        assert not own.may_read(other.folder / ("0" * 16))
    (tmp_path / "link").symlink_to(ana.folder)
    assert not ben.may_read(tmp_path / "link" / "x")
    assert not ben.may_read(ben.folder / ".." / "ana" / "x")
    assert ben.may_read(tmp_path / "elsewhere")
