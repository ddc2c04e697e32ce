"""Errors as the OpenAI API words them: one exception class and the handlers that send it.

Every refusal of the server passes here, so that a client sees one shape:
`{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from nanohydra.chat import UnknownConversation
from nanohydra.core.errors import UserError
from nanohydra.server.disconnect import CLIENT_GONE, ClientGone

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


class ErrorBody(BaseModel):
    """What is wrong, and with which field."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """Every refusal has this shape."""

    error: ErrorBody


# What every route may answer instead, for the OpenAPI document.
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": words}
    for status, words in {
        400: "The request is wrong; `param` names the field.",
        401: "The key is missing or wrong.",
        403: "The host or the origin is not allowed.",
        404: "There is no such thing.",
        413: "The body is too large.",
        429: "Too much is under way; come back after `Retry-After` seconds.",
        503: "The model is loading, or the server is shutting down.",
    }.items()
}

# A reply in one piece, or as events where the request asks for them.
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "text/event-stream": {}}}
}

# Where a value may be of several types, the place in it names the type that was tried as well.
FIELD = re.compile(r"(?!(str|int|float|bool|none)$)[a-z_]+")


class ApiError(Exception):
    """A refusal with its HTTP status. `param` names the field of the request at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON object of the reply."""
        kind = KINDS.get(self.status, "server_error")
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        """The whole reply."""
        return JSONResponse(self.body(), self.status, headers=self.headers)


def field_name(path: Sequence[str | int]) -> str:
    """A place in a JSON body as a person writes it: `messages[0].content`."""
    name = ""
    for part in path:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def from_validation(error: RequestValidationError) -> ApiError:
    """The first thing wrong with a request, in words that name the field."""
    first = error.errors()[0]
    # Of the types that a value may have, the one that it fits best fails the deepest.
    same = [each for each in error.errors() if each["loc"][:2] == first["loc"][:2]]
    first = max(same, key=lambda each: len(each["loc"]))
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return ApiError(400, f"the body is not valid JSON: {reason}", code="invalid_json")
    place = [part for part in first["loc"][1:] if isinstance(part, int) or FIELD.fullmatch(part)]
    if not place:
        return ApiError(400, "the body must be a JSON object, sent as application/json")
    name = field_name(place)
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    words = str(first["msg"]).removeprefix("Value error, ")
    return ApiError(400, f"{name}: {words[:1].lower()}{words[1:]}", param=name, code=code)


def install(app: FastAPI) -> None:
    """Send every kind of refusal in the one shape. Failures (500) are sent by the envelope."""

    @app.exception_handler(ApiError)
    async def on_api_error(_: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def on_validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return from_validation(error).response()

    @app.exception_handler(UnknownConversation)
    async def on_unknown(_: Request, error: UnknownConversation) -> JSONResponse:
        return ApiError(404, str(error), code="conversation_not_found").response()

    @app.exception_handler(UserError)
    async def on_user_error(_: Request, error: UserError) -> JSONResponse:
        return ApiError(400, str(error), code="invalid_value").response()

    @app.exception_handler(ClientGone)
    async def on_gone(request: Request, _: ClientGone) -> Response:
        request.state.log["client_gone"] = True
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        words = {
            404: f"there is nothing at {request.url.path}",
            405: f"{request.method} is not possible at {request.url.path}",
        }
        message = words.get(error.status_code, str(error.detail))
        return ApiError(error.status_code, message, headers=error.headers).response()
