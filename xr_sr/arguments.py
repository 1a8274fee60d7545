"""Checks of arguments: flags, choices, whole numbers, numbers, paths. Each raises an error of one sentence.

Knows Python's types only. What a function does with an argument that passed is not known here.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import xarray as xr

from .errors import CubeError, OptionError, XrSrError, warn_caller

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Accept keywords of a function by the names of an earlier release, with a FutureWarning.

    names: the new name by the old one. Raises OptionError where a call passes both.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def with_new_names(*args: P.args, **options: P.kwargs) -> R:
            for old in names.keys() & options.keys():
                new = names[old]
                if new in options:
                    raise OptionError(f"{old}= and {new}= are the same argument. Pass {new}= only.")
                warn_caller(f"{old}= is now spelled {new}=; the old spelling will be removed.", FutureWarning)
                options[new] = options.pop(old)
            return function(*args, **options)

        return with_new_names

    return decorate


def former_name(old: str, new: str) -> property:
    """Return a property that is another attribute by its name in an earlier release, with a FutureWarning."""

    def value(self: object) -> Any:
        warn_caller(f".{old} is now spelled .{new}; the old spelling will be removed.", FutureWarning)
        return getattr(self, new)

    return property(value, doc=f"`{new}` by its name in an earlier release.")


def checked_fields(name: str) -> Callable[[type[R]], type[R]]:
    """Decorate a dataclass so that a call with unknown or missing fields raises OptionError, which lists the fields.

    name: under which users import the class.
    """

    def decorate(record: type[R]) -> type[R]:
        made: Callable[..., None] = record.__init__
        fields = inspect.signature(made)

        @functools.wraps(made)
        def with_known_fields(self: R, *args: Any, **options: Any) -> None:
            try:
                fields.bind(self, *args, **options)
            except TypeError as error:
                known = ", ".join(list(fields.parameters)[1:])
                raise OptionError(f"{name}(...) {error}. Its fields are {known}.") from None
            made(self, *args, **options)

        record.__init__ = with_known_fields  # type: ignore[assignment,method-assign]
        return record

    return decorate


def check_flag(name: str, value: object, *, optional: bool = False) -> None:
    """Raise OptionError unless an argument is True or False, or None with `optional`.

    Words and numbers are refused: the text "no" is true in Python, and so is any other.
    """
    if isinstance(value, bool | np.bool_) or (optional and value is None):
        return
    raise OptionError(
        f"{name}={shown(value)}: expected True or False{', or None' if optional else ''}; got {_kind(value)}."
    )


def is_one_of(value: object, choices: Iterable[object]) -> bool:
    """Return whether an argument is one of some words, numbers or None, of whatever type it is."""
    # `in` compares an array element by element, and takes True for 1.
    return any(
        value is choice or (isinstance(value, type(choice)) and not _is_flag(value) and bool(value == choice))
        for choice in choices
    )


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise OptionError unless an argument is one of some words, numbers or None."""
    if is_one_of(value, choices):
        return
    raise OptionError(f"{name}={shown(value)}: expected one of {', '.join(map(repr, choices))}.")


def check_whole(name: str, value: object, *, least: int | None = None, unit: str = "") -> int:
    """Return an argument as a whole number; NumPy's count, True and 4.0 do not. Raises OptionError."""
    number = whole_or_none(value)
    if number is not None and (least is None or number >= least):
        return number
    what = "a whole number" + (f" of {unit}" if unit else "") + ("" if least is None else f", at least {least}")
    raise OptionError(f"{name}={shown(value)}: expected {what}; got {_kind(value) if number is None else number}.")


def whole_or_none(value: object) -> int | None:
    """Return an argument as a whole number; None where it is none, as truth values and arrays are not."""
    if _is_flag(value) or isinstance(value, np.ndarray | xr.DataArray):  # which have `__index__` too, and raise there
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # whether it is one is what is asked
    except TypeError:
        return None


def check_number(
    name: str, value: object, *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> float:
    """Return an argument as a finite number within bounds. Raises OptionError; truth values are no numbers."""
    numeric = isinstance(value, int | float | np.integer | np.floating) and not _is_flag(value)
    if numeric:
        try:
            number = float(value)  # type: ignore[arg-type]  # checked just now
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and least <= number <= most and number > above:
            return number
    bounds = [f"at least {least:g}"] if least > -math.inf else []
    bounds += [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"at most {most:g}"] if most < math.inf else []
    raise OptionError(
        f"{name}={shown(value)}: expected a finite number{' ' if bounds else ''}{' and '.join(bounds)}; "
        f"got {shown(value) if numeric else _kind(value)}."
    )


def is_number(value: object) -> bool:
    """Return whether an argument is a number other than NaN; truth values are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not _is_flag(value) and value == value


def check_numbers(name: str, value: object, count: int) -> tuple[float, ...]:
    """Return an argument as so many finite numbers. Raises OptionError."""
    several = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if several and len(value) == count:  # type: ignore[arg-type]  # checked just now
        return tuple(check_number(name, number) for number in value)  # type: ignore[attr-defined]
    raise OptionError(f"{name}={shown(value)}: expected {count} numbers; got {_kind(value)}.")


def check_text(name: str, value: object) -> str:
    """Return an argument that is text. Raises OptionError."""
    if isinstance(value, str):
        return value
    raise OptionError(f"{name}={shown(value)}: expected text; got {_kind(value)}.{order_hint(value)}")


def order_hint(value: object) -> str:
    """Return a sentence on the order of arguments where a cube is passed for another one; "" for anything else."""
    cubes = ("DataArray", "Dataset", "DataTree")  # by name: this module does not load xarray
    return " The cube is the first argument." if type(value).__name__ in cubes else ""


def items_of(value: object) -> list[Any] | None:
    """Return the elements of an argument that is a list; None for text, mappings and arrays without dimensions."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except TypeError:  # arrays without dimensions are iterable by type, and raise
        return None


def check_array(name: str, value: object) -> None:
    """Raise CubeError unless an argument is a DataArray."""
    if not isinstance(value, xr.DataArray):
        advice = 'Select one variable, or pass dataset.to_dataarray("band").' if isinstance(value, xr.Dataset) else ""
        advice = advice or "Select one variable of a Dataset or DataTree."
        raise CubeError(f"{name} must be a DataArray; got {_kind(value)}. {advice}")


def check_path(name: str, value: object, error: type[XrSrError]) -> Path:
    """Return an argument as a path that the file system can look for, "~" expanded, whether something is there or not.

    Raises `error` for what is no path, and for names that are too long, hold a null character, or may not be read.
    """
    try:
        path = Path(os.fspath(value)).expanduser()  # type: ignore[call-overload]  # what is no path raises TypeError
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.stat()  # `exists` swallows the error for a null character
    except (OSError, RuntimeError, TypeError, ValueError) as reason:  # RuntimeError: "~nobody"
        said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise error(
            f"{name}={shown(value)} cannot be used as a path: {said}. Pass the path of a file or folder."
        ) from reason
    return path


def shown(value: object, most: int = 80) -> str:
    """Write an argument for a message, in one line, shortened where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def count_of(number: int, noun: str) -> str:
    """Write a number and a noun for a message: "1 region", "2 regions"; the plural adds an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def first_line(error: object) -> str:
    """Return the first line of a text or error, without its full stop; the name of its class where it has none."""
    told = str(error).strip().splitlines()
    return told[0].strip().rstrip(".")[:200] if told else type(error).__name__


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _is_flag(value: object) -> bool:
    return isinstance(value, bool | np.bool_)
