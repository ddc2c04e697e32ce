"""Who answers a chat request, and from what: the base, or versions and passages of its memory.

Between the request as it was read and the chat model; knows nothing of how an answer is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nanohydra.core.errors import UserError
from nanohydra.core.registry import suggest
from nanohydra.core.types import Message
from nanohydra.server.errors import ApiError
from nanohydra.server.learning import AUTO, BASE, Json, Plan
from nanohydra.server.models import known_models
from nanohydra.server.schema import ChatRequest
from nanohydra.server.service import Service


@dataclass(frozen=True, kw_only=True)
class Way:
    """What the chat model is given. `origin` joins the reply's `nanohydra` object."""

    owner: str
    messages: Sequence[Message]
    adapter: str | None = None
    origin: Json = field(default_factory=dict)


async def choose(service: Service, owner: str, body: ChatRequest) -> Way:
    """Decide once per request. Raises ApiError 404 for a model that is not here."""
    messages, name = body.to_messages(), service.config.model_name
    if service.learning is None:
        if body.model not in (None, name):
            raise unknown(str(body.model), [name])
        return Way(owner=owner, messages=messages)
    model = AUTO if body.model in (None, name) else str(body.model)
    learning = service.learning.of(owner)
    try:
        plan = await learning.plan(messages, model=model, memory=body.memory)
    except UserError as error:
        if model in (AUTO, BASE):
            raise
        known = [name, *await known_models(learning)]
        raise unknown(model, known, str(error)) from None
    return Way(owner=owner, messages=plan.messages, adapter=plan.adapter, origin=origin_of(plan))


async def pinned_adapter(service: Service, owner: str, model: str | None) -> str | None:
    """The adapter that a name stands for where nothing is asked that a memory could answer.

    Raises ApiError 404 for a model that is not here.
    """
    name = service.config.model_name
    if model in (None, name, BASE, AUTO):
        return None
    if service.learning is None:
        raise unknown(str(model), [name])
    learning = service.learning.of(owner)
    try:
        asked = [Message(role="user", content="")]
        plan = await learning.plan(asked, model=str(model), memory="off")
    except UserError as error:
        known = [name, *await known_models(learning)]
        raise unknown(str(model), known, str(error)) from None
    return plan.adapter


def base_only(service: Service, model: str | None) -> None:
    """Raise ApiError 404 for a model whose weights are not those of the served one."""
    name = service.config.model_name
    if model not in (None, name, BASE, AUTO):
        raise unknown(str(model), [name], "only the served model itself does this")


def origin_of(plan: Plan) -> Json:
    """A plan as the reply tells it."""
    return {
        "label": plan.label,
        "version": "+".join(plan.versions) or None,
        "versions": list(plan.versions),
        "lessons": [dict(lesson) for lesson in plan.lessons],
        "sources": [dict(source) for source in plan.sources],
    }


def unknown(name: str, known: Sequence[str], reason: str = "") -> ApiError:
    """The refusal of a model that is not here."""
    message = f"unknown model {name!r}; {suggest(name, known)}"
    if reason and name not in reason:
        message += f" ({reason})"
    return ApiError(404, message, param="model", code="model_not_found")
