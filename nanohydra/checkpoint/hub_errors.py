"""What went wrong with the hub, in words for a person: what happened, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanohydra.core.errors import UserError
from nanohydra.core.files import DISK_FULL

if TYPE_CHECKING:
    from nanohydra.checkpoint.hub import HubConfig
    from nanohydra.checkpoint.names import HubName

HUB = "https://huggingface.co"
NETWORK_LIBRARIES = ("httpcore", "httpx", "httpx2", "requests", "urllib3")


def is_unreachable(error: BaseException) -> bool:
    """Whether nobody answered, or only to say that the hub is out of order."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    if isinstance(error, LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return True
    return type(error).__module__.partition(".")[0] in NETWORK_LIBRARIES


def in_words(error: Exception, name: HubName, config: HubConfig) -> Exception:
    """The error as a UserError; one that is no user's matter comes back as it is."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError

    if isinstance(error, GatedRepoError):
        return UserError(_gated(name, config))
    if isinstance(error, HfHubHTTPError):
        return UserError(_refused(error, name, config))
    if isinstance(error, HFValidationError):
        return UserError(f"{str(name)!r} cannot be a name at the hub: {error}")
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return UserError(
            f"the disk is full; the files of {name} that arrived whole stay: make room and try "
            "again, or set HF_HOME to a folder on another disk"
        )
    if isinstance(error, PermissionError):
        return UserError(f"cannot write to the hub's cache: {error}; set HF_HOME to another folder")
    if is_unreachable(error):
        where = config.endpoint or "the hub"
        return UserError(
            f"{where} does not answer ({_short(error)}), and {name} is not in the cache, or not "
            "all of it; try again, when files that arrived whole are kept, or give a local folder"
        )
    if isinstance(error, OSError):  # a file of another size than announced, and the like
        return UserError(f"fetching {name} failed: {_short(error)}; try again")
    return error


def _refused(error: Exception, name: HubName, config: HubConfig) -> str:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    status = error.response.status_code  # type: ignore[attr-defined]
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{name} has no revision {name.revision!r}; {HUB}/{name}/commits/main shows its "
            "branches, tags and commits"
        )
    # Whoever is not logged in hears of a missing repository that it is not for them.
    if isinstance(error, RepositoryNotFoundError) or (status == 401 and not _has_token(config)):
        private = "if it is private, give your token as HF_TOKEN"
        if _has_token(config):
            private = "if it is private, your token does not open it"
        return f"there is no model {name} at the hub; check the spelling, or {private}"
    if status in (401, 403):
        return f"the hub refuses your token for {name} (HTTP {status}); set HF_TOKEN to a valid one"
    if status == 429:
        return "the hub asks for a pause (HTTP 429); try again in some minutes, or give HF_TOKEN"
    return f"the hub answers HTTP {status} for {name}; try again later"


def _gated(name: HubName, config: HubConfig) -> str:
    terms = f"accept its terms at {HUB}/{name} with your account"
    if _has_token(config):
        return f"{name} is gated, and your token may not read it; {terms}, or ask its owner"
    return f"{name} is gated; {terms}, make a token at {HUB}/settings/tokens, set HF_TOKEN to it"


def _has_token(config: HubConfig) -> bool:
    from huggingface_hub import get_token

    return bool(config.token or get_token())


def _short(error: BaseException) -> str:
    """The first line of an error, or its kind."""
    cause = error.__cause__ or error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
