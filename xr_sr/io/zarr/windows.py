"""Whether the images of windows of time, as `multiframe` makes them, go with those that a store holds.

A window that has got another date since is another image: stored beside the old one, the window would be there twice;
left out, the store would show less than the cube. Both are refused. Other dates are compared by `growth`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...arguments import count_of
from ...errors import StoreMismatchError
from ...spec import WINDOW, WINDOW_DATES
from .content import Content


def refuse_other_windows(stored: xr.Dataset, content: Content, there: Mapping[int, int], label: str) -> None:
    """Raise StoreMismatchError for windows that the store holds with other dates, or with other bounds.

    there: positions of the dates that are published, by their stamps. Stores of anything else are not concerned.
    """
    if content.stamps is None:
        return
    old, new = _named(stored, content), _named(content.small, content)
    lines = [] if old is None or new is None else [*_changed(old, new, content, there)]
    lines += _of_other_dates(stored, content, there)
    if lines:
        more = f"\n  and {len(lines) - 5} more" if len(lines) > 5 else ""
        raise StoreMismatchError(
            f"{label} holds other windows:{''.join(f'{chr(10)}  {line}' for line in lines[:5])}{more}\n"
            "Images that are stored are not made again. Store a window once all of its dates are there, and leave it "
            "out until then: made.isel(time=slice(None, -1)); windows that are new must begin where those of the store "
            "end: window=[...]. To make all of them anew, write to another path, or pass overwrite=True."
        )


def _named(dataset: xr.Dataset, content: Content) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the bounds of windows and how many dates each has, or None where there are no windows along time."""
    time = content.time
    bounds = content.small.variables[time].attrs.get("bounds") if time in content.small.variables else None
    if bounds not in dataset.variables or WINDOW_DATES not in dataset.variables:
        return None
    spans, counts = dataset.variables[bounds], dataset.variables[WINDOW_DATES]
    if counts.dims != (time,) or spans.ndim != 2 or spans.dims[0] != time:
        return None
    return spans.values.astype("datetime64[ns]"), counts.values


def _changed(
    old: tuple[NDArray[Any], NDArray[Any]],
    new: tuple[NDArray[Any], NDArray[Any]],
    content: Content,
    there: Mapping[int, int],
) -> Iterator[str]:
    """Yield what differs between windows that are the same, or overlap where those of one result do not."""
    assert content.stamps is not None
    slots = [slot for slot in there.values() if slot < len(old[1])]
    begun = new[0][np.argsort(new[0][:, 0])]
    apart = bool((begun[1:, 0] >= begun[:-1, 1]).all())
    for date, stamp in enumerate(map(int, content.stamps.values)):
        start, stop = new[0][date]
        same = [there[stamp]] if stamp in there and there[stamp] in slots else slots
        for slot in same:
            first, last = old[0][slot]
            if stamp in there:
                differs = first != start or old[1][slot] != new[1][date]
            else:
                differs = first == start or (apart and start < last and first < stop)
            if differs:
                yield (
                    f"the store has {_span(first, last)} of {count_of(int(old[1][slot]), 'date')}, "
                    f"this has {_span(start, stop)} of {count_of(int(new[1][date]), 'date')}"
                )
                break


def _of_other_dates(stored: xr.Dataset, content: Content, there: Mapping[int, int]) -> Iterator[str]:
    """Yield dates that the store holds as compared with another one: what lies along dates is stored by itself."""
    time, small = content.time, content.small.variables
    if content.stamps is None or WINDOW not in small or WINDOW not in stored.variables or "region_weight" not in small:
        return
    held = stored.variables[WINDOW]
    if held.dims != (time,) or small[WINDOW].dims != (time,):
        return
    for date, stamp in enumerate(map(int, content.stamps.values)):
        slot = there.get(stamp, held.size)
        if slot < held.size and held.values[slot] != small[WINDOW].values[date]:
            was, now = (_day(each) for each in (held.values[slot], small[WINDOW].values[date]))
            yield f"the store has {_day(np.datetime64(stamp, 'ns'))} against {was}, this against {now}"


def _span(start: Any, stop: Any) -> str:
    return f"{_day(start)} to {_day(stop)}"


def _day(moment: Any) -> str:
    return str(moment.astype("datetime64[D]"))
