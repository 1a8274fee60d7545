"""One file and one entry add a producer, and what the table says is what every door reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xr_sr
from xr_sr.bands import BANDS, find_band
from xr_sr.conventions import BAND_NAMES, CONVENTIONS, Convention

ACME = """
from .record import Convention

ACME = Convention(
    name="Acme",
    url="https://example.com/acme",
    bands={"acme_azure": "B02", "acme_leaf": "B03", "acme_ruby": "B04", "acme_heat": "B08"},
    crs_coords=("acme_srs",),
    dn_offset=("acme:shift",),
    nodata_attrs=("acme_void",),
    flag_names=("haze",),
    skipped_nodes=("diagnostics",),
)
"""

USE = """
import warnings

import numpy as np
import xarray as xr

import xr_sr

warnings.simplefilter("error", xr_sr.errors.XrSrWarning)
shift = [0, -1000]
names = {"acme_azure": 1, "acme_leaf": 2, "acme_ruby": 1, "acme_heat": 7}
bands = {}
for name, factor in names.items():
    dn = np.full((2, 16, 16), 500 * factor, "uint16")
    dn[1] += 1000
    dn[:, 0, 0] = 7
    bands[name] = (("time", "y", "x"), dn, {"acme_void": 7})
cube = xr.Dataset(
    bands | {"haze": (("time", "y", "x"), np.zeros((2, 16, 16), "int32"))},
    coords={
        "time": np.array(["2020-05-01", "2023-05-01"], "datetime64[ns]"),
        "y": 5_000_000.0 - 10 * np.arange(16) - 5,
        "x": 500_000.0 + 10 * np.arange(16) + 5,
        "acme_srs": 32633,
        "acme:shift": ("time", shift),
    },
)
text = repr(cube.sr)
assert "EPSG:32633" in text, text
assert "B04 ('acme_ruby')" in text, text
assert "2020-05-01 (offset 0 DN); 2023-05-01 (offset -1000 DN)" in text, text
assert "offset by acme:shift" in text, text
assert "haze" in text.split("flags")[1], text

fine = cube.sr.upscale("bicubic", scale=2, bands=["acme_ruby"])
assert fine.odc.geobox == cube.odc.assign_crs("EPSG:32633").odc.geobox.zoom_to((32, 32))
assert list(fine.radiometry_offset) == shift
assert np.allclose(fine["acme_ruby"].isel(y=16, x=16), 0.05)
assert np.isnan(fine["acme_ruby"].isel(y=0, x=0)).all()

ndvi = cube.sr.index("NDVI")
assert np.allclose(ndvi.isel(y=8, x=8), 0.75), ndvi.isel(y=8, x=8).values

flat = cube.drop_vars("haze")
tree = xr.DataTree.from_dict({"/r10m": flat, "/diagnostics/r10m": flat.isel(time=0)})
assert xr_sr.reflectance(tree)["r10m/acme_ruby"].isel(time=1, y=8, x=8) == np.float32(0.05)
assert tree["diagnostics/r10m/acme_ruby"].dtype == np.uint16
print("done")
"""


def test_a_producer_is_one_file_and_one_entry(tmp_path):
    package = tmp_path / "xr_sr"
    shutil.copytree(Path(xr_sr.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    conventions = package / "conventions"
    (conventions / "acme.py").write_text(f'"""Acme, a made-up producer."""\n{ACME}')
    table = (conventions / "__init__.py").read_text()
    table = table.replace("from .cdse import CDSE\n", "from .acme import ACME\nfrom .cdse import CDSE\n")
    (conventions / "__init__.py").write_text(table.replace("    GDAL,\n    OWN,\n", "    GDAL,\n    OWN,\n    ACME,\n"))

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.stdout.strip() == "done", done.stderr


def test_every_name_of_a_band_is_found_by_every_spelling():
    for convention in CONVENTIONS:
        for name, band in convention.bands.items():
            assert {find_band(each).name for each in (name, name.upper(), name.replace("_", "-"))} == {band}

    assert {*BAND_NAMES.values()} <= {band.name for band in BANDS}


def test_each_convention_is_in_the_table_once_with_a_name_of_its_own():
    names = [convention.name for convention in CONVENTIONS]
    files = {path.stem for path in Path(xr_sr.__file__).with_name("conventions").glob("*.py")}

    assert len(set(names)) == len(names) == len(files - {"__init__", "record"})


def test_records_are_frozen_and_take_keywords_only():
    with pytest.raises(TypeError):
        Convention("Acme")
    with pytest.raises(AttributeError):
        CONVENTIONS[0].name = "Acme"
