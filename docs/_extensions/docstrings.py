"""Convert docstrings in the style of this project into reStructuredText.

    size: rows and columns of 10 m pixels; even where
        20 m bands are wanted. dates: one or more.

becomes a list of parameters. A name of the signature with a colon begins an entry, at the start or after a full stop;
several names with one colon have the same text. "Returns", "Raises" and their like begin a paragraph.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx

_OPENERS = re.compile(r"^(Returns|Raises|Warns|Gives|Lazy|Source|Works|Later)\b")
_CODE = re.compile(r"(`+[^`]+`+)")


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place; Sphinx calls this for each."""
    known = _names(obj)
    lines[:] = [line for paragraph in _paragraphs(lines) for line in (*_rewrite(paragraph, known), "")]


def _names(obj: Any) -> set[str]:
    """Return the names that may begin an entry: parameters, or fields of a dataclass."""
    if dataclasses.is_dataclass(obj):
        return {field.name for field in dataclasses.fields(obj)}
    try:
        return set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        return set()


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Split at empty lines, and before lines that begin with "Returns" and the like."""
    paragraph: list[str] = []
    for line in lines:
        if paragraph and (not line.strip() or _OPENERS.match(line)):
            yield paragraph
            paragraph = []
        if line.strip():
            paragraph.append(line)
    if paragraph:
        yield paragraph


def _rewrite(paragraph: list[str], known: set[str]) -> list[str]:
    """Make a list of parameters of a paragraph that begins with one; else leave it a paragraph."""
    if all(line.startswith("    ") for line in paragraph):
        return ["::", "", *paragraph]
    text = " ".join(line.strip() for line in paragraph)
    if not known:
        return [_escaped(text)]
    name = rf"(?:{'|'.join(map(re.escape, sorted(known, key=len, reverse=True)))})"
    entry = re.compile(rf"(?:^|(?<=[.;)] ))({name}(?:, {name})*): ")
    if not entry.match(text):
        return [_escaped(text)]
    parts = entry.split(text)[1:]
    entries = zip(parts[::2], parts[1::2], strict=True)
    # One field for each name, as numpydoc has it: Sphinx reads `:param lr, sr:` as a parameter `sr` of type `lr,`.
    return [f":param {name}: {_escaped(said.strip())}" for names, said in entries for name in names.split(", ")]


def _escaped(text: str) -> str:
    """Escape asterisks and bars outside of code, which would be markup."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([*|])", r"\\\1", part) for part in parts)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
