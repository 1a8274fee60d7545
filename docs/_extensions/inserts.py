"""Insert generated content into pages of the documentation.

These lines of a page are replaced:
`<!-- measured: scaling.md -->` by that file of `benchmarks/results` or `studies/results`, without its title;
`<!-- pictures: real_ -->` by all pictures of docs/_static whose names start with the prefix;
`<!-- bands -->` by the table of bands and their names.

Links to `../examples/`, which work in a clone, lead to the copy that Sphinx reads, `examples/`.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

from xr_sr.bands import BANDS

DOCS = Path(__file__).parents[1]
RESULTS = tuple(DOCS.parent / folder / "results" for folder in ("benchmarks", "studies"))

_MARK = re.compile(r"^<!-- (?P<what>measured|pictures|bands)(?:: (?P<which>[\w.-]+))? -->$", re.MULTILINE)


def insert(app: Sphinx, docname: str, content: list[str]) -> None:
    """Replace the marks of one page; Sphinx calls this for each page."""
    makers = {"measured": measured, "pictures": pictures, "bands": bands}
    text = _MARK.sub(lambda mark: makers[mark["what"]](mark["which"] or ""), content[0])
    content[0] = text.replace("](../examples/", "](examples/")


def measured(name: str) -> str:
    """Return one result page, with its headings below those of a section."""
    path = next((folder / name for folder in RESULTS if (folder / name).is_file()), None)
    if path is None:
        return f"*Not measured for this version yet: `{name}` is in none of the folders of results.*"
    text = re.sub(r"\A# .*\n", "", path.read_text(encoding="utf-8").lstrip())
    return re.sub(r"^##+ (.*)$", r"### \1", text, flags=re.MULTILINE).strip()


def pictures(prefix: str) -> str:
    """Return figures of all pictures whose names start with `prefix`, with the rest of the name as caption."""
    found = sorted(path for path in (DOCS / "_static").iterdir() if path.name.startswith(prefix))
    if not found:
        return "*There are no pictures for this version yet.*"
    shown = []
    for path in found:
        caption = path.stem.removeprefix(prefix).replace("_", " ")
        shown.append(f":::{{figure}} _static/{path.name}\n:alt: {caption}\n\n{caption}\n:::")
    return "\n\n".join(shown)


def bands(_: str) -> str:
    """Return the table of bands."""
    rows = ["| band | wavelength, nm | native GSD, m | also called |", "|---|---|---|---|"]
    for band in BANDS:
        aliases = ", ".join(f"`{alias}`" for alias in band.aliases)
        rows.append(f"| {band.name} | {band.wavelength_nm:g} | {band.gsd_m:g} | {aliases} |")
    return "\n".join(rows)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
