"""Formulas as data: the text of an index is parsed, checked and evaluated, and never run as code.

Knows letters and arithmetic only; which band a letter stands for is told by `table`.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import xarray as xr

from ..errors import OptionError

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


@dataclass(frozen=True, eq=False)
class Formula:
    """Arithmetic of numbers and letters: text, its tree, and the letters in the order of their first appearance."""

    text: str
    tree: ast.expr
    letters: tuple[str, ...]

    @property
    def is_normalised_difference(self) -> bool:
        """Whether it is (a - b) / (a + b), which lies between -1 and 1 for reflectance that is not negative."""
        return _sides(self.tree) is not None


def parse(text: str, *, name: str = "") -> Formula:
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
                f"the formula of {name!r} holds {ast.unparse(node) or type(node).__name__!r}, which is no arithmetic "
                f"of bands and numbers: {text!r}."
            )
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    return Formula(text.strip(), tree, tuple(dict.fromkeys(node.id for node in names)))


def evaluate(formula: Formula, values: Mapping[str, Any]) -> Any:
    """Work a formula out, lazily. values: a number or a DataArray for each letter, of which one is a DataArray.

    A normalised difference is clipped to -1..1 and NaN where its sum is not positive: reflectance over dark water may
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
    """Work a formula out on blocks of one shape, or of shapes that NumPy broadcasts."""
    tree, values = _parsed(text), {**numbers, **dict(zip(letters, blocks, strict=True))}
    sides = _sides(tree)
    with np.errstate(all="ignore"):
        if sides is None:
            result = np.broadcast_to(_value(tree, values), np.broadcast_shapes(*(block.shape for block in blocks)))
            return np.where(np.isfinite(result), result, np.nan).astype(blocks[0].dtype)
        first, second = (_value(side, values) for side in sides)
        total = first + second
        return np.clip((first - second) / np.where(total > 0, total, np.nan), -1, 1).astype(blocks[0].dtype)


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
    if not (isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div)):
        return None
    above, below = tree.left, tree.right
    if not (isinstance(above, ast.BinOp) and isinstance(below, ast.BinOp)):
        return None
    first, second = above.left, above.right
    if not (isinstance(above.op, ast.Sub) and isinstance(below.op, ast.Add)):
        return None
    if not (isinstance(first, ast.Name) and isinstance(second, ast.Name)):
        return None
    both = {ast.dump(below.left), ast.dump(below.right)}
    return (first, second) if both == {ast.dump(first), ast.dump(second)} else None
