"""HTML of a report: tables, pictures as data, one page with its style. Knows text and numbers, escapes all of it."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .definitions import defined

ARROWS = {"high": "↑", "low": "↓", "zero": "→ 0", "": ""}

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 14px/1.45 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; color: #1c1c1c;
  background: #fff; max-width: 1080px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 25px; margin: 0 0 14px; letter-spacing: -0.01em; }
h2 { font-size: 17px; margin: 30px 0 8px; padding-bottom: 4px; border-bottom: 1px solid #d0d0d0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 3px 18px 3px 0; vertical-align: top; }
table.facts th { font-weight: 600; color: #555; white-space: nowrap; }
table.facts td { overflow-wrap: anywhere; }
table.numbers td, table.numbers thead th { border-bottom: 1px solid #ececec; }
table.numbers td.value, table.numbers th.value { text-align: right; padding: 3px 0 3px 22px; white-space: nowrap; }
table.numbers td.group { font-weight: 600; color: #555; padding-top: 11px; border-bottom-color: #bbb; }
td .unit, td .spread, p.note, figcaption { color: #6a6a6a; }
td .spread { font-size: 12px; }
.best { font-weight: 700; }
p.note { font-size: 12.5px; margin: 6px 0 0; }
figure { margin: 12px 14px 4px 0; display: inline-block; max-width: 100%; vertical-align: top; }
figure.wide { display: block; margin-right: 0; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: 12.5px; margin-top: 3px; }
.scroll { overflow-x: auto; }
@page { size: A4; margin: 13mm; }
@media print {
  body { font-size: 10pt; max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 16pt; }
  figure, tr { break-inside: avoid; }
  thead { display: table-header-group; }
}
"""


@dataclass(frozen=True)
class Row:
    """A row of numbers: (value, spread) per column, NaN where there is none; without a name, a heading."""

    name: str
    label: str
    values: tuple[tuple[float, float], ...] = ()


def page(title: str, body: Iterable[str]) -> str:
    """Make the whole document."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def section(title: str, inner: str) -> str:
    """Put a heading above what is already HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{inner}\n</section>"


def bullets(sentences: Sequence[str]) -> str:
    """Make a list of sentences."""
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def facts_table(facts: Iterable[tuple[str, str]]) -> str:
    """Make a table of names and what there is to say of each."""
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(text)}</td></tr>\n' for name, text in facts)
    return f'<table class="facts">\n{rows}</table>'


def numbers_table(columns: Sequence[str], rows: Sequence[Row], note: str = "") -> str:
    """Make a table of numbers, the best of each row in bold where there is more than one."""
    head = "".join(f'<th scope="col"{_value_class(place)}>{escape(name)}</th>' for place, name in enumerate(columns))
    body = "".join(_row(row, len(columns)) for row in rows)
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<div class="scroll"><table class="numbers">\n<thead><tr>{head}</tr></thead>\n{body}</table></div>{said}'


@dataclass(frozen=True)
class Picture:
    """An image file. kind: "png" or "jpeg". width_in: inches, at which it is shown."""

    data: bytes
    kind: str
    width_in: float


def embedded(picture: Picture, alternative: str, caption: str, *, wide: bool = False) -> str:
    """Make a figure with its picture inside."""
    width = int(picture.width_in * 96)
    data = base64.b64encode(picture.data).decode("ascii")
    return (
        f'<figure{" class=wide" if wide else ""}><img src="data:image/{picture.kind};base64,{data}" '
        f'width="{width}" '
        f'alt="{escape(alternative, quote=True)}"><figcaption>{escape(caption)}</figcaption></figure>\n'
    )


def number_text(value: float, spread: float = math.nan) -> str:
    """Write a number with digits that its size and spread deserve; a dash for NaN."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    # Of a spread, two digits tell something, and its mean needs no more places than they take.
    digits = _digits(spread, 2) if spread > 0 else _digits(value)
    return f"{value:.{digits}f}".replace("-", "−")


def _digits(size: float, shown: int = 4) -> int:
    """Return the decimals that show about so many digits, five at most."""
    size = abs(size)
    return 3 if size == 0 else max(0, min(5, shown - 1 - math.floor(math.log10(size))))


def _value_class(place: int) -> str:
    return ' class="value"' if place else ""


def _row(row: Row, columns: int) -> str:
    if not row.name:
        return f'<tr><td class="group" colspan="{columns}">{escape(row.label)}</td></tr>\n'
    known = defined(row.name)
    best = _best([value for value, _ in row.values], known.better)
    hint = " ".join(part for part in (known.unit, ARROWS[known.better]) if part)
    unit = f' <span class="unit">{escape(hint)}</span>' if hint else ""
    cells = ""
    for value, spread in row.values:
        shown = number_text(value, spread)
        text = f'<span class="best">{shown}</span>' if len(row.values) > 1 and value == best else shown
        if math.isfinite(spread):
            text += f' <span class="spread">± {number_text(spread, spread)}</span>'
        cells += f'<td class="value">{text}</td>'
    return f"<tr><td>{escape(known.label if row.label == '' else row.label)}{unit}</td>{cells}</tr>\n"


def _best(values: Sequence[float], better: str) -> float:
    """Return the best of the values; NaN where there is no better."""
    finite = [value for value in values if not math.isnan(value)]
    if not finite or not better:
        return math.nan
    if better == "zero":
        return min(finite, key=abs)
    return max(finite) if better == "high" else min(finite)
