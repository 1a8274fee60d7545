"""Zarr stores that are written in blocks, resumed and extended, and read back.

In reading order: `write` is the door, `content` takes an object apart, with `plain` for what is small, `encoding` and
`layout` say how pixels lie and are cut, `template` writes all metadata, `run` does the work with the tasks of `blocks`
and keeps the `ledger`, `record` is what a store says of itself, `growth` says whether later dates go with it, `target`
is the place it lies in, `read` opens it. Imports go one way only. One call at a time writes: it holds a `claim`, which
names its `owner`, is created by `exclusive` and hidden from zarr's listings by `members`. `reach` says whether workers
reach the store, `verification` whether it is whole, in a `report`.
"""

from __future__ import annotations

from .read import open_zarr
from .report import Verification
from .verification import verify
from .write import to_zarr

__all__ = ["Verification", "open_zarr", "to_zarr", "verify"]
