"""The text of a PDF, page by page, with pypdf; a scan without text is refused, not guessed at."""

from __future__ import annotations

import io
import logging
import re
import time
from typing import Any

from nanohydra.core.errors import UserError
from nanohydra.memory.documents import DocumentLimits
from nanohydra.memory.embedders import optional

HYPHEN = re.compile(r"(?<=[^\W\d_])-\n(?=[a-zà-öø-ÿ])")  # a word divided at the end of a line
MIN_CHARACTERS = 8  # of letters and digits on all pages together; scans carry a stamp or nothing


def read_pdf(name: str, data: bytes, limits: DocumentLimits) -> str:
    """The text of the pages, with an empty line between them.

    Raises UserError for what is no PDF or damaged, needs a password, is too long, takes too long,
    or has no text.
    """
    pypdf = optional("pypdf", "reading .pdf")
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of every blemish
    if b"%PDF-" not in data[:1024]:
        raise UserError(f"{name} is no PDF")
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UserError(f"{name} needs a password; save it without one")
        if len(reader.pages) > limits.pages:
            raise UserError(
                f"{name} has {len(reader.pages):,} pages; the limit is {limits.pages:,}: split it"
            )
        text = _text_of(reader, name, limits)
        num_pages = len(reader.pages)
    except UserError:
        raise
    except Exception as error:  # damaged files raise anything in there
        raise UserError(f"cannot read {name}, it seems to be damaged: {error}") from error
    if sum(character.isalnum() for character in text) < MIN_CHARACTERS:
        raise UserError(
            f"{name} has {num_pages} page{'s' if num_pages != 1 else ''} but no text: it seems to "
            "be a scan; run it through text recognition (OCR) first"
        )
    return HYPHEN.sub("", text)


def _text_of(reader: Any, name: str, limits: DocumentLimits) -> str:
    """The pages' texts; stops with a UserError as soon as a limit is passed."""
    deadline = time.monotonic() + limits.seconds
    pages: list[str] = []
    for page in reader.pages:
        pages.append(page.extract_text().strip())
        if time.monotonic() > deadline:
            raise UserError(
                f"{name} takes more than {limits.seconds:g} s to read "
                f"({len(pages)} of {len(reader.pages)} pages): split it"
            )
        if sum(map(len, pages)) > limits.characters:
            raise UserError(
                f"{name} has more than {limits.characters:,} characters, which is the limit: "
                "split it"
            )
    return "\n\n".join(page for page in pages if page)
