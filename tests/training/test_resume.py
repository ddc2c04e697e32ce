"""Interrupted and resumed equals uninterrupted, bit for bit; states are whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nanohydra.core.errors import UserError
from nanohydra.data import Loader, LoaderConfig, Shards, ShardWriter
from nanohydra.training import Checkpointer, TrainConfig, train

CONFIG = TrainConfig(
    steps=12, rows_per_step=4, row_length=24, micro_rows=2, warmup_steps=3, log_every=4
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    folder = tmp_path_factory.mktemp("resume") / "made"
    generator = torch.Generator().manual_seed(0)
    with ShardWriter(folder, vocab_size=23, pad_id=1, fingerprint="none") as writer:
        for _ in range(60):
            length = int(torch.randint(2, 20, (), generator=generator))
            ids = torch.randint(2, 23, (length,), generator=generator).tolist()
            writer.add(ids, [i % 3 > 0 for i in range(length)])
    return Shards(folder)


def loader_of(shards: Shards, packing: str) -> Loader:
    config = LoaderConfig(
        rows_per_batch=4, row_length=24, packing=packing, total_batches=12, buffer_size=8
    )
    return Loader({"made": shards}, config)


def run(model, shards, packing, config, runtime, **more):
    torch.manual_seed(3)  # dropout continues from the saved state, not from here
    result = train(model, loader_of(shards, packing), config, runtime=runtime, **more)
    return {name: p.detach().clone() for name, p in model.named_parameters()}, result


@pytest.mark.parametrize("packing", ["crop", "pad"])  # pretraining, SFT
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resumed_equals_uninterrupted(
    make_model, shards, request, tmp_path, packing, optimizer, precision
) -> None:
    runtime = request.getfixturevalue(precision)
    config = replace(CONFIG, optimizer=optimizer)
    expected, _ = run(make_model(dropout=0.1), shards, packing, config, runtime)
    checkpointer = Checkpointer(tmp_path)

    def stop(step, loss):
        if step in (5, 9):
            signal.raise_signal(signal.SIGTERM)

    result = None
    while result is None or result.stopped == "SIGTERM":
        weights, result = run(
            make_model(dropout=0.1), shards, packing, config, runtime,
            checkpointer=checkpointer, resume=result is not None, on_step=stop,
        )  # fmt: skip
        assert checkpointer.latest_step() == (9 if result.step > 9 else result.step)
    assert weights.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(weights[name], weight), name


PROGRAM = """
    import sys, time
    import torch
    from pathlib import Path
    from nanohydra.core.runtime import Runtime
    from nanohydra.data import Loader, LoaderConfig, Shards
    from nanohydra.model import Decoder, ModelConfig
    from nanohydra.training import Checkpointer, TrainConfig, train

    shards, states, result, pause = sys.argv[1:]
    torch.manual_seed(7)
    model = Decoder(ModelConfig(vocab_size=23, hidden_size=16, num_layers=2, num_heads=2,
                                num_kv_heads=1, max_seq_len=64, dropout=0.1))
    config = LoaderConfig(rows_per_batch=4, row_length=24, packing="pad", total_batches=12)
    checkpointer = Checkpointer(Path(states))

    def on_step(step, loss):
        print(step, flush=True)
        time.sleep(float(pause))

    torch.set_num_threads(1)
    done = train(model, Loader({"made": Shards(Path(shards))}, config),
                 TrainConfig(steps=12, rows_per_step=4, row_length=24),
                 runtime=Runtime("cpu", torch.bfloat16, 1), checkpointer=checkpointer,
                 resume=checkpointer.latest() is not None, on_step=on_step)
    print(done.stopped, done.step, flush=True)
    if done.stopped == "finished":
        torch.save(dict(model.state_dict()), result)
"""


def test_a_killed_process_goes_on_where_it_was(shards, tmp_path: Path) -> None:
    """A real SIGTERM from outside; the process finishes its step, saves and exits with 0."""

    def start(name: str, pause: float) -> subprocess.Popen[str]:
        words = [str(shards.folder), str(tmp_path / name), str(tmp_path / f"{name}.pt"), str(pause)]
        command = [sys.executable, "-c", textwrap.dedent(PROGRAM), *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    whole = start("whole", 0.0)
    assert whole.communicate()[0].endswith("finished 12\n") and whole.returncode == 0
    killed = start("killed", 0.3)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line == "3\n":
            killed.send_signal(signal.SIGTERM)
            break
    rest = killed.communicate()[0]
    assert killed.returncode == 0 and "SIGTERM" in rest
    resumed = start("killed", 0.0)
    first = int((resumed.stdout or iter("")).readline())
    assert resumed.communicate()[0].endswith("finished 12\n") and 4 <= first <= 12
    expected, found = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed")
    )
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_checkpoints_come_every_so_often_and_the_newest_stay(
    make_model, shards, float32, tmp_path
) -> None:
    checkpointer = Checkpointer(tmp_path / "states", keep=2)
    config = replace(CONFIG, steps=11, checkpoint_every=3)
    run(make_model(), shards, "crop", config, float32, checkpointer=checkpointer)
    assert [p.name for p in checkpointer.saved()] == ["step-00000009", "step-00000011"]
    checkpointer.clear()
    assert checkpointer.latest() is None and checkpointer.latest_step() == 0


def test_a_finished_run_resumes_to_itself_or_goes_on_further(
    make_model, shards, float32, tmp_path
) -> None:
    config = replace(CONFIG, checkpoint_every=6)
    checkpointer = Checkpointer(tmp_path)
    weights, _ = run(make_model(), shards, "crop", config, float32, checkpointer=checkpointer)
    again, result = run(
        make_model(), shards, "crop", config, float32, checkpointer=checkpointer, resume=True
    )
    assert result.step == 12 and all(torch.equal(again[n], w) for n, w in weights.items())


def test_nothing_to_resume_is_said(make_model, shards, float32, tmp_path) -> None:
    with pytest.raises(UserError, match="no saved state in"):
        run(
            make_model(), shards, "crop", CONFIG, float32, resume=True,
            checkpointer=Checkpointer(tmp_path),
        )  # fmt: skip
    with pytest.raises(UserError, match="saves no states"):
        run(make_model(), shards, "crop", CONFIG, float32, resume=True)


def test_the_state_of_another_model_is_refused(make_model, shards, float32, tmp_path) -> None:
    checkpointer = Checkpointer(tmp_path)
    config = replace(CONFIG, checkpoint_every=6)
    run(make_model(), shards, "crop", config, float32, checkpointer=checkpointer)
    for other, word in (
        (make_model(num_layers=3), "in one only"),
        (make_model(hidden_size=32), "has shape"),
    ):
        with pytest.raises(UserError, match=word):
            run(other, shards, "crop", config, float32, checkpointer=checkpointer, resume=True)
