"""Define spectral indices as data: a list with its papers, the list of spyndex, and a safe parser of formulas.

The text of a formula is parsed, checked and evaluated, and never run as code. The tables of spyndex are read as files
where that package is installed: none of its code runs.
"""

from __future__ import annotations

import ast
import difflib
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..arguments import check_number, check_text
from ..bands import BANDS
from ..errors import MissingLibraryError, OptionError

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, eq=False)
class IndexFormula:
    """Arithmetic of numbers and letters: text, its tree, and the letters in the order of their first appearance."""

    text: str
    tree: ast.expr
    letters: tuple[str, ...]

    @property
    def is_normalized_difference(self) -> bool:
        """Return whether it is (a - b) / (a + b), which lies between -1 and 1 for reflectance that is not negative."""
        return _sides(self.tree) is not None


def parse(text: str, *, name: str = "") -> IndexFormula:
    """Read a formula of + - * / **, brackets, numbers and letters.

    name: of the index, for messages. Raises OptionError for anything else: calls, attributes, comparisons, text.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        raise OptionError(f"the formula of {name!r} cannot be read: {text!r}.") from None
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
        known = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, ast.UAdd, ast.USub, *_OPERATORS)
        if not number and not isinstance(node, known):
            raise OptionError(
                f"the formula of {name!r} holds {ast.unparse(node) or type(node).__name__!r}, which is not arithmetic "
                f"of bands and numbers: {text!r}."
            )
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return IndexFormula(text.strip(), tree, tuple(dict.fromkeys(node.id for node in names)))


def evaluate_formula(formula: IndexFormula, values: Mapping[str, Any]) -> Any:
    """Evaluate a formula, lazily. values: a number or a DataArray for each letter, of which one is a DataArray.

    A normalized difference is clipped to -1..1 and NaN where its sum is not positive: reflectance over dark water may
    be slightly negative, where the quotient means nothing. Infinity becomes NaN, and so does what has no value, such as
    the root of a negative number; without a warning.
    """
    arrays = {letter: value for letter, value in values.items() if isinstance(value, xr.DataArray)}
    numbers = {letter: value for letter, value in values.items() if letter not in arrays}
    return xr.apply_ufunc(
        _of_block, *arrays.values(), kwargs={"text": formula.text, "letters": tuple(arrays), "numbers": numbers},
        dask="parallelized", output_dtypes=[np.result_type(*(array.dtype for array in arrays.values()))],
    )  # fmt: skip


def _of_block(*blocks: Any, text: str, letters: tuple[str, ...], numbers: Mapping[str, float]) -> Any:
    tree, values = _parsed(text), {**numbers, **dict(zip(letters, blocks, strict=True))}
    sides = _sides(tree)
    with np.errstate(all="ignore"):
        if sides is None:
            result = np.broadcast_to(_value(tree, values), np.broadcast_shapes(*(block.shape for block in blocks)))
            return np.where(np.isfinite(result), result, np.nan).astype(blocks[0].dtype)
        first, second = (_value(side, values) for side in sides)
        total = first + second
        return np.clip((first - second) / np.where(total > 0, total, np.nan), -1, 1).astype(blocks[0].dtype)


def propagate_formula(formula: IndexFormula, values: Mapping[str, Any], deviations: Mapping[str, xr.DataArray]) -> Any:
    """Return the standard deviation of a formula's value, of first order, lazily; NaN where a band has none.

    values: as in `evaluate_formula`. deviations: of the letters that are arrays, whose errors are taken as independent:
    the root of the sum of (derivative times deviation) squared. A derivative is the slope over `STEP` on either side.
    Of a normalized difference at most 1, the largest deviation that values in -1..1 have: the first order grows beyond
    every bound where the sum of both bands is near 0, as over dark water.
    """
    letters = tuple(letter for letter in values if letter in deviations)
    arrays = [values[letter] for letter in letters]
    numbers = {letter: value for letter, value in values.items() if letter not in deviations}
    return xr.apply_ufunc(
        _deviation_of_block, *arrays, *(deviations[letter] for letter in letters),
        kwargs={"text": formula.text, "letters": letters, "numbers": numbers},
        dask="parallelized", output_dtypes=[np.result_type(*(array.dtype for array in arrays))],
    )  # fmt: skip


STEP = 1e-5
"""Half the step of derivatives, in reflectance: exact to 1e-6 for bands that add up to 0.01 or more, in float64."""


def _deviation_of_block(*blocks: Any, text: str, letters: tuple[str, ...], numbers: Mapping[str, float]) -> Any:
    tree, count = _parsed(text), len(letters)
    bands = dict(zip(letters, (block.astype("float64") for block in blocks[:count]), strict=True))
    total = np.zeros(np.broadcast_shapes(*(block.shape for block in blocks)))
    with np.errstate(all="ignore"):
        for letter, deviation in zip(letters, blocks[count:], strict=True):
            above, below = (_value(tree, {**numbers, **bands, letter: bands[letter] + step}) for step in (STEP, -STEP))
            total += ((above - below) / (2 * STEP) * deviation) ** 2
        if _sides(tree) is not None:
            total = np.minimum(total, 1)  # NaN stays
    return np.where(np.isfinite(total), np.sqrt(total), np.nan).astype(blocks[0].dtype)


@cache
def _parsed(text: str) -> ast.expr:
    return parse(text).tree


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, values)
        return -inner if isinstance(node.op, ast.USub) else inner
    assert isinstance(node, ast.BinOp)
    left, right = _value(node.left, values), _value(node.right, values)
    try:
        value = _OPERATORS[type(node.op)](left, right)
    except (OverflowError, ZeroDivisionError):  # of two numbers; arrays give infinity
        return math.nan
    return math.nan if isinstance(value, complex) else value


def _sides(tree: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """Return a and b of (a - b) / (a + b), where both are letters; None for any other form."""
    match tree:
        case ast.BinOp(
            ast.BinOp(ast.Name(a) as first, ast.Sub(), ast.Name(b) as second),
            ast.Div(),
            ast.BinOp(ast.Name(c), ast.Add(), ast.Name(d)),
        ) if {a, b} == {c, d}:
            return first, second
    return None


LETTERS: Mapping[str, str] = {
    "A": "B01", "B": "B02", "G": "B03", "R": "B04", "RE1": "B05", "RE2": "B06", "RE3": "B07",
    "N": "B08", "N2": "B8A", "WV": "B09", "S1": "B11", "S2": "B12",
}  # fmt: skip
"""The letters of formulas, as spyndex has them, and the bands of Sentinel-2 that they stand for."""

_WAVELENGTHS = {band.name: band.wavelength_nm for band in BANDS}


@dataclass(frozen=True)
class Index:
    """One index: name, long name, formula in `LETTERS`, source, and the values of other letters in it."""

    name: str
    title: str
    text: str
    source: str
    constants: Mapping[str, float] = field(default_factory=dict)

    @property
    def formula(self) -> IndexFormula:
        """The formula, parsed."""
        return parse(self.text, name=self.name)


OWN: tuple[Index, ...] = (
    Index("NDVI", "normalized difference vegetation index", "(N - R) / (N + R)",
          "Rouse et al. 1974, NASA SP-351"),
    Index("EVI", "enhanced vegetation index", "g * (N - R) / (N + C1 * R - C2 * B + L)",
          "Huete et al. 2002, doi:10.1016/S0034-4257(02)00096-2", {"g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0}),
    Index("SAVI", "soil-adjusted vegetation index", "(1 + L) * (N - R) / (N + R + L)",
          "Huete 1988, doi:10.1016/0034-4257(88)90106-X; L = 0.5", {"L": 0.5}),
    Index("NDRE", "normalized difference red edge index", "(N - RE1) / (N + RE1)",
          "Barnes et al. 2000, 5th International Conference on Precision Agriculture"),
    Index("NDMI", "normalized difference moisture index", "(N - S1) / (N + S1)",
          "Hardisky et al. 1983, Photogrammetric Engineering and Remote Sensing 49"),
    Index("NDWI", "normalized difference water index (open water)", "(G - N) / (G + N)",
          "McFeeters 1996, doi:10.1080/01431169608948714"),
    Index("MNDWI", "modified normalized difference water index", "(G - S1) / (G + S1)",
          "Xu 2006, doi:10.1080/01431160600589179"),
    Index("AWEIsh", "automated water extraction index, with shadows", "B + 2.5 * G - 1.5 * (N + S1) - 0.25 * S2",
          "Feyisa et al. 2014, doi:10.1016/j.rse.2013.08.029"),
    # The paper takes the sum of NIR and SWIR 2 off; tables on the web, spyndex's among them, add the second term.
    Index("AWEInsh", "automated water extraction index, without shadows", "4 * (G - S1) - (0.25 * N + 2.75 * S2)",
          "Feyisa et al. 2014, doi:10.1016/j.rse.2013.08.029"),
    Index("NDBI", "normalized difference built-up index", "(S1 - N) / (S1 + N)",
          "Zha et al. 2003, doi:10.1080/01431160304987"),
    Index("NBR", "normalized burn ratio", "(N - S2) / (N + S2)",
          "López García and Caselles 1991, doi:10.1080/10106049109354290"),
    Index("NDSI", "normalized difference snow index", "(G - S1) / (G + S1)",
          "Hall et al. 1995, doi:10.1016/0034-4257(95)00137-P"),
)  # fmt: skip
"""The indices known without spyndex. They take precedence over those of spyndex."""


def find_index(name: str) -> Index:
    """Look an index up, upper and lower case alike: in our own list, then in that of spyndex.

    Raises OptionError for a name that neither has, with its neighbors; MissingLibraryError where only our own could be
    asked, since spyndex is not installed.
    """
    own = {index.name.lower(): index for index in OWN}
    name = check_text("name of an index", name)
    if found := own.get(name.lower()):
        return found
    others = _of_spyndex()
    folded = {known.lower(): known for known in others}
    known = name if name in others else folded.get(name.lower())
    if known is not None:
        return others[known]
    if not others:
        raise MissingLibraryError(
            f"{name!r} is not among the indices that are known without spyndex: "
            f"{', '.join(index.name for index in OWN)}. For the list of spyndex run: pip install 'xr-sr[indices]'",
            name="spyndex",
        )
    near = difflib.get_close_matches(name.lower(), list(dict.fromkeys([*own, *folded])), n=4, cutoff=0.4)
    hint = ", ".join(own[key].name if key in own else folded[key] for key in near)
    raise OptionError(f"there is no index {name!r}{f'; near it: {hint}' if hint else ''}.")


def constants_of(index: Index, given: Mapping[str, float]) -> dict[str, float]:
    """Return the values of the letters that are no bands: passed, of the index, or a band's wavelength in nm.

    Raises OptionError for a letter that has no value (temperatures, radar, kernels), and for one that is not there.
    """
    letters = [letter for letter in index.formula.letters if letter not in LETTERS]
    if strange := [name for name in given if name not in letters]:
        has = f"has {', '.join(letters)}" if letters else "has none"
        raise OptionError(f"{index.name} has no constant {', '.join(map(repr, strange))}; it {has}.")
    values = {}
    for letter in letters:
        value = given.get(letter, index.constants.get(letter))
        if value is None and letter.startswith("lambda"):
            value = _WAVELENGTHS.get(LETTERS.get(letter.removeprefix("lambda"), ""))
        if value is None:
            raise OptionError(
                f"{index.name} = {index.text} needs {letter!r}, which is no band of Sentinel-2 and has no usual value. "
                f"If it is a number, pass it: {letter}=..."
            )
        values[letter] = check_number(letter, value)
    return values


@cache
def _of_spyndex() -> Mapping[str, Index]:
    """Read the tables inside an installed spyndex; {} without it."""
    # Not `import spyndex`: that loads its plotting and data libraries, and only two files are read.
    spec = find_spec("spyndex")
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        return {}
    data = Path(folders[0]) / "data"
    try:
        listed = json.loads((data / "spectral-indices-dict.json").read_text(encoding="utf-8"))["SpectralIndices"]
        usual = json.loads((data / "constants.json").read_text(encoding="utf-8"))
    except (OSError, KeyError, ValueError) as error:
        raise MissingLibraryError(
            f"spyndex is installed in {data.parent}, but its tables cannot be read ({type(error).__name__}). Run: "
            "pip install --upgrade spyndex",
            name="spyndex",
        ) from error
    constants = {key: value.get("default") for key, value in usual.items()}
    return {name: _entry(name, record, constants) for name, record in listed.items()}


def _entry(name: str, record: Mapping[str, Any], constants: Mapping[str, float | None]) -> Index:
    usual = {letter: value for letter in record["bands"] if (value := constants.get(letter)) is not None}
    source = f"{record['reference']} (by spyndex)"
    return Index(name, record["long_name"], record["formula"], source, usual)
