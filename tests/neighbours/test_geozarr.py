"""zarr-cm and geozarr-toolkit: what they say of the conventions in our stores."""

from __future__ import annotations

import json

import geozarr_toolkit.helpers.validation as toolkit
import pytest
import zarr
import zarr_cm.multiscales
import zarr_cm.proj
import zarr_cm.spatial
from affine import Affine
from odc.geo.geobox import GeoBox

from tests.io.zarr.scenes import NORTH_UP, cube
from xr_sr.io.zarr import to_zarr

LAEA = GeoBox(NORTH_UP.shape, NORTH_UP.affine, "+proj=laea +lat_0=46.5 +lon_0=9.1 +ellps=GRS80")
DEGREES = GeoBox(NORTH_UP.shape, Affine(1e-5, 0, 8, 0, -1e-5, 51), "EPSG:4326")


def document(path) -> dict:
    return json.loads((path / "zarr.json").read_text())


@pytest.mark.parametrize("geobox", [NORTH_UP, DEGREES, LAEA], ids=["utm", "degrees", "no code"])
@pytest.mark.parametrize("pyramid", [0, 1])
def test_declared_conventions_are_valid_in_their_latest_revision(geobox, pyramid, tmp_path):
    to_zarr(cube(geobox), tmp_path, pyramid=pyramid, geozarr=True)

    groups = [tmp_path] if not pyramid else [tmp_path / "0", tmp_path / "1"]
    for group in groups:
        for convention in (zarr_cm.proj, zarr_cm.spatial):
            convention.validate_group_metadata(document(group))
            convention.validate_array_metadata(document(group / "reflectance"))
    for declared in document(groups[0])["attributes"]["zarr_conventions"]:
        assert declared in (zarr_cm.proj.CMO, zarr_cm.spatial.CMO)


def test_the_root_of_a_pyramid_declares_its_layout(tmp_path):
    to_zarr(cube(), tmp_path, pyramid=2)

    for convention in (zarr_cm.multiscales, zarr_cm.proj, zarr_cm.spatial):
        convention.validate_group_metadata(document(tmp_path))
        assert convention.CMO in document(tmp_path)["attributes"]["zarr_conventions"]
    valid, errors = toolkit.validate_multiscales_structure(zarr.open_group(tmp_path, mode="r"))
    assert valid, errors


@pytest.mark.parametrize("options", [{}, {"geozarr": True}, {"pyramid": 1}], ids=str)
def test_the_toolkit_finds_no_error_in_any_group(options, tmp_path):
    to_zarr(cube(), tmp_path, **options)
    root = zarr.open_group(tmp_path, mode="r")

    for group in (root, *(each for _, each in root.groups())):
        found = toolkit.validate_group(group)
        assert {"spatial", "proj"} <= found.keys()
        assert not any(found.values()), found
