"""Puts into a page what stands elsewhere, so that it stands in one place.

A line of a page is replaced where it is one of these:
`<!-- measured: speed.md -->` by `benchmarks/results/speed.md` without its title, or by a word that there is none;
`<!-- pictures: real_ -->` by all pictures of docs/_static whose names begin so;
`<!-- bands -->` by the table of bands and their names.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

from xr_sr.bands import BANDS

DOCS = Path(__file__).parents[1]
RESULTS = DOCS.parent / "benchmarks" / "results"

_MARK = re.compile(r"^<!-- (?P<what>measured|pictures|bands)(?:: (?P<which>[\w.-]+))? -->$", re.MULTILINE)


def insert(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replace the marks of one page; Sphinx calls this for each."""
    makers = {"measured": measured, "pictures": pictures, "bands": bands}
    content[0] = _MARK.sub(lambda mark: makers[mark["what"]](mark["which"] or ""), content[0])


def measured(name: str) -> str:
    """Give the text of one file of results, its headings below those of a section."""
    path = RESULTS / name
    if not path.is_file():
        return f"*Not measured for this version yet: there is no `benchmarks/results/{name}`.*"
    text = re.sub(r"\A# .*\n", "", path.read_text(encoding="utf-8").lstrip())
    return re.sub(r"^##+ (.*)$", r"### \1", text, flags=re.MULTILINE).strip()


def pictures(prefix: str) -> str:
    """Show all pictures whose names begin with `prefix`, with the rest of the name as caption."""
    found = sorted(path for path in (DOCS / "_static").iterdir() if path.name.startswith(prefix))
    if not found:
        return "*There are no pictures for this version yet.*"
    shown = []
    for path in found:
        caption = path.stem.removeprefix(prefix).replace("_", " ")
        shown.append(f":::{{figure}} _static/{path.name}\n:alt: {caption}\n\n{caption}\n:::")
    return "\n\n".join(shown)


def bands(_: str) -> str:
    """Make the table of bands."""
    rows = ["| band | wavelength, nm | native GSD, m | also called |", "|---|---|---|---|"]
    for band in BANDS:
        aliases = ", ".join(f"`{alias}`" for alias in band.aliases)
        rows.append(f"| {band.name} | {band.wavelength_nm:g} | {band.gsd_m:g} | {aliases} |")
    return "\n".join(rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
