"""What commands have in common: how they read lists of names, numbers and places, and options of several of them."""

from __future__ import annotations

import ast
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import click

DEFAULT_MODEL, FUSING_MODEL = "sen2sr", "glp-hpm"
"""What `upscale` and `fuse` use by default, as in Python."""

TEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Split "B04,B03" into its names."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def numbers(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> float | tuple[float, ...] | Literal["auto"] | None:
    """Read a number, several with commas between them, or the word "auto"."""
    if value is None:
        return None
    try:
        found = () if value == "auto" else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number, nor one for each date, nor 'auto'.") from None
    return found if len(found) > 1 else found[0] if found else "auto"


def assignments(_context: click.Context, _parameter: click.Parameter, value: Sequence[str]) -> dict[str, Any]:
    """Read "noise=0.002" and the like: values are those of Python, and anything else is text."""
    found: dict[str, Any] = {}
    for each in value:
        name, equals, text = each.partition("=")
        if not (equals and name.isidentifier() and text):
            raise click.BadParameter(f"{each!r}: expected a name and its value, such as noise=0.002.")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


def level(_context: click.Context, _parameter: click.Parameter, value: str) -> float | Literal["otsu"]:
    """Read a number, or the word "otsu"."""
    if value == "otsu":
        return "otsu"
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor 'otsu'.") from None


def box(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Read four numbers, "west,south,east,north"."""
    if value is None:
        return None
    try:
        sides = tuple(float(part) for part in value.split(","))
    except ValueError:
        sides = ()
    if len(sides) != 4:
        raise click.BadParameter(f"{value!r}: expected four numbers, west,south,east,north in degrees.")
    return sides


def zarr_place(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """Take a path or URL that ends in .zarr."""
    from ..io.files import suffix_of

    if suffix_of(value) != ".zarr":
        raise click.BadParameter(f"{value} must end in .zarr.")
    return value


def taken(begin: float, *, done: bool = True) -> str:
    """Write the seconds since a moment of the performance counter; or, unless anything was done, that nothing was."""
    return f"{time.perf_counter() - begin:.1f} s" if done else "nothing left to do"


def choice(*names: str, of: Sequence[str], help: str) -> Callable[[Any], Any]:
    """Make an option that takes one of several words, the first of them by default."""
    return click.option(*names, type=click.Choice(of), default=of[0], show_default=True, help=help)


OUTPUT = click.option(
    "--output", "-o", required=True, callback=zarr_place, metavar="OUT.ZARR", help="Where to write; a path or a URL."
)
OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace an existing output. Without it, an interrupted one is resumed."
)
WAIT = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait for another process that writes to the same Zarr. Default: fail at once; a process on "
    "another machine that may be gone is waited for up to 60 s, until that is known.",
)
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress bar, no report.")
OFFSET = click.option(
    "--offset",
    callback=numbers,
    metavar="NUMBER",
    default="auto",
    show_default=True,
    help="DN to add: -1000 for raw products since baseline 04.00, 0 for older or harmonized ones, or one for each "
    "date, such as 0,-1000; auto reads it.",
)
QUANTIFICATION = click.option(
    "--quantification",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    callback=lambda context, parameter, value: "auto" if value is None else value,
    help="DN per unit of reflectance. Default: what the file says, else 10000.",
)
NODATA = click.option(
    "--nodata",
    type=float,
    multiple=True,
    help="Nodata value; may be repeated. Default: 0 for DN, and what the file declares.",
)
NAMES = click.option(
    "--names",
    callback=names,
    metavar="NAMES",
    help="Names of the input's bands, where a raster does not hold them: B02,B03,B04,B08.",
)
PART = click.option("--part", help="Of several grids or arrays in the input, the one to read, such as r20m.")
