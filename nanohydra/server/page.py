"""The web page: static files of this package, served as they are."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
# Some systems map these to other types, and browsers then refuse a module or a font.
for ending, kind in ((".js", "text/javascript"), (".css", "text/css"), (".woff2", "font/woff2")):
    mimetypes.add_type(kind, ending)


class PageFiles(StaticFiles):
    """Static files that a browser keeps but asks about, so that an update is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with its ETag."""
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


def install(app: FastAPI) -> None:
    """Serve the page at / and its parts under /static."""

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    app.mount("/static", PageFiles(directory=STATIC), name="static")
