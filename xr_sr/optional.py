"""Import libraries that are installed with an extra, or raise an error that names the extra."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .errors import MissingLibraryError


def require(module: str, extra: str) -> ModuleType:
    """Import a library that the named extra of this package installs.

    Raises MissingLibraryError, which says how to install it, if it is absent; a library that is there and cannot be
    imported raises its own error.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        if error.name != library:
            raise
        raise MissingLibraryError(
            f"{library} is not installed; run: pip install 'xr-sr[{extra}]'", name=library
        ) from error
