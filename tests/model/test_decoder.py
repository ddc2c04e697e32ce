"""The decoder's contract, over every layer type, position kind and feed-forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from nanohydra.model import FEED_FORWARDS, MIXERS, Decoder, ModelConfig

STYLES = {
    "qwen3": {},
    "gpt2": {
        "norm": "layernorm",
        "position": "learned",
        "feed_forward": "gelu",
        "bias": True,
        "qk_norm": False,
    },
    "sinusoidal": {"position": "sinusoidal", "qk_norm": False},
    "relu2": {"feed_forward": "relu2", "tie_embeddings": False},
    "multi-query": {"num_kv_heads": 1, "head_dim": 6},
    "gemma": {
        "feed_forward": "geglu",
        "norm_place": "both",
        "norm_unit_offset": True,
        "query_pre_attn_scalar": 5.0,
        "attention_softcap": 2.0,
        "logit_softcap": 3.0,
        "rope_local_theta": 50.0,
        "scale_embeddings": True,
    },
    "olmo2": {"norm_place": "post", "qk_norm_span": "all", "bias_on": ("qkv",), "head_dim": 10},
    "partial": {"qk_norm": False, "rotary_dim": 4, "bias_on": ("output", "feed_forward")},
}
WINDOW = 5  # shorter than every text below
LAYERS = {**{name: (name,) for name in MIXERS}, "hybrid": tuple(sorted(MIXERS))}


def build(layer_types: tuple[str, ...] = ("full",), **changes: object) -> Decoder:
    """A small model whose weights are all random, so that nothing is multiplied by zero."""
    shape = {"vocab_size": 50, "hidden_size": 32, "num_layers": 3, "max_seq_len": 40}
    heads = {"num_heads": 4, "num_kv_heads": 2}
    torch.manual_seed(0)
    window = {"sliding_window": WINDOW} if "sliding" in layer_types else {}
    settings: dict[str, Any] = {**shape, **heads, **window, **changes, "layer_types": layer_types}
    model = Decoder(ModelConfig(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(params=[(style, layer) for style in STYLES for layer in LAYERS], ids="-".join)
def model(request: pytest.FixtureRequest) -> Decoder:
    style, layer = request.param
    return build(LAYERS[layer], **STYLES[style])


def ids(batch: int, length: int) -> torch.Tensor:
    return torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(1))


def test_every_feed_forward_is_covered() -> None:
    used = {str(style.get("feed_forward", "swiglu")) for style in STYLES.values()}
    assert used == set(FEED_FORWARDS)


def test_never_looks_ahead(model: Decoder) -> None:
    a = ids(2, 12)
    b = a.clone()
    b[:, 7:] = (b[:, 7:] + 1) % 50
    torch.testing.assert_close(model(a)[:, :7], model(b)[:, :7])
    assert not torch.allclose(model(a)[:, 7:], model(b)[:, 7:])


def test_gradients_are_finite_and_reach_every_weight(model: Decoder) -> None:
    model.train()
    loss = torch.nn.functional.cross_entropy(model(ids(2, 12)).flatten(0, 1), ids(24, 1)[:, 0])
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_step_by_step_equals_one_pass(model: Decoder) -> None:
    x = ids(3, 14)
    state = model.init_state(5, 20)
    rows = torch.tensor([4, 0, 2])
    parts = [model(x[:, :5], state=state, rows=rows)]
    parts += [model(x[:, t : t + 1], state=state, rows=rows) for t in range(5, 9)]
    parts += [model(x[:, 9:], state=state, rows=rows)]
    torch.testing.assert_close(torch.cat(parts, 1), model(x), atol=2e-5, rtol=1e-4)
    assert state.lengths.tolist() == [14, 0, 14, 0, 14]


def test_rows_of_different_lengths_decode_together(model: Decoder) -> None:
    x = ids(3, 16)
    state = model.init_state(3, 20)
    for row, length in enumerate((3, 9, 6)):
        model(x[row : row + 1, :length], state=state, rows=torch.tensor([row]))
    nexts = torch.stack([x[row, length] for row, length in enumerate((3, 9, 6))])[:, None]
    together = model(nexts, state=state)
    for row, length in enumerate((3, 9, 6)):
        alone = model(x[row : row + 1, : length + 1])[:, -1]
        torch.testing.assert_close(together[row], alone, atol=2e-5, rtol=1e-4)
        step = model(
            x[row : row + 1, length + 1 : length + 2], state=state, rows=torch.tensor([row])
        )
        whole = model(torch.cat([x[row : row + 1, : length + 2]], 1))[:, -1:]
        torch.testing.assert_close(step, whole, atol=2e-5, rtol=1e-4)


def test_a_window_hides_what_lies_before_it() -> None:
    model = build(("sliding",), num_layers=1)
    a = ids(1, 12)
    b = a.clone()
    b[:, 3] = (b[:, 3] + 1) % 50
    same = (model(a) == model(b)).all(-1)[0].tolist()
    assert same == [True] * 3 + [False] * WINDOW + [True] * 4


def test_a_long_window_changes_nothing() -> None:
    full = build(("full",))
    wide = build(("sliding",), sliding_window=12)
    x = ids(2, 12)
    torch.testing.assert_close(full(x), wide(x))


def test_tables_grow_with_the_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    x = ids(1, 30)
    expected = build(rope_local_theta=50.0, sliding_window=4, layer_types=("full", "sliding"))(x)
    monkeypatch.setattr("nanohydra.model.rope.FIRST_LENGTH", 3)
    fields = {"rope_local_theta": 50.0, "sliding_window": 4}
    for given in ({}, {"positions_BT": torch.arange(30)[None]}):
        model = build(("full", "sliding"), **fields)
        torch.testing.assert_close(model(x, **given), expected)
    model = build(("full", "sliding"), **fields)
    state = model.init_state(1, 40)
    steps = [model(x[:, t : t + 1], state=state) for t in range(30)]
    torch.testing.assert_close(torch.cat(steps, 1), expected, atol=2e-5, rtol=1e-4)
    with pytest.raises(AssertionError, match="more places"):
        build(layer_types=("full",))(ids(1, 41))


def test_packed_equals_separate(model: Decoder) -> None:
    x = ids(1, 12)
    positions = torch.tensor([[*range(7), *range(5)]])
    segments = torch.tensor([[0] * 7 + [1] * 5])
    packed = model(x, positions_BT=positions, segments_BT=segments)
    torch.testing.assert_close(packed[:, :7], model(x[:, :7]), atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(packed[:, 7:], model(x[:, 7:]), atol=2e-5, rtol=1e-4)


def test_a_fork_continues_on_its_own(model: Decoder) -> None:
    x = ids(1, 10)
    state = model.init_state(2, 20)
    model(x[:, :6], state=state, rows=torch.tensor([0]))
    state.fork(0, 1)
    model((x[:, 6:8] + 1) % 50, state=state, rows=torch.tensor([0]))
    continued = model(x[:, 6:], state=state, rows=torch.tensor([1]))
    torch.testing.assert_close(continued, model(x)[:, 6:], atol=2e-5, rtol=1e-4)


def test_a_reset_row_starts_afresh(model: Decoder) -> None:
    x = ids(1, 8)
    state = model.init_state(1, 20)
    model((x + 3) % 50, state=state)
    state.reset(0)
    torch.testing.assert_close(model(x, state=state), model(x), atol=2e-5, rtol=1e-4)


def test_state_bytes_are_those_of_its_tensors(model: Decoder) -> None:
    state = model.init_state(2, 16)
    tensors = [t for layer in state.layers for t in vars(layer).values() if torch.is_tensor(t)]
    assert state.num_bytes == sum(t.numel() * t.element_size() for t in tensors) > 0


def test_a_full_state_is_an_error() -> None:
    state = build().init_state(1, 4)
    with pytest.raises(AssertionError, match="full"):
        build()(ids(1, 5), state=state)


def test_bfloat16_stays_near_float32(model: Decoder) -> None:
    x = ids(2, 12)
    exact = model(x)
    rough = model.to(torch.bfloat16)(x).float()
    assert (rough - exact).norm() / exact.norm() < 0.05


def test_dropout_acts_in_training_only() -> None:
    model = build(dropout=0.5)
    x = ids(1, 8)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_a_new_model_is_its_embedding_alone() -> None:
    config = ModelConfig(vocab_size=50, hidden_size=32, num_layers=2, num_heads=4, num_kv_heads=2)
    model = Decoder(config)
    x = ids(1, 8)
    torch.testing.assert_close(model.hidden(x), model.final_norm(model.embed(x)))
