"""Runs a test with the C versions and without them."""

from __future__ import annotations

import pytest

from nanohydra.kernels import native


@pytest.fixture(params=["native", "plain"])
def either_kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    kind: str = request.param
    if kind == "plain":
        monkeypatch.setattr(native, "library", lambda: None)
    elif native.library() is None:
        pytest.skip("no C compiler on this machine")
    return kind
