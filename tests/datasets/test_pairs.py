"""Pairs of images: what is kept, what is refused and why, what lies on disk."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pystac
import pytest
import xarray as xr

from tests import cubes
from xr_sr import errors
from xr_sr.datasets.pair_files import partial_folder
from xr_sr.datasets.pairs import PairLimits, examine, make_pairs, spectral_angle
from xr_sr.simulate import degrade

SCALE, SIDE = 4, 32


def scene(height: int = 320, width: int = 384) -> tuple[xr.DataArray, xr.DataArray]:
    """A fine image with structure at all scales, and what a coarse sensor saw of it; a date on the coarse one."""
    rng = np.random.default_rng(4)
    values = sum(
        rng.random((1, height // side + 1, width // side + 1)).repeat(side, -1).repeat(side, -2)[:, :height, :width]
        for side in (1, 4, 9, 24)
    )
    colors = np.array([0.5, 0.6, 0.8, 1.2])[:, None, None]
    hr = cubes.array((0.03 + 0.05 * values * colors).astype("float32"))
    lr = degrade(hr, SCALE, noise=0.001).assign_coords(time=np.datetime64("2023-06-01T10:30:00.25", "ns"))
    return lr.compute(), hr


def test_a_fine_image_and_its_degraded_self_make_pairs(tmp_path: Path):
    lr, hr = scene()

    pairs = make_pairs(lr, hr, tmp_path / "set", size=SIDE, harmonize=None)

    assert dict(pairs.lr.sizes) == {"patch": 6, "band": 4, "y": 32, "x": 32}
    assert dict(pairs.hr.sizes) == {"patch": 6, "band": 4, "y_hr": 128, "x_hr": 128}
    assert pairs.lr.chunks is not None
    assert pairs.angle.chunks is None
    assert pairs.attrs["crs"] == "EPSG:32633"
    assert list(pairs.band) == list(cubes.RGBN)
    assert float(np.hypot(pairs.shift_y, pairs.shift_x).max()) < 0.05
    assert float(pairs.angle.max()) < 1
    for n, (row, column) in enumerate(zip(pairs.row.values, pairs.column.values, strict=True)):
        np.testing.assert_array_equal(pairs.lr[n], lr[:, row : row + 32, column : column + 32])
        fine = hr[:, row * 4 : row * 4 + 128, column * 4 : column * 4 + 128]
        np.testing.assert_array_equal(pairs.hr[n], fine)


def test_a_line_takes_the_coarse_images_radiometry_to_the_fine_one(tmp_path: Path):
    lr, hr = scene()

    pairs = make_pairs(1.2 * lr + 0.01, hr, tmp_path / "set", size=SIDE)

    np.testing.assert_allclose(pairs.hr[0], 1.2 * hr[:, :128, :128] + 0.01, rtol=0.02)


def test_only_common_ground_is_cut(tmp_path: Path):
    lr, hr = scene()

    pairs = make_pairs(lr[:, 7:], hr[:, 2:, 5:], tmp_path / "set", size=SIDE, harmonize=None)

    assert list(pairs.lr.shape) == [4, 4, 32, 32]
    np.testing.assert_array_equal(pairs.lr[0], lr[:, 7:39, 2:34])
    np.testing.assert_array_equal(pairs.hr[0], hr[:, 28:156, 8:136])
    corner = lr.odc.geobox.affine @ (2, 7)
    assert (float(pairs.left[0]), float(pairs.top[0])) == corner


def test_each_pair_has_an_item_that_says_where_when_and_what(tmp_path: Path):
    lr, hr = scene()

    pairs = make_pairs(lr, hr, tmp_path / "set.v1", size=SIDE, license="CC-BY-4.0")
    collection = pystac.Collection.from_file(str(tmp_path / "set.v1" / "collection.json"))
    items = list(collection.get_items())

    assert len(items) == pairs.sizes["patch"]
    assert collection.id == "set.v1"
    assert collection.license == "CC-BY-4.0"
    item = items[1]
    assert item.properties["license"] == "CC-BY-4.0"
    assert item.properties["proj:code"] == "EPSG:32633"
    assert item.properties["proj:shape"] == [32, 32]
    assert item.datetime.isoformat() == "2023-06-01T10:30:00.250000+00:00"
    grid = lr.odc.geobox[0:32, 32:64]
    np.testing.assert_allclose(item.properties["proj:transform"], list(grid.affine)[:6])
    np.testing.assert_allclose(item.bbox, grid.extent.to_crs("EPSG:4326").boundingbox.bbox)
    assert item.geometry["type"] == "Polygon"
    assert item.properties["xr_sr:spectral_angle"] == pytest.approx(float(pairs.angle[1]), abs=1e-5)
    assert item.assets["hr"].extra_fields["proj:shape"] == [128, 128]
    assert item.assets["hr"].extra_fields["xr_sr:patch"] == 1
    assert Path(item.assets["hr"].get_absolute_href()) == tmp_path / "set.v1" / "pairs.zarr" / "hr"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.v1"]
    for file in (tmp_path / "set.v1").rglob("*.json"):
        assert str(tmp_path) not in file.read_text(encoding="utf-8"), file.name


def test_the_selection_says_why_a_patch_was_not_kept(tmp_path: Path):
    lr, hr = scene()
    lr[:, 3, 3] = np.nan
    lr[:, :32, 32:64] = lr[:, :32, 32:64].roll(x=1)
    lr[:, :32, 64:] = lr[:, :32, 64:].isel(band=[3, 1, 2, 0]).values
    lr[:, 32:64, :32] = 0.1 + np.arange(4)[:, None, None] * 0.02

    pairs = make_pairs(lr, hr, tmp_path / "set", size=SIDE, harmonize=None)
    table = xr.open_zarr(tmp_path / "set" / "pairs.zarr", group="selection").load()

    assert list(table.reason.values) == [
        "too few valid pixels",
        "shifted",
        "other colors",
        "shift not measurable",
        "kept",
        "kept",
    ]
    assert list(table.kept.values) == [False] * 4 + [True] * 2
    assert list(pairs.row.values) == list(table.row.values[4:])
    assert float(table.shift_x[1]) == pytest.approx(1, abs=0.1)


def test_a_limit_takes_a_random_choice_that_the_seed_fixes(tmp_path: Path):
    lr, hr = scene()

    def places(name: str, seed: int) -> list[tuple[int, int]]:
        pairs = make_pairs(lr, hr, tmp_path / name, size=SIDE, step=16, harmonize=None, limit=3, seed=seed)
        return list(zip(pairs.row.values.tolist(), pairs.column.values.tolist(), strict=True))

    one, again, other = places("one", 1), places("again", 1), places("other", 2)

    assert len(one) == 3
    assert one == again != other


def test_a_set_that_exists_is_refused_and_left_alone(tmp_path: Path):
    lr, hr = scene()
    (tmp_path / "set").mkdir()

    with pytest.raises(errors.StoreError, match="exists"):
        make_pairs(lr, hr, tmp_path / "set", size=SIDE)
    assert list((tmp_path / "set").iterdir()) == []


def test_what_lies_on_disk_opens_without_a_warning(tmp_path: Path):
    lr, hr = scene()
    make_pairs(lr, hr, tmp_path / "set", size=SIDE, harmonize=None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = xr.open_zarr(tmp_path / "set" / "pairs.zarr")
        table = xr.open_zarr(tmp_path / "set" / "pairs.zarr", group="selection")
    assert pairs.sizes["patch"] == table.sizes["tested"] == 6


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_what_dead_runs_left_is_removed_and_nothing_else(tmp_path: Path):
    target, other = tmp_path / "set", tmp_path / "another"
    names = []
    for place in (target, target, other):
        with partial_folder(place) as partial:
            names.append(partial.name)
    dead, young, elsewhere = (tmp_path / name for name in names)
    for folder in (dead, young, elsewhere):
        (folder / "pairs.zarr").mkdir(parents=True)
    with partial_folder(target) as living:
        for folder in (dead, elsewhere, living):
            os.utime(folder, (1e9, 1e9))
        with partial_folder(target) as own:
            assert {path.name for path in tmp_path.iterdir()} == {young.name, elsewhere.name, living.name, own.name}


def test_a_dataset_is_told_how_to_become_an_array(tmp_path: Path):
    lr, hr = scene(128, 160)

    with pytest.raises(errors.CubeError, match=r'to_dataarray\("band"\)'):
        make_pairs(lr.to_dataset("band"), hr, tmp_path / "set", size=SIDE, harmonize=None)


def test_a_failure_leaves_nothing_behind(tmp_path: Path):
    lr, hr = scene()

    with pytest.raises(errors.CubeError, match="6 shifted"):
        make_pairs(lr.roll(x=1, roll_coords=False), hr, tmp_path / "set", size=SIDE, harmonize=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "options", "error"),
    [
        (lambda lr, hr: (lr.drop_vars("time"), hr), {}, errors.CubeError),
        (lambda lr, hr: (xr.concat([lr, lr], "time"), hr), {}, errors.CubeError),
        (lambda lr, hr: (lr[:3], hr), {}, errors.MissingBandError),
        (lambda lr, hr: (lr, lr), {}, errors.GridError),
        (lambda lr, hr: (lr, hr.assign_coords(x=hr.x + 3)), {}, errors.GridError),
        (lambda lr, hr: (lr, hr.assign_coords(x=hr.x + 40_000)), {}, errors.GridError),
        (lambda lr, hr: (lr, hr), {"size": 100}, errors.GridError),
        (lambda lr, hr: (lr, hr), {"size": 8}, errors.OptionError),
        (lambda lr, hr: (lr, (hr * 10_000).astype("uint16")), {}, errors.RadiometryError),
    ],
)
def test_what_makes_no_pairs_is_refused(change, options, error, tmp_path: Path):
    lr, hr = change(*scene(128, 160))

    with pytest.raises(error):
        make_pairs(lr, hr, tmp_path / "set", **{"size": SIDE, "harmonize": None, **options})
    assert list(tmp_path.iterdir()) == []


def test_the_spectral_angle_is_blind_to_brightness():
    image = cubes.reflectance(4, 16, 16)
    turned = np.stack([image[0] * 0, image[0], image[0] * 0, image[0] * 0])
    along = np.stack([image[0], image[0] * 0, image[0] * 0, image[0] * 0])

    assert spectral_angle(image, 3 * image) == pytest.approx(0, abs=1e-4)
    assert spectral_angle(along, turned) == pytest.approx(90)
    assert spectral_angle(along, along + turned) == pytest.approx(45)
    assert np.isnan(spectral_angle(image * 0, image))


def test_a_shift_is_the_way_of_the_fine_image_to_the_coarse_one():
    _, hr = scene()
    seen = degrade(hr, SCALE).values
    moved = np.roll(seen, (1, -2), (-2, -1))

    found = examine(moved[:, :64, :64], seen[:, :64, :64], hr.values, PairLimits(5, 90, 0.5))

    assert (found.shift_y, found.shift_x) == pytest.approx((1, -2), abs=0.1)
    assert found.kept
