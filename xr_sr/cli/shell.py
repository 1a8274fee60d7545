"""Translate hints in error messages from Python to command-line options: `overwrite=True` becomes `--overwrite`.

Works on the text alone, by what looks like code, not by the wording of sentences. What no option corresponds to is kept
and marked as Python. Hints as values in the errors would be longer: of 738 messages, 241 in 90 modules have such code,
most in the middle of a sentence, so each would need a template beside its hints; and warnings of tasks, which come from
workers as text, would lose them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """One option of a command. flag: it takes no value. multiple: it is given once for each value."""

    option: str
    flag: bool = False
    multiple: bool = False


RECIPES: tuple[tuple[str, str], ...] = (
    # Names of bands for a dimension that has numbers, or names that are none.
    (r"\w+\.assign_coords\(\w+=\[('[^\]]*)\]\)", r"names=[\1]"),
    # A node of a tree, or the variable of a Dataset that has its bands along a dimension.
    (r"\bcube\['/?([^']+)'\](?:\.sr\.upscale\(\.\.\.\))?", r"--part \1"),
    # What the function takes and the command does not.
    (
        r"load needs items, or datetime= and an area \([^()]*\) to search for them",
        "load needs datetime= and an area: bbox=, geopolygon= or like=",
    ),
    (r"A grid of other pixels is given by geobox=\.", "The grid of another cube is that of like=."),
    (r"give each its date, obj\.assign_coords\(.*?\)\), from", "use inputs that have dates, from"),
    (r"\w+\.isel\(\w+=0\)", "--date YYYY-MM-DD"),
    (r"xr_sr\.list_models\([^()]*\)", "`xr-sr models`"),
    # Files are there already, so how to load them from a catalog is no help; nor is there another function.
    (r" [^.:]*: odc\.stac\.load\([^()]*\)\.?", ""),
    (r", or convert first: cube\.sr\.reflectance\(nodata=(?:\([^()]*\)|[^()]*)\)", ""),
)
"""Code in messages, as a pattern, and what does the same in the shell."""

PYTHON = "The command line has no option for the Python code above: run it in Python and write the result to a file."

_VALUE = r"\[[^\]]*\]|\([^()]*\)|'[^']*'|\"[^\"]*\"|-?\w+(?:[.+-]\w+)*"
_KEYWORD = re.compile(rf"(?<![\w./?&=-])(?P<name>[a-z_]+)=(?P<value>{_VALUE})?")
# A call of a method or function of a module; or keywords of ours that no command has.
_LEFT = re.compile(r"\b[a-z_]+(?:\.[a-z_]+)+\(|\b(?:packing|mask|scl|shards|pyramid)=|\bcube\[")


def in_shell(message: str, here: Mapping[str, Spelling], upscale: Mapping[str, Spelling]) -> str:
    """Spell the Python of a message for the shell.

    here: options of the command that was run, by parameter; upscale: those of `xr-sr upscale`, which are named with
    their command where `here` lacks them.
    """
    for pattern, replacement in RECIPES:
        message = re.sub(pattern, replacement, message)

    def spell(match: re.Match[str]) -> str:
        name = match["name"]
        spelling, command = (here[name], "") if name in here else (upscale.get(name), "xr-sr upscale ")
        if spelling is None:
            return match[0]
        text = _spelt(spelling, match["value"])
        return f"`{command}{text}`" if command else text

    message = re.sub(r"(?<![\w-])(--[a-z-]+ [^\s`]+), (?=--)", r"\1 ", _KEYWORD.sub(spell, message))
    return f"{message} {PYTHON}" if _LEFT.search(message) else message


def _spelt(spelling: Spelling, value: str | None) -> str:
    """Write an option with its value, which is given as in Python: a list, a tuple, a string, or a number."""
    if spelling.flag or value is None:
        return spelling.option
    items = [_bare(item) for item in value.strip("[]()").split(",") if item.strip() and item.strip() != "..."]
    if spelling.multiple:
        return " ".join(f"{spelling.option} {item}" for item in items)
    return f"{spelling.option} {','.join(items) or shlex.quote('')}"


def _bare(item: str) -> str:
    """Take the quotes of Python off, and put those of the shell on where they are needed."""
    item = item.strip()
    if item[0] in "'\"":
        return shlex.quote(item.strip("'\""))
    return item.replace("_", "") if item[0] in "-0123456789" else item
