"""What every package stands on and what knows nothing of language models.

Its modules are imported by name: `from nanohydra.core.config import load_config`.
"""

from nanohydra.core.errors import UserError
from nanohydra.core.registry import Table

__all__ = ["Table", "UserError"]
