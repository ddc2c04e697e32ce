"""A paged state: equal to one pass over the whole, whatever the blocks and the pieces."""

from __future__ import annotations

import random

import pytest
import torch

from nanohydra.model import MIXERS, Decoder, ModelConfig
from nanohydra.model.paged import PagedState

LAYERS = {**{name: (name,) for name in MIXERS}, "hybrid": tuple(sorted(MIXERS))}


def build(layer_types: tuple[str, ...]) -> Decoder:
    torch.manual_seed(0)
    model = Decoder(
        ModelConfig(
            vocab_size=50,
            hidden_size=32,
            num_layers=len(layer_types),
            num_heads=4,
            num_kv_heads=2,
            max_seq_len=64,
            layer_types=layer_types,
            sliding_window=5 if "sliding" in layer_types else 0,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(params=LAYERS)
def model(request: pytest.FixtureRequest) -> Decoder:
    return build(LAYERS[request.param])


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(1))


def extend(
    model: Decoder, state: PagedState, tables: list[list[int]], held: list[int], x: torch.Tensor
) -> torch.Tensor:
    """Logits of new tokens of sequences that hold so many."""
    view = state.view(
        torch.tensor(tables), torch.tensor(held), longest=max(held), shortest=min(held)
    )
    with torch.inference_mode():
        return model(x, state=view)


def test_pieces_in_scattered_blocks_equal_one_pass(model: Decoder) -> None:
    x = ids(3, 23)
    state = model.init_pages(30, 4)
    blocks = random.Random(0).sample(range(1, 30), 18)
    tables = [blocks[6 * row : 6 * row + 6] for row in range(3)]
    parts, held = [], 0
    for length in (5, 1, 1, 9, 2, 5):
        parts.append(extend(model, state, tables, [held] * 3, x[:, held : held + length]))
        held += length
    torch.testing.assert_close(torch.cat(parts, 1), model(x), atol=2e-5, rtol=1e-4)


def test_sequences_of_different_lengths_decode_together(model: Decoder) -> None:
    x = ids(3, 16)
    state = model.init_pages(16, 4)
    tables = [[3, 7, 1, 9], [2, 4, 6, 8], [10, 5, 11, 12]]
    held = [3, 9, 12]
    for table, length, row in zip(tables, held, x, strict=True):
        extend(model, state, [table], [0], row[None, :length])
    nexts = torch.stack([row[length] for row, length in zip(x, held, strict=True)])[:, None]
    together = extend(model, state, tables, held, nexts)
    for row, length in enumerate(held):
        alone = model(x[row : row + 1, : length + 1])[:, -1]
        torch.testing.assert_close(together[row], alone, atol=2e-5, rtol=1e-4)


def test_shared_and_copied_blocks(model: Decoder) -> None:
    """Two sequences begin with the same full block, and part in a copy of the second."""
    x = ids(1, 12)
    state = model.init_pages(8, 4)
    extend(model, state, [[1, 2]], [0], x[:, :6])
    state.copy_block(2, 3)
    other = (x[:, 6:] + 1) % 50
    first = extend(model, state, [[1, 2, 4]], [6], other)
    second = extend(model, state, [[1, 3, 5]], [6], x[:, 6:])
    whole = torch.cat([x[:, :6], other], 1)
    torch.testing.assert_close(first, model(whole)[:, 6:], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(second, model(x)[:, 6:], atol=2e-5, rtol=1e-4)


def test_a_sequence_can_be_cut_at_any_token(model: Decoder) -> None:
    x = ids(1, 14)
    state = model.init_pages(8, 4)
    extend(model, state, [[1, 2, 3, 4]], [0], (x + 7) % 50)
    for cut in (11, 6, 3, 0):
        extend(model, state, [[1, 2, 3, 4]], [0], x[:, :cut]) if cut else None
        rest = extend(model, state, [[1, 2, 3, 4]], [cut], x[:, cut:])
        torch.testing.assert_close(rest, model(x)[:, cut:], atol=2e-5, rtol=1e-4)


def test_padding_goes_to_block_0(model: Decoder) -> None:
    x = ids(2, 6)
    state = model.init_pages(4, 4)
    extend(model, state, [[1, 2]], [0], x[:1, :5])
    before = [t[1:].clone() for layer in state.layers for t in layer.tensors()]
    padded = extend(model, state, [[1, 2], [0, 0]], [5, 0], x[:, 5:])
    torch.testing.assert_close(padded[:1], model(x[:1])[:, 5:], atol=2e-5, rtol=1e-4)
    after = [t[1:] for layer in state.layers for t in layer.tensors()]
    for old, new in zip(before, after, strict=True):
        changed = (old != new).flatten(1).any(1)
        assert changed.tolist() == [False, True, False]  # block 2 took the token in


def test_bytes_are_those_of_the_tensors(model: Decoder) -> None:
    state = model.init_pages(6, 4)
    total = sum(t.nbytes for layer in state.layers for t in layer.tensors())
    assert state.num_bytes == total == 6 * state.bytes_per_block
    planned = model.init_pages(1, 4, device=torch.device("meta"))
    assert planned.bytes_per_block == state.bytes_per_block


def test_cleared_blocks_hold_zeros(model: Decoder) -> None:
    state = model.init_pages(4, 4)
    extend(model, state, [[1, 2]], [0], ids(1, 8))
    state.clear([1])
    for layer in state.layers:
        for tensor in layer.tensors():
            assert not tensor[1].any() and tensor[2].any()


def test_a_table_that_is_too_short_is_refused(model: Decoder) -> None:
    state = model.init_pages(4, 4)
    with pytest.raises(AssertionError, match="too short"):
        extend(model, state, [[1]], [0], ids(1, 5))
