"""Formulas as data: the text of an index is parsed, checked and reckoned, and never run as code.

Knows letters and arithmetic only; which band a letter stands for is told by `table`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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


def reckon(formula: Formula, values: Mapping[str, Any]) -> Any:
    """Work a formula out. values: a number or an array for each letter; NumPy, dask and xarray alike.

    A normalised difference is clipped to -1..1 and NaN where its sum is not positive: reflectance over dark water may
    be slightly negative, where the quotient means nothing. Infinity becomes NaN.
    """
    sides = _sides(formula.tree)
    if sides is None:
        result = _value(formula.tree, values)
        return result.where(abs(result) != float("inf"))
    first, second = (_value(side, values) for side in sides)
    total = first + second
    return ((first - second) / total.where(total > 0)).clip(-1, 1)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, values)
        return -inner if isinstance(node.op, ast.USub) else inner
    assert isinstance(node, ast.BinOp)
    return _OPERATORS[type(node.op)](_value(node.left, values), _value(node.right, values))


def _sides(tree: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """Give a and b of (a - b) / (a + b), where both are letters; None for any other form."""
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
