"""`xr-sr`: super-resolution from the shell.

The commands are in `commands`, `scenes` (load) and `floods`; what they share in `options`; `shell` translates messages.
Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from ..errors import MissingLibraryError
from ..optional import require

try:
    require("click", extra="cli")
except MissingLibraryError as error:
    raise SystemExit(f"Error: {error}.") from error

from . import floods as _floods  # each adds its command
from . import scenes as _scenes
from .commands import main

__all__ = ["main"]

del _floods, _scenes
