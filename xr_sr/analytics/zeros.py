"""Pixels of an index that are unknown because of DN 0 in one of its bands: counted inside the tasks, and said.

DN 0 is nodata. Where 1000 was subtracted from DN and what is negative was cut off ("harmonised" DN), it is dark water
too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from ..radiometry.convert import Radiometry, partial_zeros
from ..spec import Tile
from ..task_warnings import Finding, note


def counting_zeros(
    bands: Mapping[str, xr.DataArray], radiometries: Mapping[str, Radiometry], reader: str
) -> dict[str, xr.DataArray]:
    """Make the tasks of some bands count the pixels that DN 0 in a part of them makes unknown; lazy.

    bands: (*lead, y, x) reflectance each, on one grid, NaN where missing. radiometries: what their numbers meant.
    reader: who wants them, for the sentence. Gives the same bands, with the same values.
    """
    first, *others = bands
    open_to_doubt = any(
        radiometry.kind == "dn" and 0.0 in radiometry.nodata and 0.0 in radiometry.offset
        for radiometry in radiometries.values()
    )
    array = bands[first]
    if not (open_to_doubt and others and all(each.dims == array.dims for each in bands.values())):
        return dict(bands)
    import dask.array as da

    counted = da.map_blocks(
        _count_zeros,
        *(each.data for each in bands.values()),
        radiometries=tuple(radiometries[band] for band in bands),
        names=tuple(bands),
        reader=reader,
        dtype=array.dtype,
        meta=array.data._meta,
    )
    return {**bands, first: array.copy(data=counted)}


def _count_zeros(
    *blocks: npt.NDArray[Any],
    radiometries: tuple[Radiometry, ...],
    names: tuple[str, ...],
    reader: str,
    block_info: Any,
) -> npt.NDArray[Any]:
    """Return the first block unchanged, having counted, inside a task, the pixels that only some blocks have.

    A pixel that lacks several bands is counted for the first of them that DN 0 can have made unknown.
    """
    missing = [np.isnan(block) for block in blocks]
    every = reduce(and_, missing)
    *leads, y, x = block_info[0]["array-location"]
    tile = Tile(y=y, x=x, lead=tuple(leads))
    whose = " ".join(name for radiometry in radiometries for name in radiometry.names)
    findings: list[Finding] = []
    for lead in np.ndindex(every.shape[:-2]):
        open_pixels = ~every[lead]
        for band, radiometry in enumerate(radiometries):
            if radiometry.kind != "dn" or 0.0 not in radiometry.nodata or radiometry.offset_at(tile, lead) != 0:
                continue
            zeros = missing[band][lead] & open_pixels
            open_pixels = open_pixels & ~zeros
            findings += partial_zeros(
                _sentence(reader),
                zeros=int(zeros.sum()),
                nodata=int(every[lead].sum()),
                valid=blocks[band][lead][~missing[band][lead]],
                quantification=radiometry.quantification,
                tile=tile,
                lead=lead,
                name=f"{whose}: {names[band]}",
                label=names[band],
            )
    note(findings)
    return blocks[0]


def _sentence(reader: str) -> str:
    return (
        f"Radiometry: {reader} is unknown in {{values}} in {{blocks}} because of DN 0 in {{names}}, while its "
        "other bands have values there. DN 0 is nodata, but it is also what dark water becomes where 1000 was "
        "subtracted and what is negative was cut off (harmonised DN). If that is how these were made, pass "
        "nodata=None, and mask what is outside of the swath."
    )
