"""The file in a request: a form as browsers and curl send it, or the bare bytes with a name.

Follows RFC 7578 as far as one file goes; other fields of a form are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message

from nanohydra.server.errors import ApiError

MAX_NAME = 200


@dataclass(frozen=True, kw_only=True)
class File:
    """A file's own name, without folders, and its bytes."""

    name: str
    content: bytes


def read_file(content_type: str, body: bytes, name: str = "") -> File:
    """The file that a request brings. Raises ApiError 400 where there is none, or no name."""
    if content_type.lower().startswith("multipart/form-data"):
        name, body = first_file(content_type, body)
    # Windows clients may send a whole path.
    short = re.split(r"[\\/]", name.strip())[-1][-MAX_NAME:]
    if not short:
        message = "give the file a name: /learn/upload?name=notes.txt, or send a form with a file"
        raise ApiError(400, message, param="name", code="missing_required_parameter")
    return File(name=short, content=body)


def first_file(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Name and bytes of the first file in a form."""
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise ApiError(400, "the form has no boundary", code="invalid_form")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("latin-1"))
    for part in parts[1:]:
        head, found, content = part.partition(b"\r\n\r\n")
        if not found or part.startswith(b"--"):
            continue
        for line in head.decode("utf-8", "replace").split("\r\n"):
            key, _, value = line.partition(":")
            if key.strip().lower() == "content-disposition":
                name = parameter(value, "filename")
                if name:
                    return name, content
    raise ApiError(400, "the form holds no file", param="file", code="missing_required_parameter")


def parameter(header: str, name: str) -> str:
    """A parameter of a header, such as the boundary; empty if it is not there."""
    message = Message()
    message["content-type"] = header.strip()
    value = message.get_param(name)
    if isinstance(value, tuple):  # RFC 2231: charset, language, text
        return str(value[2])
    return str(value) if value else ""
