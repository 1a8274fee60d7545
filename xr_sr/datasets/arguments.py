"""Validate the arguments of `simulate_scene`: sizes, bands, origin. Dates are validated in `simulate.dates`.

Values of the wrong type raise OptionError; values of the right type that cannot make a scene raise GridError.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..arguments import items_of, shown
from ..errors import MissingBandError, OptionError
from ..simulate.dates import read_whole
from .surfaces import BANDS


def read_pair(name: str, value: object) -> tuple[int, int]:
    """Return two whole numbers."""
    numbers = items_of(value)
    if numbers is None or len(numbers) != 2:
        raise OptionError(f"{name}={shown(value)}: expected two whole numbers.")
    return read_whole(name, numbers[0]), read_whole(name, numbers[1])


def read_size(value: object) -> tuple[int, int]:
    """Return rows and columns; one number stands for both."""
    if items_of(value) is not None:
        return read_pair("size", value)
    side = read_whole("size", value)
    return side, side


def read_bands(value: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the bands, all of them for None.

    Raises MissingBandError for an empty list and for bands that the sensor does not have.
    """
    if value is None:
        return BANDS
    names = items_of(value)
    if names is None or not all(isinstance(band, str) for band in names):
        raise OptionError(f"bands={shown(value)}: expected a list of names, such as bands=['B04', 'B08'].")
    if not names or not set(names) <= set(BANDS):
        raise MissingBandError(f"bands={names}: expected one or more of {', '.join(BANDS)}.")
    if len(set(names)) < len(names):
        raise OptionError(f"bands={names}: expected each band once.")
    return tuple(names)
