"""Zarr stores that are written in blocks, resumed and extended, and read back.

In reading order: `write` is the entry point; `content` takes an object apart; `times` and `encoding` say how dates and
values are stored, `layout` how pixels are cut; `template` writes all metadata as `documents`; `run` does the work with
the tasks of `blocks` and keeps the `ledger`; `record` is what a store says of itself; `growth` checks whether later
dates fit; `target` is the place; `read` opens it. Imports go one way only. One call at a time writes: it holds a
`claim`, which names its `owner`; `stores` creates it exclusively and hides it from listings. `reach` checks whether
workers reach the store, `verification` whether it is complete, in a `report`.
"""

from __future__ import annotations

from .read import open_zarr
from .report import Verification
from .verification import verify
from .write import to_zarr

__all__ = ["Verification", "open_zarr", "to_zarr", "verify"]
