"""`.sr`: methods have the docstring and the arguments of the functions, and hand the object over as their cube."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.accessor import SuperResolution, _Method, spelled_out

METHODS = {name: method for name, method in vars(SuperResolution).items() if isinstance(method, _Method)}
SECOND = {"consistency": "sr", "evaluate": "sr", "metrics": "sr", "compare": "sr", "explore": "sr"}
"""Methods whose object is not the first argument of the function."""

LR = array(reflectance(4, 24, 24))
SR = LR.sr.upscale("bicubic").compute()


def function_of(name: str):
    """Find the public function of a method."""
    name = {"metrics": "evaluate"}.get(name, name)
    return getattr(xr_sr, name, None) or getattr(xr_sr.metrics, name)


@pytest.mark.parametrize("name", METHODS)
def test_arguments_and_docstring_are_those_of_the_function(name):
    function, method = function_of(name), getattr(SuperResolution, name)
    parameters = dict(inspect.signature(function).parameters)
    cube = SECOND.get(name, next(iter(parameters)))
    del parameters[cube]

    names = inspect.unwrap(function).__globals__
    expected = spelled_out(inspect.Signature(parameters.values()), names)
    assert inspect.signature(getattr(LR.sr, name)).parameters == expected.parameters
    assert inspect.getdoc(method).startswith(inspect.getdoc(function))
    assert f"`{cube}` is this object" in inspect.getdoc(method)


@pytest.mark.parametrize("name", METHODS)
def test_types_are_spelled_out(name):
    shown = str(inspect.signature(getattr(SuperResolution, name)))

    for alias in ("AnyCube", "Offset", "Nodata", "Chunks", "Layout", "Option", "Image", "Scene", "When", "Obj", "Grid"):
        assert not re.search(rf"\b{alias}\b", shown)
    assert "xarray.core" not in shown


@pytest.mark.parametrize("name", ["fuse", "explain", "interval"])
def test_what_is_as_in_upscale_is_described(name):
    """Every argument, `obj` aside, has its own entry, as in the docstring of `upscale`."""
    for text in (inspect.getdoc(function_of(name)), inspect.getdoc(getattr(SuperResolution, name))):
        for argument in set(inspect.signature(function_of(name)).parameters) - {"obj"}:
            assert len(re.findall(rf"(?:^|\. ){argument}: ", text, re.MULTILINE)) == 1, argument
        assert "as in `upscale`" not in text


def test_no_public_function_takes_any():
    """Types that say nothing help neither an editor nor mypy."""
    rooms = [xr_sr, *(room for name in xr_sr.__all__ if inspect.ismodule(room := getattr(xr_sr, name)))]
    public = {each for room in rooms for name in room.__all__ if callable(each := getattr(room, name))}
    wrong = []
    for function in public - {each for each in public if inspect.isclass(each) and issubclass(each, Exception)}:
        shown = spelled_out(inspect.signature(function), getattr(inspect.unwrap(function), "__globals__", {}))
        wrong += [
            (function.__name__, each.name)
            for each in shown.parameters.values()
            if {"Any", "object"} & set(re.split(r" \| ", str(each.annotation)))
        ]
        if re.search(r"\[str, Any\]|^Any$", str(shown.return_annotation)):
            wrong.append((function.__name__, "return"))

    assert inspect.signature(SuperResolution).parameters["obj"].annotation != "Any"
    assert not wrong


def test_an_alias_is_replaced_wherever_it_stands():
    Side: TypeAlias = "int | Literal['auto']"

    def cut(sides: Sequence[Side] | None, *, by: Side = "auto", **rest: float) -> xr.DataArray: ...

    shown = str(spelled_out(inspect.signature(cut), {"Side": Side, "xr": xr}))

    assert "sides: \"Sequence[int | Literal['auto']] | None\"" in shown
    assert "by: \"int | Literal['auto']\" = 'auto'" in shown
    assert "-> 'xr.DataArray'" in shown


@pytest.mark.parametrize("name", METHODS)
def test_help_shows_the_first_line_of_the_function(name):
    first = inspect.getdoc(function_of(name)).splitlines()[0]

    assert first in pydoc.plain(pydoc.render_doc(getattr(LR.sr, name)))


def test_the_object_is_the_cube_wherever_it_stands_among_the_arguments():
    by_function = xr_sr.evaluate(LR, SR)

    with pytest.warns(FutureWarning, match=r"\.sr\.metrics is now \.sr\.evaluate"):
        by_old_name = SR.sr.metrics(LR)

    for by_method in (SR.sr.evaluate(LR), SR.sr.evaluate(lr=LR), by_old_name):
        np.testing.assert_array_equal(by_method["reflectance"], by_function["reflectance"])
    np.testing.assert_array_equal(
        SR.sr.consistency(LR, spectral="sad")["spectral"], xr_sr.metrics.consistency(LR, SR, spectral="sad")["spectral"]
    )


@pytest.mark.parametrize(
    "call", [lambda: LR.sr.upscale(no_such="x"), lambda: SR.sr.evaluate(), lambda: LR.sr.to_zarr("a", 3)]
)
def test_wrong_arguments_are_a_type_error_or_an_error_of_ours(call):
    with pytest.raises((TypeError, xr_sr.errors.OptionError)):
        call()
