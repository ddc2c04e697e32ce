"""Requests made from the server's own OpenAPI document: nothing fails, nothing is undocumented."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from nanohydra.testing import FakeChat
from nanohydra.testing_learning import FakeLearning
from tests.server.models import open_app

schemathesis = pytest.importorskip("schemathesis")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
NUM_EXAMPLES = 12


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    chat = FakeChat(context_length=200)
    folder = tmp_path_factory.mktemp("fuzz")
    hosts = ("testserver",)
    app, journal, _ = open_app(chat, folder, learning=FakeLearning(chat), allowed_hosts=hosts)
    with TestClient(app, base_url="http://127.0.0.1:8000"):
        yield app
    journal.close()


def operations(app: FastAPI) -> dict[str, Any]:
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
    found = (result.ok() for result in schema.get_all_operations())
    return {operation.label: operation for operation in found}


def test_every_route_keeps_what_the_document_says(app: FastAPI) -> None:
    checks = [getattr(schemathesis.checks, name) for name in CHECKS]
    problems = []
    for label, operation in operations(app).items():
        for mode in schemathesis.GenerationMode:
            try:
                run(operation, mode, checks, label)
            except schemathesis.core.failures.FailureGroup as failures:
                problems += [f"{label}: {failure!s:.500}" for failure in failures.exceptions]
    assert not problems, "\n\n".join(problems)


def run(operation: Any, mode: Any, checks: list[Any], label: str) -> None:
    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=NUM_EXAMPLES, deadline=None, database=None, derandomize=False,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(checks=checks)

    try:
        ask()
    except hypothesis.errors.Unsatisfiable:
        assert mode == schemathesis.GenerationMode.NEGATIVE, label  # nothing can be wrong with it
