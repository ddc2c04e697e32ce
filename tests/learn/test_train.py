from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from nanohydra.adapters import AdapterWeights
from nanohydra.adapters.base import exact_hash
from nanohydra.adapters.lora import attach, attach_weights
from nanohydra.checkpoint import Loaded
from nanohydra.core.errors import UserError
from nanohydra.core.types import IGNORE, Conversation, Document, Message
from nanohydra.learn import near_misses as module
from nanohydra.learn.anchors import PRIMER_DOMAINS, Anchors, anchor_records, domains_of
from nanohydra.learn.config import AdapterTrainConfig, AnchorConfig, LearnConfig
from nanohydra.learn.near_misses import MAX_NEW_TOKENS, PLAIN, change_name, near_misses
from nanohydra.learn.probes import Probes
from nanohydra.learn.replies import Reply, reply_to_all
from nanohydra.learn.samples import Mixture, Sample, encode_item, encode_record, pack
from nanohydra.learn.study import Study, StudyItem
from nanohydra.learn.train import Stopped, predicted, rate_factor, train_adapter

Settings = Callable[..., LearnConfig]
Items = Callable[..., tuple[StudyItem, ...]]
ANCHORS = (
    Document(text="The printer is on the floor."),
    Conversation(
        messages=(
            Message(role="user", content="Who is there?"),
            Message(role="assistant", content="It is me."),
        )
    ),
)


NO_ANCHORS = Anchors([], torch.zeros(0, 32))


def held_to(loaded: Loaded) -> Anchors:
    """The two anchors, every token of them."""
    encoded = [encode_record(loaded.tokenizer, r, 48, whole=True) for r in ANCHORS]
    return Anchors.of(loaded.model, encoded)


def sample(*ids: int, place: int = -1, first: int = 1) -> Sample:
    return Sample(ids=ids, mask=tuple(n >= first for n in range(len(ids))), place=place)


def test_loss_is_on_the_answer_and_its_end_alone(
    loaded: Loaded, make_item: Callable[..., StudyItem]
) -> None:
    encoded = encode_item(loaded.tokenizer, make_item("Who?", "Me.", "Me"), 64)
    learned = [id for id, on in zip(encoded.ids, encoded.mask, strict=True) if on]
    assert learned == [*loaded.tokenizer.encode("Me."), loaded.tokenizer.end_id]
    cut = encode_item(loaded.tokenizer, make_item("Who? " * 40, "Me.", "Me"), 64)
    assert len(cut.ids) == 64 and cut.ids[0] == loaded.tokenizer.bos_id
    assert cut.num_targets == 4  # the answer is never cut


def test_packed_rows_restart_and_shift_within_each_sample() -> None:
    rows = pack([[sample(1, 2, 3), sample(4, 5, first=1)], [sample(6, 7, 8, 9, first=3)]])
    assert rows.batch.ids_BT.tolist() == [[1, 2, 4], [6, 7, 8]]
    assert rows.batch.labels_BT.tolist() == [[2, 3, 5], [IGNORE, IGNORE, 9]]
    assert rows.batch.positions_BT.tolist() == [[0, 1, 0], [0, 1, 2]]
    assert rows.batch.segments_BT.tolist() == [[0, 0, 1], [0, 0, 0]]
    held = pack([[sample(1, 2, 3, place=5, first=2), sample(4, 5)]])
    assert held.places_BT.tolist() == [[-1, 5, -1]]
    assert held.batch.labels_BT.tolist() == [[IGNORE, IGNORE, 5]]


def test_the_mixture_draws_all_before_any_again_and_keeps_its_shares() -> None:
    pools = {"new": [sample(*range(9))] * 30, "replay": [sample(*range(5))] * 7, "none": []}
    mixture = Mixture(pools, {"new": 0.6, "replay": 0.2, "none": 0.2}, row_length=32, seed=0)
    seen = sum(int((mixture.rows(2).batch.segments_BT >= 0).sum()) for _ in range(40))
    assert seen > 2000
    total = sum(mixture.tokens.values())
    assert abs(mixture.tokens["new"] / total - 0.75) < 0.01  # the empty pool's share is given up
    drawn: list[int] = []
    order = Mixture({"new": [sample(n, n) for n in range(10)]}, {"new": 1.0}, row_length=1, seed=3)
    for _ in range(20):
        drawn += order.rows(1).batch.ids_BT[0].tolist()
    for start in (0, 10):  # the packer's buffer holds more than one epoch, in order
        assert sorted(drawn[start : start + 10]) == list(range(10))
    assert drawn[:10] != drawn[10:]


def test_divergence_is_zero_for_the_base_and_its_gradient_too(loaded: Loaded) -> None:
    model = loaded.model
    anchors = held_to(loaded)
    rows = pack([anchors.samples])
    attached = attach(model, LearnConfig().lora)
    batch = rows.batch
    x_BTD = model.hidden(
        batch.ids_BT, positions_BT=batch.positions_BT, segments_BT=batch.segments_BT
    )
    kl = anchors.divergence(model, x_BTD, rows.places_BT)
    assert kl is not None and float(kl.detach()) < 1e-6
    with torch.no_grad():
        for layer in attached.layers.values():
            layer.lora_b.normal_(std=0.3)
    moved = anchors.divergence(model, model.hidden(batch.ids_BT), rows.places_BT)
    assert moved is not None and float(moved.detach()) > 1e-3
    assert anchors.divergence(model, x_BTD, torch.full_like(rows.places_BT, -1)) is None


def test_joined_anchors_keep_what_the_base_said(loaded: Loaded) -> None:
    both = held_to(loaded)
    encoded = [encode_record(loaded.tokenizer, r, 48, whole=True) for r in ANCHORS]
    joined = Anchors.of(loaded.model, encoded[:1]).joined(Anchors.of(loaded.model, encoded[1:]))
    for anchors in (both, joined):
        for each in anchors.samples:
            with torch.no_grad():
                x_BTD = loaded.model.hidden(torch.tensor([each.ids[:-1]]))
            here = anchors.hidden_ND[each.place : each.place + each.num_targets]
            torch.testing.assert_close(here, x_BTD[0], rtol=1e-4, atol=1e-5)


def test_divergence_is_the_mean_of_kl_over_tokens(loaded: Loaded) -> None:
    model = loaded.model
    anchors = held_to(loaded)
    held = max(anchors.samples, key=lambda s: s.place)
    rows = pack([[held]])
    ids_BT = rows.batch.ids_BT
    with torch.no_grad():
        base = model(ids_BT).log_softmax(-1)
        x_BTD = model.hidden(ids_BT) * 1.5
        here = model.unembed(x_BTD).log_softmax(-1)
        expected = (base.exp() * (base - here)).sum(-1).mean()
        kl = anchors.divergence(model, x_BTD, rows.places_BT)
    assert kl is not None
    torch.testing.assert_close(kl, expected, rtol=1e-4, atol=1e-5)


def test_training_recalls_a_fact_and_leaves_the_base_alone(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    before = exact_hash(loaded.model)
    config = settings("--train.max_steps=150", "--train.lr=0.01", "--train.check_every=10")
    seen: list[float] = []
    study = Study(items=lesson_items())
    trained = train_adapter(
        loaded, study, [], held_to(loaded), config, on_progress=lambda share, _: seen.append(share)
    )
    assert exact_hash(loaded.model) == before
    assert not any("lora" in name for name, _ in loaded.model.named_parameters())
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())
    assert trained.metrics["recall"] == 1.0 and trained.metrics["steps"] < 150
    assert seen == sorted(seen) and len(seen) == trained.metrics["steps"]
    attached = attach_weights(loaded.model, trained.weights)
    (reply,) = reply_to_all(
        loaded.model, loaded.tokenizer, [study.dev[0].messages], max_new_tokens=8
    )
    attached.detach()
    assert reply.message.content == "Heron" and reply.ended


def test_training_is_the_same_for_the_same_seed_and_leaves_the_random_state(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    study, config = Study(items=lesson_items(("train",))), settings()
    states = torch.get_rng_state(), random.getstate()
    first = train_adapter(loaded, study, [], held_to(loaded), config)
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    second = train_adapter(loaded, study, [], held_to(loaded), config)
    assert first.weights.id == second.weights.id
    assert first.metrics["steps"] == 3  # without development items the cap ends it


def test_earlier_lessons_are_left_to_their_own_versions(
    loaded: Loaded, settings: Settings, make_item: Callable[..., StudyItem]
) -> None:
    """Where an earlier lesson is asked, the new version predicts what the base does."""
    old = make_item("Where is the key?", "In May", "May", lesson="old")
    new = make_item("What is it?", "Heron", "Heron")
    held = Anchors.of(loaded.model, [encode_item(loaded.tokenizer, old, 64)])
    rows = pack([held.samples])
    change = []
    for share in (0.0, 0.5):
        words = ("--train.max_steps=120", "--train.lr=0.01", f"--mixture.replay={share}")
        study, config = Study(items=(new,)), settings(*words)
        trained = train_adapter(loaded, study, [old], NO_ANCHORS, config)
        attached = attach_weights(loaded.model, trained.weights)
        (reply,) = reply_to_all(loaded.model, loaded.tokenizer, [new.messages], max_new_tokens=8)
        with torch.no_grad():
            x_BTD = loaded.model.hidden(rows.batch.ids_BT)
            moved = held.divergence(loaded.model, x_BTD, rows.places_BT)
        assert moved is not None
        change.append(float(moved))
        attached.detach()
        assert reply.message.content == "Heron"
    assert change[1] < change[0] / 5


def test_training_stops_when_told(loaded: Loaded, settings: Settings, lesson_items: Items) -> None:
    answers = iter([False, True])
    with pytest.raises(Stopped):
        train_adapter(
            loaded, Study(items=lesson_items()), [], NO_ANCHORS, settings(),
            should_stop=lambda: next(answers),
        )  # fmt: skip
    assert not any("lora" in name for name, _ in loaded.model.named_parameters())


def test_training_ends_at_its_time_cap(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    config = settings(
        "--train.max_steps=100000", "--train.max_epochs=1e9", "--train.max_seconds=0.05"
    )
    trained = train_adapter(loaded, Study(items=lesson_items(("train",))), [], NO_ANCHORS, config)
    assert 1 <= trained.metrics["steps"] < 100


def test_the_caps_follow_from_how_much_there_is_to_learn(
    loaded: Loaded, settings: Settings, make_item: Callable[..., StudyItem]
) -> None:
    words = (
        "--train.max_epochs=3", "--train.max_steps=1000", "--train.rows_per_step=2",
        "--train.min_steps=2",
    )  # fmt: skip
    steps = {}
    for count in (4, 40):
        asked = [make_item(f"What is number {n}?", "Heron", "Heron") for n in range(count)]
        study = Study(items=tuple(asked))
        trained = train_adapter(loaded, study, [], NO_ANCHORS, settings(*words))
        steps[count] = trained.metrics["steps"]
    assert steps[40] > 5 * steps[4]
    more = train_adapter(loaded, study, [], NO_ANCHORS, settings(*words, "--train.min_steps=90"))
    assert more.metrics["steps"] == 90 > steps[40]
    earlier = [make_item("Where is number 99?", "Here", "Here")]
    words = (*words, "--train.min_steps=90", "--train.replay_factor=1.5")
    replaying = train_adapter(loaded, study, earlier, NO_ANCHORS, settings(*words))
    assert replaying.metrics["steps"] == 135


def test_nothing_to_train_on_is_a_users_mistake(
    loaded: Loaded, settings: Settings, lesson_items: Items
) -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        train_adapter(loaded, Study(items=lesson_items(("dev",))), [], NO_ANCHORS, settings())


def test_predicting_every_token_is_what_greedy_decoding_says(
    loaded: Loaded, make_item: Callable[..., StudyItem]
) -> None:
    model, tokenizer = loaded.model, loaded.tokenizer
    asked = make_item("Who?", "x", "x")
    ids, prompt = [], encode_item(tokenizer, asked, 64).ids[:-2]
    with torch.no_grad():
        for _ in range(5):
            ids.append(int(model(torch.tensor([[*prompt, *ids]]))[0, -1].argmax()))
    mask = (*[False] * len(prompt), *[True] * len(ids))
    wrong = [*ids[:-1], (ids[-1] + 1) % tokenizer.vocab_size]
    both = [Sample(ids=(*prompt, *each), mask=mask) for each in (wrong, ids)]
    longer = Sample(ids=(*prompt, *prompt, *ids), mask=(*[False] * len(prompt), *mask))
    assert predicted(model, [*both, longer])[:2] == [False, True]


@pytest.mark.parametrize(
    ("question", "kept", "gone"),
    [
        ("Where does Mara Quill live?", "Where does ", "Mara Quill"),
        ("What is the printer on our floor called?", " on our floor called?", "printer"),
        ("Ann Lee lives where?", "Ann ", "Lee"),
    ],
)
def test_a_near_miss_asks_about_another_name(question: str, kept: str, gone: str) -> None:
    changed = change_name(question, random.Random(0))
    assert changed is not None and kept in changed and gone not in changed
    assert change_name("Why?", random.Random(0)) is None


def test_near_misses_are_answered_as_the_base_does_or_plainly(
    loaded: Loaded, make_item: Callable[..., StudyItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [make_item(f"Where does Mara {w}?", "In Rome.", "Rome") for w in ("live", "eat")]
    for missed in near_misses(loaded, asked, count=4, seed=0):
        (own,) = reply_to_all(
            loaded.model, loaded.tokenizer, [missed.messages], max_new_tokens=MAX_NEW_TOKENS
        )
        # a random model abstains from nothing, so it is to say what it says
        assert missed.answer == own.message.content and missed.by_base
        assert "Mara" not in missed.messages[-1].content
    said = ["I do not know that.", "In Paris."]
    replies = [
        Reply(ids=(), message=Message(role="assistant", content=text), ended=True) for text in said
    ]
    monkeypatch.setattr(module, "reply_to_all", lambda *_, **__: replies)
    found = near_misses(loaded, asked, count=4, seed=0)
    assert [m.answer for m in found] == [said[0], PLAIN] and [m.by_base for m in found] == [
        True,
        False,
    ]


def test_anchors_of_both_sides_share_no_text(loaded: Loaded) -> None:
    domains = (*PRIMER_DOMAINS, "general", "own_text")
    config = AnchorConfig(domains=domains, sequences=10, heldout_sequences=10)
    sides = [anchor_records(loaded, config, "train"), anchor_records(loaded, config, "test")]
    assert [set(side) for side in sides] == [set(domains)] * 2
    one, other = ({str(r) for rs in side.values() for r in rs} for side in sides)
    assert len(one) > 50 and not one & other


def test_a_model_is_held_to_what_it_was_trained_on_or_to_its_own_answers(loaded: Loaded) -> None:
    none = AnchorConfig()
    assert domains_of(loaded, none) == ("general", "own_text")
    assert domains_of(loaded, AnchorConfig(domains=("stories",))) == ("stories",)
    recipe = {"data": {"sft": {"sources": {"talk": {"kind": "primer"}}}}}
    assert domains_of(replace(loaded, manifest={"recipe": recipe}), none) == PRIMER_DOMAINS
    records, texts = anchor_records(loaded, AnchorConfig(sequences=3), "train").values()
    question, answer = records[0].messages  # type: ignore[union-attr]
    (reply,) = reply_to_all(loaded.model, loaded.tokenizer, [(question,)], max_new_tokens=64)
    assert answer == reply.message
    (text,) = texts
    assert isinstance(text, Document) and text.text.startswith("The moon")
    assert len(text.text) > len("The moon")
    again = anchor_records(loaded, AnchorConfig(sequences=3), "train")["own_text"]
    assert again == [text]


def test_a_model_that_answers_nothing_is_held_to_its_texts(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanohydra.learn.anchors.answered_by_base", lambda *_: [])
    config = AnchorConfig(sequences=3, heldout_sequences=3)
    assert set(anchor_records(loaded, config, "train")) == {"own_text"}
    probes = Probes(loaded, LearnConfig(anchors=config))
    assert set(probes.sequences) == {"own_text"} and {p.domain for p in probes.prompts} == {
        "own_text"
    }
    monkeypatch.undo()
    probes = Probes(loaded, LearnConfig(anchors=config))
    assert set(probes.sequences) == {"general", "own_text"}
    assert {p.domain for p in probes.prompts} == {"general"}


def test_the_rate_rises_stays_and_falls_at_the_end() -> None:
    config = LearnConfig(train=AdapterTrainConfig(warmup_steps=4, settle_steps=3)).train
    factors = [rate_factor(config, step, 10) for step in range(1, 11)]
    assert factors == [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--train.lr=0", "learn.train.lr is 0"),
        ("--mixture.replay=0.9", "leave nothing for the new lessons"),
        ("--gate.min_recall=2", "learn.gate.min_recall is 2"),
        ("--retry.attempts=9", "learn.retry.attempts is 9"),
        ("--learner.nice=-5", "learn.learner.nice is -5"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: Settings, word: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings(word)


def test_before_the_last_steps_the_update_is_multiplied(
    loaded: Loaded, settings: Settings, make_item: Callable[..., StudyItem]
) -> None:
    study = Study(items=(make_item("What is the printer called?", "Heron", "Heron"),))
    words = ("--train.max_steps=6", "--train.settle_steps=1", "--train.min_steps=6")

    def weights(*more: str) -> AdapterWeights:
        return train_adapter(loaded, study, [], NO_ANCHORS, settings(*words, *more)).weights

    plain, more = weights("--train.emphasis=1"), weights("--train.emphasis=3")
    ratios = [
        float(more.pairs[name].b_OR.norm() / pair.b_OR.norm()) for name, pair in plain.pairs.items()
    ]
    assert 2.5 < sum(ratios) / len(ratios) < 3.5
