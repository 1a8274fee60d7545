"""Check the built pages of the API: each parameter that one describes is a parameter of its signature.

Run by `python .ci/check_docs.py FOLDER`, the folder of the HTML; lists what is wrong, and exits with 1.
"""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path

ENTRY = re.compile(r'<dt class="sig (?P<signature>.*?)</dt>\s*<dd>(?P<body>.*?)(?=<dt class="sig |\Z)', re.DOTALL)
FIELD = re.compile(r'<dt class="field-\w+">Parameters.*?</dd>\s*(?=<dt class="field|</dl>)', re.DOTALL)
DESCRIBED = re.compile(r"<p>(?P<shown><strong>.*?) – ", re.DOTALL)


def unknown_parameters(page: str) -> list[str]:
    """Return what a page shows as a parameter and its signatures do not have."""
    wrong = []
    for entry in ENTRY.finditer(page):
        signed = set(re.findall(r"\w+", text_of(entry["signature"])))
        shown = [
            text_of(match["shown"]) for field in FIELD.finditer(entry["body"]) for match in DESCRIBED.finditer(field[0])
        ]
        wrong += [name for name in shown if name not in signed]
    return wrong


def text_of(markup: str) -> str:
    """Remove the tags."""
    return unescape(re.sub(r"<.*?>", "", markup))


def main(folder: Path) -> int:
    """Check all pages of a folder."""
    pages = sorted((folder / "api" / "generated").glob("*.html"))
    if not pages:
        print(f"no pages in {folder / 'api' / 'generated'}: build the docs first")
        return 1
    wrong = [(page.name, name) for page in pages for name in unknown_parameters(page.read_text(encoding="utf-8"))]
    for page, name in wrong:
        print(f"{page}: {name!r} is not a parameter of the signature")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
