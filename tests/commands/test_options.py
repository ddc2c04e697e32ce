"""What commands take from a model's folder before they load it."""

from __future__ import annotations

from pathlib import Path

from nanohydra.commands.options import sampling_defaults
from nanohydra.core.files import write_json


def test_replies_are_drawn_as_the_makers_state(tmp_path: Path) -> None:
    assert sampling_defaults(tmp_path, None) == {"temperature": 0.7}
    stated = {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [2]}
    write_json(tmp_path / "generation_config.json", stated)
    del stated["eos_token_id"]
    assert sampling_defaults(tmp_path, None) == stated
    assert sampling_defaults(tmp_path, 0.0) == {**stated, "temperature": 0.0}
