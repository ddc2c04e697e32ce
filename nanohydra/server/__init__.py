"""Messages over HTTP: the OpenAI API, the journal of conversations, and the web page."""

from typing import TYPE_CHECKING

from nanohydra.core.lazy import lazy_names
from nanohydra.server.config import ServerConfig

if TYPE_CHECKING:
    from nanohydra.server.app import create_app
    from nanohydra.server.run import serve

__all__ = ["ServerConfig", "create_app", "serve"]
__getattr__ = lazy_names(
    __name__, {"create_app": "nanohydra.server.app", "serve": "nanohydra.server.run"}
)
