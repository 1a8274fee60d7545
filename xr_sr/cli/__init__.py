"""`xr-sr`: super-resolution from the shell. The commands are in `commands`, the opening of files in `sources`.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from .commands import main

__all__ = ["main"]
