"""The table of `list_models`: a DataFrame that has its columns by their names in an earlier release too."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..errors import warn_caller

__all__ = ["ModelTable"]

_OLD = {"licence": "license"}
"""Columns by their names in an earlier release, with the new ones."""


class ModelTable(pd.DataFrame):
    """A DataFrame in which columns of an earlier release issue a FutureWarning; what is made of it is a DataFrame."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in _OLD:
            warn_caller(
                f"the column {key!r} is now spelled {_OLD[key]!r}; the old spelling will be removed.", FutureWarning
            )
            key = _OLD[key]
        return super().__getitem__(key)
