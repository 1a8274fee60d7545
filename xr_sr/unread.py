"""Arrays that xarray opened and has not read: as dask arrays they stay unread through arithmetic and transposing."""

from __future__ import annotations

import xarray as xr


def is_unread(array: xr.DataArray) -> bool:
    """Tell whether an array lies in a file still, and is not of dask."""
    # xarray says it nowhere in public; without the answer all counts as read, and is only read earlier.
    return array.chunks is None and not getattr(array.variable, "_in_memory", True)


def kept_unread(array: xr.DataArray) -> xr.DataArray:
    """Give an array that lies in a file as a dask array in the chunks of its file; any other as it is."""
    return array.chunk(array.encoding.get("preferred_chunks", {})) if is_unread(array) else array
