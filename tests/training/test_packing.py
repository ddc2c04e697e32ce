"""Packed rows equal separate ones, in loss and in gradient, with the real decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nanohydra.core.types import IGNORE, Batch
from nanohydra.training import Hook, TrainConfig, train, validation_loss
from nanohydra.training.batches import micro_batches

LENGTHS = (5, 9, 3, 7)  # of the sequences that are packed into one row, with padding behind


class Once:
    """One batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __iter__(self):
        return iter([self.batch])


class Keep(Hook):
    def after_backward(self, moment) -> None:
        self.grads = {n: g.clone() for n, g in moment.grads.items()}


def sequences() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids and labels; as in SFT, only some places carry loss, and never the last."""
    generator = torch.Generator().manual_seed(4)
    result = []
    for length in LENGTHS:
        ids = torch.randint(0, 23, (length,), generator=generator)
        labels = torch.full((length,), IGNORE)
        labels[length // 2 : -1] = ids[length // 2 + 1 :]
        result.append((ids, labels))
    return result


def rows(groups: list[list[int]], row_length: int) -> Batch:
    """Rows of the numbered sequences one after the other, padded."""
    shape = (len(groups), row_length)
    ids, positions = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    labels, segments = torch.full(shape, IGNORE), torch.full(shape, -1)
    for row, group in enumerate(groups):
        at = 0
        for segment, number in enumerate(group):
            own_ids, own_labels = sequences()[number]
            places = slice(at, at + len(own_ids))
            ids[row, places], labels[row, places] = own_ids, own_labels
            positions[row, places] = torch.arange(len(own_ids))
            segments[row, places] = segment
            at += len(own_ids)
    return Batch(ids_BT=ids, labels_BT=labels, positions_BT=positions, segments_BT=segments)


PACKED = rows([[0, 1, 2, 3]], 28)
SEPARATE = rows([[0], [1], [2], [3]], 12)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"layer_types": ("conv", "full")},
        {"position": "learned", "norm": "layernorm", "feed_forward": "gelu"},
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_equals_separate(make_model, request, shape, precision) -> None:
    found = []
    for batch in (PACKED, SEPARATE):
        model, keep, losses = make_model(**shape), Keep(), []
        with torch.no_grad():  # output projections of zero would hide every mistake
            for parameter in model.parameters():
                parameter += 0.3 * torch.randn(
                    parameter.shape, generator=torch.Generator().manual_seed(0)
                )
        config = TrainConfig(steps=1, rows_per_step=len(batch.ids_BT), row_length=28)
        train(
            model, Once(batch), config, runtime=request.getfixturevalue(precision), hooks=[keep],
            on_step=lambda step, loss, losses=losses: losses.append(loss),
        )  # fmt: skip
        found.append((losses[0], keep.grads))
    (packed_loss, packed), (loss, grads) = found
    exact = precision == "float32"
    assert packed_loss == pytest.approx(loss, rel=1e-5 if exact else 1e-2)
    whole = torch.cat([g.flatten() for g in grads.values()]).norm()
    for name, grad in grads.items():
        difference = (packed[name] - grad).norm()
        bound = 1e-5 * grad.norm() + 1e-7 * whole if exact else 0.05 * whole
        assert difference <= bound, name


def test_rows_with_one_sequence_need_no_mask_and_lose_nothing(make_model) -> None:
    for batch, packed in ((SEPARATE, False), (PACKED, True)):
        (micro,) = micro_batches(batch, 0, "cpu")
        assert (micro.segments_BT is not None) == packed
        assert (micro.positions_BT is not None) == packed
    model = make_model()
    with torch.no_grad():
        bare = model(SEPARATE.ids_BT)
        full = model(
            SEPARATE.ids_BT,
            positions_BT=SEPARATE.positions_BT,
            segments_BT=SEPARATE.segments_BT,
        )
    counted = SEPARATE.labels_BT != IGNORE
    torch.testing.assert_close(bare[counted], full[counted])


def test_padding_in_front_is_not_taken_for_one_sequence() -> None:
    shifted = replace(SEPARATE, segments_BT=SEPARATE.segments_BT.roll(1, 1))
    (micro,) = micro_batches(shifted, 0, "cpu")
    assert micro.segments_BT is not None


def test_rows_without_a_target_are_left_out() -> None:
    labels = SEPARATE.labels_BT.clone()
    labels[1] = IGNORE
    sizes = [len(m.ids_BT) for m in micro_batches(replace(SEPARATE, labels_BT=labels), 2, "cpu")]
    assert sizes == [2, 1]
    empty = replace(SEPARATE, labels_BT=torch.full_like(labels, IGNORE))
    assert list(micro_batches(empty, 0, "cpu")) == []


def test_validation_loss_counts_nats_and_bytes(make_model) -> None:
    model = make_model().eval()
    num_bytes = [0, 0, *range(1, 22)]
    packed = validation_loss(model, [PACKED], token_num_bytes=num_bytes)
    apart = validation_loss(model, [SEPARATE, rows([[1]], 12)], token_num_bytes=num_bytes)
    targets = PACKED.labels_BT[PACKED.labels_BT != IGNORE]
    ratio = packed["val_loss"] / packed["val_bits_per_byte"]
    bytes_per_token = sum(num_bytes[t] for t in targets.tolist()) / len(targets)
    assert ratio == pytest.approx(bytes_per_token * 0.6931472, rel=1e-5)
    assert packed["val_loss"] == pytest.approx(
        validation_loss(model, [SEPARATE])["val_loss"], rel=1e-5
    )
    assert apart["val_loss"] != packed["val_loss"]
    nothing = replace(PACKED, labels_BT=torch.full_like(PACKED.labels_BT, IGNORE))
    assert all(
        v != v for v in validation_loss(model, [nothing], token_num_bytes=num_bytes).values()
    )
