"""Perplexity and bits per byte: hand-made models with known probabilities, and a naive loop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nanohydra.core.errors import UserError
from nanohydra.eval import bits_per_byte, perplexity, score_documents
from nanohydra.eval.likelihood import windows
from nanohydra.model import Decoder, ModelConfig

VOCAB = 12
BOS = 0
TEXTS = ["abcdabcd", "b", "", "aacdbbacddbcaadcbbadc", "hi \u00e4"]


class Letters:
    """One token per character, 1..11; BOS is 0."""

    start_id = BOS

    def encode(self, text: str) -> list[int]:
        return [1 + ord(character) % (VOCAB - 1) for character in text]


class Uniform(nn.Module):
    """Every token has probability 1 / VOCAB."""

    def forward(self, ids_BT: Tensor) -> Tensor:
        return torch.zeros(*ids_BT.shape, VOCAB)


class Bigram(nn.Module):
    """p(next | last) from a table, so that every token's probability is known."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table_VV = torch.randn(VOCAB, VOCAB, generator=generator)

    def forward(self, ids_BT: Tensor) -> Tensor:
        return self.table_VV[ids_BT]


class Counting(nn.Module):
    """A causal model of the whole prefix: its logits depend on the sum of all ids so far."""

    def forward(self, ids_BT: Tensor) -> Tensor:
        sums_BT1 = ids_BT.cumsum(1).unsqueeze(-1).float()
        return torch.sin(sums_BT1 * torch.arange(1, VOCAB + 1))


def decoder() -> Decoder:
    torch.manual_seed(0)
    model = Decoder(
        ModelConfig(
            vocab_size=VOCAB, hidden_size=32, num_layers=2, num_heads=2, num_kv_heads=1,
            max_seq_len=32, dropout=0.1,
        )
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def naive(model: nn.Module, texts: Sequence[str], row_length: int, stride: int) -> float:
    """Nats, one token and one forward pass at a time."""
    total = 0.0
    for text in texts:
        ids = Letters().encode(text)
        for index, target in enumerate(ids):
            if index < row_length:
                start = 0
            else:  # the window that first reaches this token
                end = row_length + stride * math.ceil((index + 1 - row_length) / stride)
                start = max(0, min(end, len(ids)) - row_length)
            logits_V = model(torch.tensor([[BOS, *ids[start:index]]]))[0, -1]
            total -= float(torch.log_softmax(logits_V.double(), -1)[target])
    return total


def test_a_uniform_model_has_the_vocabularys_perplexity() -> None:
    assert perplexity(Uniform(), Letters(), TEXTS, row_length=5) == pytest.approx(VOCAB, rel=1e-6)
    measured = score_documents(Uniform(), Letters(), ["abc\u00e4"], row_length=5)
    assert (measured.num_tokens, measured.num_bytes) == (4, 5)
    assert measured.bits_per_byte == pytest.approx(4 * math.log2(VOCAB) / 5, rel=1e-6)


def test_a_bigram_model_has_its_tables_likelihood() -> None:
    model = Bigram()
    log_probs_VV = torch.log_softmax(model.table_VV.double(), -1)
    ids = Letters().encode("abca")
    expected = -sum(float(log_probs_VV[a, b]) for a, b in zip([BOS, *ids], ids, strict=False))
    measured = score_documents(model, Letters(), ["abca"], row_length=8)
    assert measured.nats == pytest.approx(expected, rel=1e-6)
    assert measured.perplexity == pytest.approx(math.exp(expected / 4), rel=1e-6)


@pytest.mark.parametrize(("row_length", "stride"), [(32, 32), (6, 6), (6, 3), (6, 1), (1, 1)])
def test_equals_the_naive_loop(row_length: int, stride: int) -> None:
    for model in (Counting(), decoder().eval()):
        measured = score_documents(
            model, Letters(), TEXTS, row_length=row_length, stride=stride, batch=3
        )
        assert measured.nats == pytest.approx(naive(model, TEXTS, row_length, stride), rel=2e-6)


@pytest.mark.parametrize("stride", [6, 4])
def test_the_batch_size_does_not_enter(stride: int) -> None:
    for model in (Counting(), Bigram()):
        results = [
            score_documents(model, Letters(), TEXTS, row_length=6, stride=stride, batch=batch)
            for batch in (1, 2, 3, 16)
        ]
        assert all(result == results[0] for result in results)


def test_the_batch_size_does_not_enter_beyond_rounding_in_the_decoder() -> None:
    model = decoder()
    nats = [
        score_documents(model, Letters(), TEXTS, row_length=6, batch=batch).nats
        for batch in (1, 2, 16)
    ]
    assert nats == pytest.approx([nats[0]] * 3, rel=1e-6)


def test_more_context_of_a_copying_model_helps() -> None:
    class Repeats(nn.Module):
        """Sure that the token of four places ago comes again."""

        def forward(self, ids_BT: Tensor) -> Tensor:
            logits_BTV = torch.zeros(*ids_BT.shape, VOCAB)
            ahead_BT = ids_BT.roll(3, dims=1)
            logits_BTV.scatter_(-1, ahead_BT.unsqueeze(-1), 9.0)
            logits_BTV[:, :3] = 0
            return logits_BTV

    text = ["abcd" * 8]
    overlapping = perplexity(Repeats(), Letters(), text, row_length=8, stride=2)
    apart = perplexity(Repeats(), Letters(), text, row_length=8)
    assert overlapping < apart


@given(length=st.integers(0, 70), row_length=st.integers(1, 20), stride=st.integers(1, 20))
def test_every_token_is_scored_once_within_the_row(
    length: int, row_length: int, stride: int
) -> None:
    stride = min(stride, row_length)
    ids = list(range(1, length + 1))
    cut = list(windows(ids, document=0, row_length=row_length, stride=stride))
    assert [id for window in cut for id in window.ids[-window.scored :]] == ids
    assert all(0 < window.scored <= len(window.ids) <= row_length for window in cut)
    for window in cut[1:]:
        assert len(window.ids) == row_length, "as much context as fits"


def test_the_protocol_is_in_the_result() -> None:
    measured = score_documents(Uniform(), Letters(), TEXTS, row_length=6, stride=2)
    assert (measured.protocol.row_length, measured.protocol.stride) == (6, 2)
    assert measured.protocol.unit == "document"
    assert measured.num_documents == 4, "the empty one is left out"


def test_the_interval_holds_the_measure_and_needs_two_documents() -> None:
    measured = score_documents(Bigram(), Letters(), TEXTS, row_length=6)
    assert measured.bits_per_byte_interval is not None
    low, high = measured.bits_per_byte_interval.low, measured.bits_per_byte_interval.high
    assert low < measured.bits_per_byte < high
    one = score_documents(Bigram(), Letters(), ["abc"], row_length=6)
    assert one.bits_per_byte_interval is None


def test_bits_per_byte_is_the_results() -> None:
    measured = score_documents(Bigram(), Letters(), TEXTS, row_length=6)
    assert bits_per_byte(Bigram(), Letters(), TEXTS, row_length=6) == measured.bits_per_byte


def test_dropout_is_off_and_the_mode_is_given_back() -> None:
    model = decoder().train()
    first, second = (perplexity(model, Letters(), TEXTS, row_length=6) for _ in range(2))
    assert first == second
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="stride 7"):
        perplexity(Uniform(), Letters(), ["abc"], row_length=6, stride=7)
    with pytest.raises(UserError, match="no text"):
        perplexity(Uniform(), Letters(), ["", ""], row_length=6)


def test_a_broken_model_is_not_a_number_in_a_report() -> None:
    class Broken(nn.Module):
        def forward(self, ids_BT: Tensor) -> Tensor:
            return torch.full((*ids_BT.shape, VOCAB), math.nan)

    with pytest.raises(UserError, match="not finite"):
        perplexity(Broken(), Letters(), ["abc"], row_length=6)
