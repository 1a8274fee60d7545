"""`import xr_sr` is light. How long it takes is measured by `benchmarks/import_time.py`; here stands what it loads."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "zarr", "dask.array", "rasterio", "distributed", "scipy", "matplotlib", "pooch", "requests")


def loaded(code: str) -> set[str]:
    """Run code in a fresh interpreter; give the modules that are loaded afterwards."""
    end = "\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + end], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_nothing_heavy():
    assert not loaded("import xr_sr") & set(HEAVY)


def test_import_loads_no_library_that_xarray_does_not_load():
    more = loaded("import xr_sr") - loaded("import xarray")

    assert {name.split(".")[0] for name in more} - sys.stdlib_module_names <= {"xr_sr"}


def test_import_loads_few_modules_of_ours():
    """The accessor and what it stands on; each room is loaded on its first use."""
    mine = {name for name in loaded("import xr_sr, xarray") if name.split(".")[0] == "xr_sr"}

    assert mine <= {"xr_sr", "xr_sr._version", "xr_sr.accessor", "xr_sr.errors"}
    assert "xarray" not in loaded("import xr_sr")


@pytest.mark.parametrize("order", ["xr_sr, xarray", "xarray, xr_sr", "xr_sr.cube.select, xarray"])
def test_the_accessor_is_there_in_either_order_of_imports(order):
    assert "xr_sr.accessor" in loaded(f"import {order}\nxarray.DataTree.sr, xarray.Dataset.sr, xarray.DataArray.sr")


@pytest.mark.parametrize("name", ["analytics", "metrics", "networks", "pairs", "plot", "registration", "stac"])
def test_public_modules_can_be_imported_by_name(name):
    code = (
        f"import sys, xr_sr.{name}; from importlib import import_module, reload\n"
        f"module = import_module('xr_sr.{name}')\n"
        f"assert module is xr_sr.{name} is sys.modules[module.__name__] and module.__spec__.name == module.__name__\n"
        f"from xr_sr.{name} import *\n"
    )

    assert f"xr_sr.{name}" in loaded(code)


def test_other_modules_are_missing_as_usual():
    with pytest.raises(ModuleNotFoundError, match=r"xr_sr\.no_such"):
        import_module("xr_sr.no_such")


def test_help_in_the_shell_waits_for_no_library_but_click():
    code = "import sys; sys.argv = ['xr-sr', '--help']\ntry: import xr_sr.__main__\nexcept SystemExit: pass"
    seen = loaded(f"import runpy\n{code}\ntry: xr_sr.__main__.main()\nexcept SystemExit: pass")

    assert "click" in seen
    assert not seen & {"xarray", "numpy", "dask", "torch"}


def test_repr_of_a_cube_loads_no_torch():
    code = (
        "import numpy as np, xarray as xr, xr_sr; repr(xr.DataArray(np.zeros((4, 8, 8)), dims=('band', 'y', 'x')).sr)"
    )

    assert "torch" not in loaded(code)


@pytest.mark.parametrize("kind", ["DataArray", "Dataset", "DataTree"])
def test_import_adds_the_accessor(kind):
    import xarray as xr

    import xr_sr

    assert hasattr(getattr(xr, kind)(), "sr")
    assert xr_sr.__version__


def test_every_public_name_is_there():
    import xr_sr

    assert set(xr_sr.__all__) <= set(dir(xr_sr))
    for name in xr_sr.__all__:
        assert getattr(xr_sr, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        xr_sr.no_such_name  # noqa: B018
