"""The table of `list_models`: a DataFrame that has its columns by their names in an earlier release too."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..arguments import former_name
from ..errors import warn_caller

_OLD = {"licence": "license"}
"""Columns by their names in an earlier release, with the new ones."""


class ModelTable(pd.DataFrame):
    """A DataFrame in which columns of an earlier release issue a FutureWarning; what is made of it is a DataFrame.

    They are read by `[]`, alone or in a list, by `.get` and as attributes; `.loc` and `.query` have the new ones only.
    """

    licence = former_name("licence", "license")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__([_present(one) for one in key] if isinstance(key, list) else _present(key))


def _present(key: Any) -> Any:
    """Return the present name of a column."""
    if not (isinstance(key, str) and key in _OLD):
        return key
    warn_caller(f"the column {key!r} is now spelled {_OLD[key]!r}; the old spelling will be removed.", FutureWarning)
    return _OLD[key]
