"""Write a report of an evaluation as one HTML file: numbers, figures and definitions. Computes no metrics."""

from __future__ import annotations

import base64
import io
import math
import platform
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from .._version import __version__
from ..arguments import count_of
from ..cube.crs import crs_label
from ..cube.grid import pixel_size_m
from ..cube.select import AnyCube, recognize
from ..cube.time import Date
from ..errors import CubeError, GeoreferenceWarning, OptionError
from ..metrics.records import METRICS, Direction, record_of
from ..optional import require
from ..runtime.files import file_target, write_whole
from .comparison import compare
from .ternary_plot import QUANTITIES, chosen, ternary
from .trust import beside, by_model, trust_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = {"1": "", "degrees": "°", "LR pixels": "LR px"}
"""Units that a report writes differently from CF."""

MOST_DATES = 40
"""Rows of the table of dates; further dates are only counted."""

QUALITY, GROUND_DPI = 85, 100
"""Of JPEG, for images: small enough to be sent by mail, while PNG took many megabytes."""


def report(
    evaluation: xr.Dataset,
    path: str | Path,
    *,
    lr: AnyCube | None = None,
    sr: AnyCube | Mapping[str, AnyCube] | None = None,
    hr: AnyCube | None = None,
    maps: xr.Dataset | None = None,
    title: str = "Super-resolution, measured",
    notes: Sequence[str] = (),
    date: Date = None,
    window: tuple[float, float, float, float] | None = None,
) -> Path:
    """Write the results of an evaluation as one HTML file with embedded images, formatted for printing on A4.

    evaluation: the result of `xr_sr.evaluate`: numbers by name, along any of model, time, band and others.
    path: a file in an existing folder; an existing file is replaced, and never left half-written.
    lr, sr, hr: the cubes that were compared, to be shown; sr may be a mapping by model. maps: the result of
        `xr_sr.metrics.correctness(lr, sr, hr, at="pixel")` for the same sr, shown as maps and as a density.
    notes: sentences on the data, such as places and license. date, window: as in `compare`.

    Returns the path. Computes the numbers and the area that is shown.
    Raises CubeError if the evaluation has no numbers, StoreError if the folder does not exist, OptionError if cubes do
    not match the evaluation or the maps, MissingLibraryError without matplotlib.
    """
    require("matplotlib", extra="viz")
    target = file_target(path, "report.html")
    if maps is not None:
        beside(chosen(maps), sr)
    numbers = evaluation[
        [name for name, values in evaluation.data_vars.items() if values.dtype.kind in "iuf"]
    ].compute()
    if not numbers.data_vars:
        raise CubeError("evaluation= has no numbers; expected the result of xr_sr.evaluate.")
    cubes = by_model(sr)
    names = evaluation["model"].values if "model" in evaluation.coords else [next(iter(cubes), "SR")]
    models = [str(name) for name in np.atleast_1d(names)]
    if isinstance(sr, xr.DataArray | xr.Dataset | xr.DataTree) and len(cubes) == 1:
        cubes = {models[0]: next(iter(cubes.values()))}
    if unknown := [name for name in cubes if name not in models]:
        raise OptionError(f"sr= has the models {unknown}, which are not in the evaluation; it has {models}.")
    body = [
        facts_table(_facts(evaluation, numbers, models, lr, cubes, hr)),
        *([bullets(notes)] if notes else []),
        section("Numbers", numbers_table(["", *models], _rows(numbers, models), _how(numbers))),
        *_pictures(cubes, lr, hr, date, window),
        *_trust(numbers, maps, sr, date, window),
    ]
    if "band" in numbers.dims:
        body += [_by(numbers, models, "band", "By band")]
    if "time" in numbers.dims and numbers.sizes["time"] > 1:
        body += [_by(numbers, models, "time", "By date")]
    known = [record for name in _ordered(numbers) if (record := record_of(name)).meaning]
    body += [
        section("What the numbers mean", facts_table([(record.label, record.meaning) for record in known])),
        section("How they were made", facts_table(_provenance(evaluation, cubes))),
    ]
    text = page(title, body)
    return write_whole(target, lambda part: part.write_text(text, encoding="utf-8"))


def _attributes(cube: AnyCube | None) -> Mapping[Any, Any]:
    if isinstance(cube, xr.Dataset) and not cube.attrs and cube.data_vars:
        return next(iter(cube.data_vars.values())).attrs
    return {} if cube is None else cube.attrs


def _facts(
    evaluation: xr.Dataset,
    numbers: xr.Dataset,
    models: Sequence[str],
    lr: AnyCube | None,
    cubes: Mapping[str, AnyCube],
    hr: AnyCube | None,
) -> list[tuple[str, str]]:
    facts = [("Models", ", ".join(models))]
    for role, cube in (("LR", lr), ("SR", next(iter(cubes.values()), None)), ("HR", hr)):
        if cube is not None:
            facts.append((role, _described(cube)))
    times = numbers.coords.get("time")
    if times is not None and times.dtype.kind == "M" and times.size:
        days = np.unique(times.values.astype("datetime64[D]"))
        span = str(days[0]) if days.size == 1 else f"{days[0]} to {days[-1]}, {times.size} dates"
        facts.append(("Acquired", span))
    if "band" in numbers.coords:
        facts.append(("Bands", ", ".join(map(str, np.atleast_1d(numbers["band"].values)))))
    if "profile" in evaluation.attrs:
        facts.append(("Profile", str(evaluation.attrs["profile"])))
    facts.append(("Written", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, by xr_sr {__version__}"))
    return facts


def _described(cube: AnyCube) -> str:
    """Describe size, pixel size and CRS of a cube in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoreferenceWarning)
        seen = recognize(cube)
    geobox = seen.geobox
    size = pixel_size_m(geobox)
    pixels = "" if size is None else f", {(size[0] * size[1]) ** 0.5:.3g} m"
    source = _attributes(cube).get("source") or _attributes(cube).get("title")
    return f"{geobox.shape.y} × {geobox.shape.x} pixels{pixels}, {crs_label(geobox.crs)}" + (
        f"; {source}" if source else ""
    )


def _ordered(numbers: xr.Dataset) -> list[str]:
    """Return the names of all metrics, known ones first and in reading order."""
    known = [name for name in METRICS if name in numbers]
    return known + [str(name) for name in numbers.data_vars if name not in known]


def _of(numbers: xr.Dataset, name: str, model: str) -> xr.DataArray:
    values = numbers[name]
    if "model" not in values.dims:
        return values
    position = [str(label) for label in numbers.indexes["model"]].index(model)
    return values.isel(model=position)


def _rows(numbers: xr.Dataset, models: Sequence[str]) -> list[Row]:
    """Return the rows of the main table: the mean over all dimensions, and the spread over dates and other repeats."""
    rows: list[Row] = []
    groups: dict[str, list[str]] = {}
    for name in _ordered(numbers):
        groups.setdefault(record_of(name).group, []).append(name)
    for group, names in groups.items():
        rows.append(Row("", group))
        for name in names:
            found = []
            for model in models:
                values = _of(numbers, name, model)
                each = values.mean("band") if "band" in values.dims else values
                spread = float(each.std(ddof=1)) if int(each.count()) > 1 else float("nan")
                found.append((float(values.mean()), spread))
            rows.append(Row(name, record_of(name).label, tuple(found)))
    return rows


def _how(numbers: xr.Dataset) -> str:
    """Describe over which dimensions the numbers are averaged."""
    dims = {str(dim): size for dim, size in numbers.sizes.items() if dim not in ("model", "band") and size > 1}
    over = " and ".join(count_of(size, "date") if dim == "time" else f"{size} of {dim}" for dim, size in dims.items())
    bands = "means over bands where they are given per band" if "band" in numbers.dims else ""
    spread = f"mean ± standard deviation over {over}" if over else ""
    said = "; ".join(part for part in (spread, bands) if part)
    return (
        said[:1].upper() + said[1:] + ". " if said else ""
    ) + "↑ more is better, ↓ less is better; the best is bold."


def _by(numbers: xr.Dataset, models: Sequence[str], dim: str, title: str) -> str:
    """Return a table of all metrics along a dimension, with a column per model."""
    names = [name for name in _ordered(numbers) if dim in numbers[name].dims]
    labels = numbers[dim].values if dim in numbers.coords else np.arange(numbers.sizes[dim])
    if labels.dtype.kind == "M":
        labels = labels.astype("datetime64[D]")
    rows: list[Row] = []
    for position, label in enumerate(labels[:MOST_DATES]):
        rows.append(Row("", str(label)))
        for name in names:
            each = [_of(numbers, name, model).isel({dim: position}) for model in models]
            rows.append(Row(name, record_of(name).label, tuple((float(one.mean()), float("nan")) for one in each)))
    left = len(labels) - MOST_DATES
    return section(title, numbers_table(["", *models], rows, f"{left} more are left out." if left > 0 else ""))


def _pictures(
    cubes: Mapping[str, AnyCube],
    lr: AnyCube | None,
    hr: AnyCube | None,
    date: Date,
    window: tuple[float, float, float, float] | None,
) -> list[str]:
    drawn = []
    for name, cube in cubes.items():
        difference: Literal["error"] | None = None if hr is None else "error"
        named = cube.assign_attrs({"xr_sr:model": name})
        figure = compare(lr, named, hr, date=date, window=window, difference=difference)
        drawn.append(embedded(figure, f"{name} beside {'LR' if hr is None else 'LR and HR'}", name, image=True))
    return [section("Pictures", "".join(drawn))] if drawn else []


def _trust(
    numbers: xr.Dataset,
    maps: xr.Dataset | None,
    sr: AnyCube | Mapping[str, AnyCube] | None,
    date: Date,
    window: tuple[float, float, float, float] | None,
) -> list[str]:
    drawn = []
    if set(QUANTITIES) <= set(numbers.data_vars) and bool(numbers["improvement"].notnull().any()):
        drawn.append(embedded(ternary(numbers), "Improvement, omission, hallucination", "One point per image"))
    if maps is not None:
        drawn.append(embedded(ternary(maps), "Density of pixels in the triangle", "All pixels"))
        figure, name = trust_maps(maps, sr=sr, date=date, window=window), "Maps of improvement, omission, hallucination"
        drawn.append(embedded(figure, name, "Where", image=True, wide=True))
    return [section("Improvement, omission, hallucination", "".join(drawn))] if drawn else []


def _provenance(evaluation: xr.Dataset, cubes: Mapping[str, AnyCube]) -> list[tuple[str, str]]:
    """Return settings and versions of the evaluation, and the attributes of each cube on how it was made."""
    facts = []
    for key, value in evaluation.attrs.items():
        pairs = value.items() if isinstance(value, Mapping) else None
        facts.append((str(key), ", ".join(f"{k} {v}" for k, v in pairs) if pairs else str(value)))
    for model, cube in cubes.items():
        made = {key: value for key, value in _attributes(cube).items() if str(key).startswith("xr_sr:")}
        if made:
            text = ", ".join(f"{str(key).removeprefix('xr_sr:')} {value}" for key, value in made.items())
            facts.append((model, text))
    if "versions" not in evaluation.attrs:
        found = f"Python {platform.python_version()}, NumPy {np.__version__}, xarray {xr.__version__}"
        facts.append(("versions", found))
    return facts


@dataclass(frozen=True)
class Row:
    """A row of a table: (value, spread) per column, NaN where there is none; a heading if it has no name."""

    name: str
    label: str
    values: tuple[tuple[float, float], ...] = ()


def page(title: str, body: Iterable[str]) -> str:
    """Return the whole HTML document."""
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def section(title: str, inner: str) -> str:
    """Return a section with a heading; `inner` is HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def bullets(sentences: Sequence[str]) -> str:
    """Return a list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and texts."""
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n' for name, text in facts)
    return f'<table class="facts">\n{rows}</table>'


def numbers_table(columns: Sequence[str], rows: Sequence[Row], note: str = "") -> str:
    """Return a table of numbers; the best of several in a row is bold."""
    first, *rest = (escape(name) for name in columns)
    head = f'<th scope="col">{first}</th>' + "".join(f'<th scope="col" class="value">{name}</th>' for name in rest)
    body = "".join(_row(row, len(columns)) for row in rows)
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<div class="scroll"><table class="numbers">\n<thead><tr>{head}</tr></thead>\n{body}</table></div>{below}'


def embedded(figure: Figure, alternative: str, caption: str, *, image: bool = False, wide: bool = False) -> str:
    """Return a figure embedded in HTML: as JPEG if it shows an image, else as PNG; equal figures have equal bytes."""
    buffer = io.BytesIO()
    if image:
        figure.savefig(buffer, format="jpeg", dpi=GROUND_DPI, pil_kwargs={"quality": QUALITY, "optimize": True})
    else:
        figure.savefig(buffer, format="png", metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<figure{" class=wide" if wide else ""}><img src="data:image/{"jpeg" if image else "png"};base64,{data}" '
        f'width="{int(figure.get_figwidth() * 96)}" '
        f'alt="{escape(alternative, quote=True)}"><figcaption>{escape(caption)}</figcaption></figure>\n'
    )


def number_text(value: float, spread: float = math.nan) -> str:
    """Format a number with as many digits as its size and spread justify; a dash for NaN."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    # Two digits of the spread are meaningful, and the mean needs no more decimals.
    digits = _digits(spread, 2) if spread > 0 else _digits(value)
    return f"{value:.{digits}f}".replace("-", "−")


def _digits(size: float, shown: int = 4) -> int:
    """Return the number of decimals that show about `shown` digits, five at most."""
    size = abs(size)
    return 3 if size == 0 else max(0, min(5, shown - 1 - math.floor(math.log10(size))))


def _row(row: Row, columns: int) -> str:
    if not row.name:
        return f'<tr><td class="group" colspan="{columns}">{escape(row.label)}</td></tr>\n'
    known = record_of(row.name)
    best = _best([value for value, _ in row.values], known.direction)
    hint = " ".join(part for part in (UNITS.get(known.unit, known.unit), _arrow(known.direction)) if part)
    unit = f' <span class="unit">{escape(hint)}</span>' if hint else ""
    cells = ""
    differ = len({number_text(*each) for each in row.values}) > 1  # of equal ones none is the best
    for value, spread in row.values:
        shown = number_text(value, spread)
        text = f'<span class="best">{shown}</span>' if differ and value == best else shown
        if math.isfinite(spread):
            text += f' <span class="spread">± {number_text(spread, spread)}</span>'
        cells += f'<td class="value">{text}</td>'
    return f"<tr><td>{escape(known.label if row.label == '' else row.label)}{unit}</td>{cells}</tr>\n"


def _arrow(direction: Direction) -> str:
    if direction is None:
        return ""
    return {"higher": "↑", "lower": "↓"}[direction] if isinstance(direction, str) else f"→ {direction:g}"


def _best(values: Sequence[float], direction: Direction) -> float:
    """Return the best of the values; NaN where none is better."""
    finite = [value for value in values if not math.isnan(value)]
    if not finite or direction is None:
        return math.nan
    if isinstance(direction, str):
        return max(finite) if direction == "higher" else min(finite)
    return min(finite, key=lambda value: abs(value - direction))
