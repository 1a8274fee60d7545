"""The study recovers what was done to a pair, and ranks models as the error against the known reference does."""

from __future__ import annotations

import json

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import rioxarray  # noqa: F401  registers `.rio`
import xarray as xr

import xr_sr
from studies import real_pair
from xr_sr.errors import CubeError, GridError, MissingBandError, OptionError
from xr_sr.registration import warp

DY, DX, GAIN, OFFSET = 0.3, -0.2, 250.0, 40.0
"""What is done to the reference: pixels of LR, and counts of the aerial image per unit of reflectance."""

MODELS = ["bicubic", "unsharp", "kriging", "sen2sr"]
NAMED = ["--hr-bands", "B02", "B03", "B04", "B08", "--models", "bicubic"]


def stack(node: xr.DataTree) -> xr.DataArray:
    return node.to_dataset().to_dataarray("band").compute()


@pytest.fixture(scope="module")
def pair() -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """LR in reflectance, the reference, and the aerial image: moved, in counts, on the same declared grid."""
    tree = xr_sr.sample("virginia")
    lr, hr = xr_sr.reflectance(stack(tree["lr/r10m"]), offset=0), stack(tree["hr"])
    moved = warp(hr.values.astype("float64"), 4 * DY, 4 * DX)
    return lr, hr, hr.copy(data=(moved * GAIN + OFFSET).astype("float32"))


@pytest.fixture(scope="module")
def found(pair):
    lr, _, aerial = pair
    return real_pair.study(lr, aerial, MODELS)


@pytest.fixture
def files(pair, tmp_path) -> tuple[str, str]:
    xr_sr.sample("virginia")["lr/r10m"].to_dataset().to_zarr(tmp_path / "lr.zarr")
    pair[2].odc.assign_crs("EPSG:26917").rio.to_raster(tmp_path / "hr.tif")
    return str(tmp_path / "lr.zarr"), str(tmp_path / "hr.tif")


def test_shift_and_gain_are_recovered(found):
    assert found["shift"]["dy"] == pytest.approx(-DY, abs=0.04)
    assert found["shift"]["dx"] == pytest.approx(-DX, abs=0.04)
    assert max(abs(found["residual shift"][axis]) for axis in ("dy", "dx")) < 0.02
    for row in found["radiometry"].values():
        assert row["gain"] == pytest.approx(1 / GAIN, rel=0.02)
        assert row["offset"] == pytest.approx(-OFFSET / GAIN, abs=0.004)


def test_names_that_contradict_the_file_are_refused(files, pair, capsys):
    lr, hr = files
    named = pair[2].odc.assign_crs("EPSG:26917").assign_attrs(long_name=("B02", "B03", "B04", "B08"))
    named.rio.to_raster(hr)

    assert real_pair.main([lr, hr, "--hr-bands", "B04", "B03", "B02", "B08", "--models", "bicubic"]) == 2
    assert "B02 B03 B04 B08" in (said := capsys.readouterr().err) and "--hr-bands" in said
    assert real_pair.main([lr, hr, *NAMED]) == 0
    assert real_pair.main([lr, hr, "--models", "bicubic"]) == 0


def test_models_rank_as_by_the_error_against_the_known_reference(pair, found):
    lr, hr, _ = pair
    inner = (slice(None), slice(24, -24), slice(24, -24))
    plain = {}
    for model, image in real_pair.upscaled(lr, MODELS, hr.band.values.tolist(), 4)[0].items():
        plain[model] = float(np.sqrt(((image - hr.values)[inner] ** 2).mean()))

    by_error = sorted(MODELS, key=lambda model: found["models"][model]["error"])
    assert by_error == sorted(MODELS, key=plain.__getitem__)
    for name in real_pair.LIMITS:
        assert found["models"]["bicubic"][name] == min(row[name] for row in found["models"].values())
    assert all(row["fine"] < row["mid"] < row["coarse"] for row in found["models"].values())
    assert found["models"]["bicubic"]["gain"] > found["models"]["kriging"]["gain"] == pytest.approx(1, abs=0.1)


def test_a_perfect_output_has_no_error_and_correlates_fully(pair):
    hr = pair[1].values.astype("float64")
    everywhere = np.ones(hr.shape[1:], bool)
    row = real_pair.scores(hr / 3, hr, everywhere, everywhere, 4)

    assert [row[name] for name in real_pair.LIMITS] == pytest.approx([1, 1, 1])
    assert (row["error"], row["gain"]) == pytest.approx((0, 3), abs=1e-9)


@pytest.mark.parametrize(("wavelength", "part"), [(1.3, "fine"), (2.9, "mid"), (5.5, "coarse")])
def test_each_band_of_frequency_holds_its_own_waves(wavelength, part):
    x = np.arange(400) * 2 * np.pi / (wavelength * 4)
    wave = np.broadcast_to(np.sin(x), (1, 400, 400))
    parts = real_pair.detail(wave, np.ones((400, 400), bool), 4)
    energy = {name: float((image[:, 100:-100, 100:-100] ** 2).mean()) for name, image in parts.items()}

    assert max(energy, key=energy.__getitem__) == part


def test_the_command_reads_files_and_writes_json(files, tmp_path, capsys):
    code = real_pair.main([*files, *NAMED, "sen2sr-lite", "--json", str(tmp_path / "pair.json")])
    table, numbers = capsys.readouterr().out, json.loads((tmp_path / "pair.json").read_text())

    assert code == 0
    assert numbers["shift"]["dy"] == pytest.approx(-DY, abs=0.04)
    assert "| bicubic | " in table
    assert set(numbers["left out"]) == {"sen2sr-lite"}  # no weights are at hand in tests, and none are downloaded


def test_pairs_that_cannot_be_compared_are_refused(pair):
    lr, _, aerial = pair
    noise = aerial.copy(data=np.random.default_rng(0).normal(size=aerial.shape))

    with pytest.raises(CubeError, match="registered.* certain"):
        real_pair.study(lr, noise, ["bicubic"])
    with pytest.raises(CubeError, match="registered.* exceeds 3"):
        real_pair.study(lr, aerial.roll(x=14), ["bicubic"])
    with pytest.raises(MissingBandError, match="--hr-bands"):
        real_pair.study(lr, aerial.assign_coords(band=["1", "2", "3", "4"]), ["bicubic"])
    with pytest.raises(GridError, match="32633"):
        real_pair.study(lr, aerial.odc.assign_crs("EPSG:32633"), ["bicubic"])
    with pytest.raises(GridError, match="--scale"):
        real_pair.study(lr, aerial.isel(x=slice(None, None, 3), y=slice(None, None, 3)), ["bicubic"])
    with pytest.raises(GridError, match="overlap"):
        real_pair.study(lr, aerial.assign_coords(x=aerial.x + 1e5), ["bicubic"])
    for less in (aerial.isel(x=slice(20)), aerial.where(aerial.x < aerial.x[20])):
        with pytest.raises(GridError, match="16 x 16"):
            real_pair.study(lr, less, ["bicubic"])
    for options in ({"scale": 0}, {"scale": 1}, {"max_shift": -1}):
        with pytest.raises(OptionError, match="scale=|max_shift="):
            real_pair.study(lr, aerial, ["bicubic"], **options)


@pytest.mark.parametrize(
    ("lr", "hr", "options", "named"),
    [
        ("none.tif", "hr.tif", NAMED, ["LR", "none.tif"]),
        ("lr.zarr", "none.tif", NAMED, ["HR", "none.tif"]),
        ("lr.zarr", "text.tif", NAMED, ["HR", "text.tif"]),
        ("lr.zarr", "crs.tif", NAMED, ["EPSG:26917", "EPSG:32633"]),
        ("lr.zarr", "far.tif", NAMED, ["overlap"]),
        ("lr.zarr", "noise.tif", NAMED, ["registered"]),
        ("hr.tif", "lr.zarr", NAMED, ["--lr-bands"]),
        ("lr.zarr", "hr.tif", ["--hr-bands", "B02"], ["HR", "--hr-bands"]),
        ("lr.zarr", "hr.tif", [*NAMED, "nonsense"], ["nonsense"]),
        ("lr.zarr", "hr.tif", [*NAMED, "--offset", "nan"], ["offset"]),
        ("lr.zarr", "hr.tif", [*NAMED, "--max-shift", "-1"], ["max_shift"]),
        ("lr.zarr", "hr.tif", [*NAMED, "--json", "no/folder.json"], ["--json"]),
    ],
)
def test_the_command_ends_with_one_line_and_code_2(pair, files, tmp_path, capsys, lr, hr, options, named):
    aerial = pair[2].odc.assign_crs("EPSG:26917")
    (tmp_path / "text.tif").write_text("not an image")
    aerial.odc.assign_crs("EPSG:32633").rio.to_raster(tmp_path / "crs.tif")
    aerial.assign_coords(x=aerial.x + 1e5).odc.assign_crs("EPSG:26917").rio.to_raster(tmp_path / "far.tif")
    noise = np.random.default_rng(0).normal(size=aerial.shape)
    aerial.copy(data=noise).rio.to_raster(tmp_path / "noise.tif")

    code = real_pair.main([str(tmp_path / lr), str(tmp_path / hr), *options])

    written = capsys.readouterr()
    assert (code, written.out, written.err.count("\n")) == (2, "", 1)
    assert written.err.startswith("real_pair: error: ")
    assert all(word in written.err for word in named)
