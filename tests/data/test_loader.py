"""The loader: resumed equals uninterrupted, many ranks equal one, shares follow the weights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nanohydra.core.errors import UserError
from nanohydra.core.types import Batch
from nanohydra.data import Loader, LoaderConfig, Phase

FIELDS = ("ids_BT", "labels_BT", "positions_BT", "segments_BT")


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in FIELDS)


@pytest.fixture(scope="module")
def two_shards(make_shards):
    """Documents of many lengths, some far longer than a row, and conversations, over 3 files."""
    random = np.random.default_rng(5)
    masks = [[bool(b) for b in random.integers(0, 2, n)] for n in random.integers(2, 60, 50)]
    chat = make_shards([len(m) for m in masks], masks, first=10_000, tokens_per_shard=700)
    return {"text": make_shards([*random.integers(1, 90, 60), 900]), "chat": chat}


CONFIGS = st.builds(
    LoaderConfig,
    rows_per_batch=st.integers(1, 5),
    row_length=st.integers(4, 48),
    packing=st.sampled_from(["crop", "pad"]),
    seed=st.integers(0, 99),
    total_batches=st.sampled_from([0, 25]),
    buffer_size=st.integers(1, 40),
    phases=st.sampled_from(
        [
            (),
            (Phase(until=0.3, weights={"text": 1}), Phase(weights={"text": 1, "chat": 3})),
        ]
    ),
)


@settings(max_examples=40, deadline=None)
@given(config=CONFIGS, stop=st.integers(0, 25))
def test_resumed_equals_uninterrupted(two_shards, config, stop):
    whole = Loader(two_shards, config)
    batches = list(whole)
    part = Loader(two_shards, config)
    for _ in range(min(stop, len(batches))):
        next(part)
    state = json.loads(json.dumps(part.state_dict()))
    fresh = Loader(dict(reversed(two_shards.items())), config)
    fresh.load_state_dict(state)
    assert fresh.state_dict() == state
    rest = list(fresh)
    assert len(rest) == len(batches) - min(stop, len(batches))
    assert all(map(same, rest, batches[stop:]))
    assert fresh.counts == whole.counts
    assert fresh.state_dict() == whole.state_dict()


@settings(max_examples=30, deadline=None)
@given(config=CONFIGS, world=st.integers(2, 4), stop=st.integers(0, 10))
def test_the_ranks_together_see_what_one_would(two_shards, config, world, stop):
    config = replace(config, rows_per_batch=2 * world)
    alone = Loader(two_shards, config)
    ranks = [Loader(two_shards, config, rank=r, world_size=world) for r in range(world)]
    expected = list(alone)
    for _ in range(min(stop, len(expected))):
        for loader in ranks:
            next(loader)
    # other ranks go on where these stopped
    state = ranks[-1].state_dict()
    assert state == ranks[0].state_dict()
    ranks = [Loader(two_shards, config, rank=r, world_size=world) for r in range(world)]
    for loader in ranks:
        loader.load_state_dict(state)
    for batch in expected[stop:]:
        parts = [next(loader) for loader in ranks]
        joined = Batch(**{f: torch.cat([getattr(p, f) for p in parts]) for f in FIELDS})
        assert same(joined, batch)
    assert all(next(loader, None) is None for loader in ranks)


def test_batches_are_int64_rows_of_the_right_shape(two_shards):
    config = LoaderConfig(rows_per_batch=4, row_length=32, total_batches=3)
    batches = list(Loader(two_shards, config))
    assert len(batches) == 3
    for batch in batches:
        for name in FIELDS:
            assert getattr(batch, name).dtype == torch.int64
            assert getattr(batch, name).shape == (4, 32)
        assert batch.num_targets > 0


def test_each_epoch_gives_each_record_once_in_another_order(make_shards):
    lengths = [7] * 100
    shards = make_shards(lengths)
    config = LoaderConfig(
        row_length=7, rows_per_batch=10, total_batches=30, packing="pad", buffer_size=1
    )
    batches = list(Loader({"made": shards}, config))
    epochs = [torch.cat([b.ids_BT[:, 0] for b in batches[i : i + 10]]) for i in (0, 10, 20)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(0, 700, 7))
    assert epochs[0].tolist() != epochs[1].tolist() != epochs[2].tolist()
    other = Loader({"made": shards}, replace(config, seed=1))
    assert not torch.equal(next(other).ids_BT, batches[0].ids_BT)


def shares(batches, border=10_000) -> float:
    """Share of the tokens that lie below the border."""
    ids = torch.cat([b.ids_BT[b.segments_BT >= 0] for b in batches])
    return float((ids < border).double().mean())


@pytest.mark.parametrize("lengths", [([10] * 50, [10] * 50), ([300] * 5, [3] * 800)])
def test_token_shares_follow_the_weights(make_shards, lengths):
    a, b = lengths
    shards = {"a": make_shards(a), "b": make_shards(b, first=10_000)}
    config = LoaderConfig(
        row_length=50,
        rows_per_batch=8,
        total_batches=200,
        buffer_size=20,
        weights={"a": 3, "b": 1},
    )
    assert shares(Loader(shards, config)) == pytest.approx(0.75, abs=0.02)
    natural = replace(config, weights={})
    expected = sum(a) / (sum(a) + sum(b))
    assert shares(Loader(shards, natural)) == pytest.approx(expected, abs=0.02)


def test_phases_change_the_shares_at_their_share_of_the_run(make_shards):
    shards = {"a": make_shards([10] * 50), "b": make_shards([10] * 50, first=10_000)}
    phases = (Phase(until=0.25, weights={"a": 1}), Phase(weights={"a": 1, "b": 9}))
    config = LoaderConfig(
        row_length=40, rows_per_batch=4, total_batches=200, buffer_size=8, phases=phases
    )
    batches = list(Loader(shards, config))
    assert shares(batches[:50]) == 1.0
    assert shares(batches[52:]) == pytest.approx(0.1, abs=0.01)


def test_one_pass_ignores_weights_and_gives_every_record(make_shards):
    shards = {"a": make_shards([10] * 5), "b": make_shards([10] * 5, first=10_000)}
    config = LoaderConfig(row_length=10, rows_per_batch=3, weights={"a": 1})
    batches = list(Loader(shards, config))
    assert [len(b.ids_BT) for b in batches] == [3, 3, 3, 1]
    firsts = torch.cat([b.ids_BT[:, 0] for b in batches]).tolist()
    assert Counter(firsts) == Counter([*range(0, 50, 10), *range(10_000, 10_050, 10)])


def test_padding_is_the_tokenizers(make_shards):
    shards = make_shards([3])
    batch = next(Loader({"a": shards}, LoaderConfig(row_length=5)))
    assert batch.ids_BT.tolist() == [[0, 1, 2, shards.pad_id, shards.pad_id]]
    assert batch.labels_BT.tolist() == [[1, 2, -100, -100, -100]]
    assert batch.positions_BT.tolist() == [[0, 1, 2, 0, 0]]
    assert batch.segments_BT.tolist() == [[0, 0, 0, -1, -1]]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"row_length": 9}, "row_length"),
        ({"packing": "pad"}, "packing"),
        ({"total_batches": 0}, "one pass"),
    ],
)
def test_a_state_of_another_run_is_refused(make_shards, change, what):
    shards = {"a": make_shards([10] * 9)}
    config = LoaderConfig(row_length=8, total_batches=4)
    state = Loader(shards, config).state_dict()
    with pytest.raises(UserError, match=what):
        Loader(shards, replace(config, **change)).load_state_dict(state)
    with pytest.raises(UserError, match="cannot resume: shards"):
        Loader({"a": make_shards([10] * 8)}, config).load_state_dict(state)


def test_what_cannot_be_loaded_is_refused(make_shards):
    shards = make_shards([10] * 9)
    config = LoaderConfig(total_batches=4, row_length=8)
    with pytest.raises(UserError, match="no shards"):
        Loader({}, config)
    with pytest.raises(UserError, match="has no records"):
        Loader({"a": make_shards([])}, config)
    with pytest.raises(UserError, match="cannot be shared evenly by 3 ranks"):
        Loader({"a": shards}, config, world_size=3)
    with pytest.raises(UserError, match="'stroies'; did you mean 'stories'"):
        Loader({"stories": shards}, replace(config, weights={"stroies": 1.0}))
    other = make_shards([10], fingerprint="another")
    with pytest.raises(UserError, match="different tokenizers"):
        Loader({"a": shards, "b": other}, config)
