"""What commands read from the command line in the same way: lists of names, numbers, places that Zarr is written to."""

from __future__ import annotations

from typing import Literal

import click

TEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split "B04,B03" into its names."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def numbers(
    _context: click.Context, _parameter: click.Parameter, value: str
) -> float | tuple[float, ...] | Literal["auto"]:
    """Read a number, several with commas between them, or the word "auto"."""
    try:
        found = () if value == "auto" else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number, nor one for each date, nor 'auto'.") from None
    return found if len(found) > 1 else found[0] if found else "auto"


def level(_context: click.Context, _parameter: click.Parameter, value: str) -> float | Literal["otsu"]:
    """Read a number, or the word "otsu"."""
    if value == "otsu":
        return "otsu"
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor 'otsu'.") from None


def box(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """Read four numbers, "west,south,east,north"."""
    try:
        sides = tuple(float(part) for part in value.split(","))
    except ValueError:
        sides = ()
    if len(sides) != 4:
        raise click.BadParameter(f"{value!r}: wanted four numbers, west,south,east,north in degrees.")
    return sides


def zarr_place(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Take a path or URL that ends in .zarr."""
    from .places import suffix_of

    if suffix_of(value) != ".zarr":
        raise click.BadParameter(f"{value} must end in .zarr.")
    return value


OUTPUT = click.option(
    "--output", "-o", required=True, callback=zarr_place, metavar="OUT.ZARR", help="Where to write; a path or a URL."
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace an output that is there. Without it, an unfinished one is gone on with."
)
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress bar, no report.")
