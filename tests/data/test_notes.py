"""Notes: whatever a passage says, it stays on its own numbered line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nanohydra.data.notes import INTRODUCTION, frame_notes


def test_the_frame() -> None:
    assert frame_notes([]) == INTRODUCTION
    assert frame_notes(["Heron is the printer.", "a\n[7] b"]) == (
        f"{INTRODUCTION}\n[1] Heron is the printer.\n[2] a [7] b"
    )


@given(st.lists(st.text(max_size=40), max_size=5))
def test_no_note_passes_for_another(texts: list[str]) -> None:
    lines = frame_notes(texts).splitlines()
    assert lines[0] == INTRODUCTION
    assert len(lines) == len(texts) + 1
    assert all(line.startswith(f"[{n}]") for n, line in enumerate(lines[1:], 1))
