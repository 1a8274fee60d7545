"""The whole way from a cube to a finer one: the promises of the package, each as a property."""

from __future__ import annotations

from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import xr_sr
from tests.cubes import RGBN, array, dataset, geobox_of, reflectance
from xr_sr.errors import (
    BandWarning,
    GridError,
    MissingBandError,
    OptionError,
    RadiometryError,
    ResolutionError,
    UnknownModelError,
)
from xr_sr.networks.span import SPAN

pytestmark = pytest.mark.usefixtures("official")


def lite(cube: xr.DataArray | xr.Dataset, **options: object) -> xr.DataArray:
    with dask.config.set(scheduler="threads", num_workers=2):
        return cube.sr.upscale("sen2sr-lite", device="cpu", **options).compute()


def close(one: np.ndarray, other: np.ndarray, sliver: bool = False) -> None:
    """Promise 1: equal within float32's order of summation, NaN in the same places."""
    tolerance = (4e-6 if sliver else 1e-6) * np.maximum(1, np.abs(np.nan_to_num(other)))
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    assert (np.abs(np.nan_to_num(one) - np.nan_to_num(other)) <= tolerance).all()


# -- against the official pipeline
# ---------------------------------------------------------------------------------------


def official_window(image: torch.Tensor, folder) -> torch.Tensor:
    """One 128-pixel window as the authors' code does it, from its formulas: clamp, then the mask on the FFT."""
    network = SPAN(4, 4)
    network.load_state_dict(load_file(folder / "model.safetensor"), strict=True)
    mask = torch.fft.ifftshift(next(iter(load_file(folder / "hard_constraint.safetensor").values())).reshape(512, 512))
    with torch.no_grad():
        sr = network.eval()(image[None]).clamp(min=0)
        up = torch.nn.functional.interpolate(image[None], size=(512, 512), mode="bicubic", antialias=True)
        return torch.fft.ifft2(mask * torch.fft.fft2(up) + (1 - mask) * torch.fft.fft2(sr)).real[0]


@pytest.mark.parametrize("kind", ["real", "random"])
def test_equals_the_official_model_inside_a_window(official, kind):
    folder = official / "SEN2SRLite" / "NonReference_RGBN_x4"
    if kind == "real":
        example = load_file(official / "SEN2SRLite" / "main" / "example_data.safetensor")["lr"][0]
        image = example[[2, 1, 0, 6]]
    else:
        image = torch.rand(4, 128, 128, generator=torch.Generator().manual_seed(4))

    ours = lite(array(image.numpy())).values
    theirs = official_window(image, folder).numpy()

    assert np.abs(ours - theirs)[:, 32:-32, 32:-32].max() <= 1e-5


# -- same pixel, same result
# ---------------------------------------------------------------------------------------------


@st.composite
def cuts(draw: st.DrawFn, length: int) -> tuple[int, ...]:
    edges = sorted(draw(st.sets(st.integers(1, length - 1), max_size=4)))
    return tuple(np.diff([0, *edges, length]).tolist())


@st.composite
def holes(draw: st.DrawFn, height: int, width: int) -> np.ndarray:
    """Stripes and ragged patches of NaN, 1 to 24 pixels wide."""
    mask = np.zeros((4, height, width), bool)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    for _ in range(draw(st.integers(0, 3))):
        wide, at = draw(st.integers(1, 24)), draw(st.integers(0, max(height, width)))
        bands = rng.random(4) < 0.7
        kind = draw(st.sampled_from(["row", "column", "patch"]))
        for band in np.flatnonzero(bands):
            if kind == "row":
                mask[band, at : at + wide] = True
            elif kind == "column":
                mask[band, :, at : at + wide] = True
            else:
                part = mask[band, at : at + wide, at : at + wide]
                part |= rng.random(part.shape) < 0.6
    return mask


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), height=st.integers(33, 70), width=st.integers(33, 70))
def test_result_does_not_depend_on_chunks(data, height, width):
    values = reflectance(4, height, width)
    values[data.draw(holes(height, width))] = np.nan
    whole = lite(array(values), chunks=1000)
    bands = data.draw(st.sampled_from([4, 1, (1, 3)]))
    cube = array(values).chunk(band=bands, y=data.draw(cuts(height)), x=data.draw(cuts(width)))
    side = (data.draw(st.integers(8, 80)), data.draw(st.integers(8, 80)))

    close(lite(cube, chunks=side).values, whole.values)


def test_one_pixel_chunks_and_slivers():
    values = reflectance(4, 12, 18)
    values[:, 3:9, 11:13] = np.nan
    whole = lite(array(values), chunks=100).values
    crumbs = array(values).chunk(y=1, x=1)

    close(lite(crumbs, chunks=1).values, whole, sliver=True)
    close(lite(crumbs).values, whole, sliver=True)
    close(lite(crumbs, chunks=(3, 18)).values, whole, sliver=True)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_crop_equals_the_whole_beyond_the_halo(data):
    values = reflectance(4, 64, 72)
    whole = lite(array(values))
    top, left = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20))
    bottom, right = data.draw(st.integers(44, 64)), data.draw(st.integers(44, 72))
    crop = array(values).isel(y=slice(top, bottom), x=slice(left, right))

    inner = lite(crop).isel(y=slice(40, -40), x=slice(40, -40))
    same = whole.sel(y=inner.y, x=inner.x)

    close(inner.values, same.values)


def test_dates_do_not_see_each_other():
    values = reflectance(3, 4, 24, 26)
    together = lite(array(values), chunks={"time": 3})

    for n in range(3):
        close(lite(array(values).isel(time=n)).values, together.isel(time=n).values)


def test_a_local_cluster_gives_the_same_values(official):
    from distributed import Client, LocalCluster

    values = reflectance(4, 150, 130)
    cube = array(values).chunk(y=50, x=50)
    alone = lite(cube)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        spread = cube.sr.upscale("sen2sr-lite", device="cpu").compute()

    close(spread.values, alone.values)


def test_a_worker_killed_in_the_middle_changes_nothing(official):
    import os
    import signal
    import time

    from distributed import Client, LocalCluster

    cube = array(reflectance(4, 300, 300)).chunk(y=50, x=50)
    alone = lite(cube)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        future = client.compute(cube.sr.upscale("sen2sr-lite", device="cpu", chunks=50))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(client.has_what().values()):
            time.sleep(0.05)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        spread = future.result(timeout=120)

    close(spread.values, alone.values)


# -- NaN and nodata
# ------------------------------------------------------------------------------------------------------


def test_one_bad_pixel_costs_its_own_footprint():
    values = reflectance(4, 40, 40)
    values[1, 20, 17] = np.nan

    missing = np.isnan(lite(array(values)).values)

    assert missing.sum() == 16
    assert missing[1, 80:84, 68:72].all()


def test_a_bad_pixel_does_not_reach_beyond_the_halo():
    values = reflectance(4, 60, 60)
    holed = values.copy()
    holed[:, 30, 30] = np.nan

    changed = lite(array(values)).values != lite(array(holed)).values

    rows, columns = np.nonzero(changed.any(axis=0))
    assert rows.min() >= (30 - 10) * 4 and rows.max() < (30 + 11) * 4
    assert columns.min() >= (30 - 10) * 4 and columns.max() < (30 + 11) * 4


def test_all_nan_is_all_nan():
    out = lite(array(np.full((4, 30, 30), np.nan, "float32")))

    assert out.isnull().all()


def test_dn_zero_is_nodata_before_the_offset():
    dn = (reflectance(4, 30, 30) * 10_000 + 1000).astype("uint16")
    dn[:, 5, 6] = 0

    out = lite(array(dn), offset=-1000)

    assert np.isnan(out.values).sum() == 4 * 16
    close(out.values[:, 100:, 100:], lite(array(((dn - 1000.0) / 10_000).astype("float32"))).values[:, 100:, 100:])


def test_mask_is_applied_to_the_output():
    values = reflectance(2, 4, 30, 32)
    keep = xr.DataArray(np.random.default_rng(0).random((30, 32)) > 0.3, dims=("y", "x"))

    out, free = lite(array(values), mask=keep), lite(array(values))

    fine = keep.values.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(out.values, np.where(fine, free.values, np.nan))
    with pytest.raises(GridError, match="mask="):
        lite(array(values), mask=keep[:-1])
    with pytest.raises(GridError, match="mask="):
        lite(array(values), mask=keep.values)


def test_mask_is_matched_by_its_coordinates():
    cube = array(reflectance(2, 4, 24, 24))
    keep = cube.isel(band=0, drop=True) > 0.15
    expected = np.isnan(lite(cube, mask=keep).values)

    turned = keep.isel(time=[1, 0])
    np.testing.assert_array_equal(np.isnan(lite(cube, mask=turned).values), expected)
    with pytest.raises(GridError, match="mask="):
        lite(cube, mask=keep.assign_coords(x=keep.x + 3000))
    with pytest.raises(GridError, match="mask="):
        lite(cube, mask=keep.assign_coords(time=keep.time - np.timedelta64(9000, "D")))


def test_what_a_mask_does_not_know_is_not_kept():
    cube = array(reflectance(4, 24, 24))
    keep = (cube.isel(band=0, drop=True) > 0).isel(y=slice(0, 10)).reindex_like(cube)

    assert np.isnan(lite(cube, mask=keep == 1).values[:, 40:]).all()


@pytest.mark.parametrize("door", ["upscale", "fuse"])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "object"])
def test_numbers_are_refused_as_a_mask(door, dtype):
    cube = dataset(reflectance(2, 24, 24), ("B04", "B11") if door == "fuse" else ("B04", "B08"))
    scl = xr.full_like(cube["B04"].chunk(), 4, dtype=dtype).rename("SCL")

    with pytest.raises(OptionError, match=rf"boolean DataArray.* found {dtype} in 'SCL'.*~scl.isin\(\[0, 1, 3"):
        getattr(cube.sr, door)("bicubic", mask=scl)


def test_results_of_two_masks_say_so():
    cube = array(reflectance(4, 24, 24))
    keep = cube.isel(band=0, drop=True) > 0.15

    one, two = (cube.sr.upscale("bicubic", mask=mask).attrs["xr_sr:mask"] for mask in (keep, ~keep))

    assert one != two
    assert one == cube.sr.upscale("bicubic", mask=keep).attrs["xr_sr:mask"]
    assert "xr_sr:mask" not in cube.sr.upscale("bicubic").attrs


def test_interpolation_has_one_precision():
    assert array(reflectance(4, 24, 24)).sr.upscale("bicubic").attrs["xr_sr:precision"] == "float32"


# -- lazy, and cheap to build
# --------------------------------------------------------------------------------------------


def untouchable(*shape: int, chunks: tuple[int, ...], dtype: str = "uint16") -> da.Array:
    def read(block: np.ndarray) -> np.ndarray:
        raise AssertionError("the input was read")

    return da.zeros(shape, chunks=chunks, dtype=dtype).map_blocks(
        read, dtype=dtype, meta=np.empty((0,) * len(shape), dtype)
    )


def test_building_reads_nothing_and_repr_computes_nothing():
    lazy = untouchable(2, 4, 3000, 3000, chunks=(1, 4, 1024, 1024))
    cube = array(lazy).assign_coords(s2_processing_baseline=("time", ["05.09", "02.14"]))

    out = cube.sr.upscale("sen2sr-lite")

    assert out.shape == (2, 4, 12_000, 12_000)
    assert out.dtype == "float32"
    assert "B04" in repr(cube.sr) and repr(out.sr) and repr(out) and out._repr_html_()


@pytest.mark.parametrize("make", [array, dataset])
def test_few_tasks_per_block(make):
    lazy = da.zeros((4, 2048, 2048), chunks=(4, 512, 512), dtype="uint16")
    cube = make(lazy) if make is array else dataset(lazy)
    out = cube.sr.upscale("sen2sr-lite", offset=0)

    (optimised,) = dask.optimize(out)
    graph = dict(optimised.__dask_graph__())
    ours = [key for key, task in graph.items() if "sr-sen2sr-lite" in str(key) and type(task).__name__ != "Alias"]

    assert len(ours) <= (2 if make is array else 2 + 4) * 16


@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((512, 512), ((256, 256), (256, 256))),
        ((300, 500), ((160, 140), (256, 244))),
        ((600, 200), ((208, 208, 184), (200,))),
        ((256, 250), ((256,), (250,))),
        ((600, 600), ((304, 296), (304, 296))),
        ((1030, 40), ((272, 272, 272, 214), (40,))),
    ],
)
def test_a_small_scene_in_memory_is_work_for_four_cores(shape, chunks):
    cube = array(np.zeros((4, *shape), "float32"))
    out = cube.sr.upscale("bicubic", scale=2)
    series = xr.concat([cube.assign_coords(time=day) for day in range(4)], "time").sr.upscale("bicubic", scale=2)

    assert out.chunks[-2:] == tuple(tuple(2 * side for side in axis) for axis in chunks)
    assert [len(axis) for axis in series.chunks[-2:]] == [-(-length // 512) for length in shape]


def test_the_graph_holds_no_weights():
    import cloudpickle

    out = array(da.zeros((4, 1024, 1024), chunks=512)).sr.upscale("sen2sr-lite")

    assert len(cloudpickle.dumps(out.data.dask)) < 100_000
    assert len(cloudpickle.dumps(dict(out.data.dask))) < 100_000


def test_same_call_same_keys():
    cube = array(da.zeros((4, 64, 64), chunks=32))

    assert cube.sr.upscale("sen2sr-lite").data.name == cube.sr.upscale("sen2sr-lite").data.name
    assert cube.sr.upscale("sen2sr-lite").data.name != cube.sr.upscale("bicubic").data.name


def test_a_file_backed_cube_is_not_loaded(tmp_path):
    path = tmp_path / "cube.nc"
    dataset(reflectance(4, 40, 40)).to_netcdf(path, engine="netcdf4")
    with xr.open_dataset(path, engine="netcdf4", decode_coords="all") as cube:
        out = cube.sr.upscale("sen2sr-lite")

        assert not any(cube[name].variable._in_memory for name in RGBN)
        assert out.compute()["B08"].shape == (160, 160)


# -- what goes in comes out
# ----------------------------------------------------------------------------------------------


def test_same_kind_same_names_same_order():
    values = reflectance(4, 24, 28)
    named = array(values, ["red", "green", "blue", "nir"]).transpose("x", "band", "y")
    apart = dataset(values, ["nir", "red", "green", "blue"])

    from_array, from_dataset = lite(named), lite(apart)

    assert from_array.dims == ("x", "band", "y")
    assert list(from_array.band.values) == ["red", "green", "blue", "nir"]
    assert list(from_dataset) == ["nir", "red", "green", "blue"]
    close(from_dataset["nir"].values, lite(array(values[[1, 2, 3, 0]]))[3].values)


def test_bands_are_given_in_the_order_wanted():
    values = reflectance(4, 24, 24)
    out = lite(array(values), bands=["B08", "red"])

    assert list(out.band.values) == ["B08", "B04"]
    close(out.values, lite(array(values)).values[[3, 0]])


def test_a_tree_gives_its_ten_metre_node():
    tree = xr_sr.sample("havel")

    with pytest.warns(BandWarning, match="r20m"):
        out = tree.sr.upscale("bicubic")

    assert isinstance(out, xr.Dataset)
    assert set(out.data_vars) == {"B02", "B03", "B04", "B08"}
    assert out.odc.geobox == tree["r10m"].to_dataset().odc.geobox.zoom_to((1280, 1280))


def test_bands_that_the_model_cannot_give_are_named():
    values = reflectance(5, 24, 24)

    with pytest.warns(BandWarning, match="B09"):
        out = xr_sr.upscale(array(values, [*RGBN, "B09"]), "sen2sr-lite")

    assert list(out.band.values) == list(RGBN)


@pytest.mark.parametrize("make", [array, dataset])
def test_georeference_is_exact(make):
    cube = make(reflectance(4, 31, 29))

    out = cube.sr.upscale("sen2sr-lite")

    geobox = geobox_of(31, 29).zoom_to((124, 116))
    assert out.odc.geobox == geobox
    assert out.rio.transform() == geobox.affine
    assert out.rio.crs == cube.rio.crs


def test_the_result_says_what_made_it():
    attrs = array(reflectance(4, 24, 24)).sr.upscale("sen2sr-lite").attrs

    assert attrs["xr_sr:model"] == "sen2sr-lite.rgbn-x4"
    assert attrs["xr_sr:weights_sha256"].startswith("479aa796")
    assert "reflectance" in attrs["xr_sr:radiometry"]
    assert "sigma 2.3282" in attrs["xr_sr:constraint"]
    assert "not observed" in attrs["xr_sr:note"]


def test_baselines_take_any_scale_and_band():
    values = reflectance(2, 20, 20)

    out = array(values, ["B11", "B12"]).sr.upscale("nearest", scale=3).compute()

    np.testing.assert_array_equal(out.values, values.repeat(3, 1).repeat(3, 2))


def test_average_of_the_output_is_near_the_input(official):
    image = load_file(official / "SEN2SRLite" / "main" / "example_data.safetensor")["lr"][0, [2, 1, 0, 6]].numpy()

    means = lite(array(image)).values.reshape(4, 128, 4, 128, 4).mean(axis=(2, 4))

    assert np.sqrt(np.mean((means - image) ** 2)) < 0.007  # the constraint is a Gaussian, not a mean of 4 x 4


# -- bad input, each with its sentence
# -----------------------------------------------------------------------------------


def test_a_misspelled_argument_and_a_cube_in_the_place_of_another_are_named():
    cube = array(reflectance(4, 20, 20))

    for call in (cube.sr.upscale, cube.sr.fuse, cube.sr.explain):
        with pytest.raises(OptionError, match="bandz=.*bands="):
            call(bandz=["B04"])
    with pytest.raises(OptionError, match="no option 'steps'"):
        cube.sr.upscale("bicubic", steps=1)
    for call in (lambda: xr_sr.upscale("sen2sr", cube), lambda: xr_sr.index("NDVI", cube)):
        with pytest.raises(OptionError, match="first argument"):
            call()


def test_a_band_without_a_name_of_sentinel_2_is_named_with_the_way_to_krige_it_alone():
    cube = array(reflectance(3, 20, 20), ("B04", "B03", "B08")).to_dataset("band").rename(B08="pan")
    given = {"psf": 0.6, "noise": 0.003}

    with pytest.warns(BandWarning, match="'pan'.*rename.*psf="):
        assert "pan" not in cube.sr.upscale("kriging", psf=0.5, noise=0.003)
    with pytest.raises(OptionError, match="'pan'.*alone.*rename"):
        cube.sr.upscale("kriging", psf={"B04": 0.5, "pan": 0.6})
    alone = cube["pan"].rename("B08").sr.upscale("kriging", **given).rename("pan")
    other = cube["pan"].rename("B02").sr.upscale("kriging", **given)
    np.testing.assert_array_equal(alone.values, other.values)


def test_unknown_names_and_options():
    cube = array(reflectance(4, 20, 20))
    with pytest.raises(UnknownModelError, match="sen2sr-lite"):
        cube.sr.upscale("sen2srlite")
    with pytest.raises(OptionError, match="no option 'steps'"):
        cube.sr.upscale("sen2sr-lite", steps=3)
    for options in ({"mtf": 0.3}, {"psf": 0.5}, {"noise": 0.01}):
        with pytest.raises(OptionError, match=f"no option '{next(iter(options))}'.*model='kriging'"):
            cube.sr.upscale("sen2sr", **options)
    with pytest.raises(OptionError, match="device='gpu'"):
        cube.sr.upscale("bicubic", device="gpu")
    with pytest.raises(OptionError, match="scale='2'"):
        cube.sr.upscale("bicubic", scale="2")
    with pytest.raises(OptionError, match="from 1 to 16"):
        cube.sr.upscale("bicubic", scale=0)
    with pytest.raises(OptionError, match="precision"):
        cube.sr.upscale("sen2sr-lite", precision="double")
    with pytest.raises(OptionError, match="chunks="):
        cube.sr.upscale("bicubic", chunks={"z": 3})
    with pytest.raises(OptionError, match="no weights"):
        cube.sr.upscale("bicubic", weights="sen2sr-lite")
    with pytest.raises(MissingBandError, match="B08"):
        cube.isel(band=slice(3)).sr.upscale("sen2sr-lite")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (reflectance(4, 40, 40) * 255, "255|median"),
        (reflectance(4, 40, 40) * 10_000, "10[ _]?000|median"),
    ],
)
def test_numbers_that_are_no_reflectance_raise_inside_the_task(values, match):
    with pytest.raises(RadiometryError, match=match):
        lite(array(values))


def test_unknown_offset_and_bytes_raise_at_once():
    dn = (reflectance(4, 20, 20) * 10_000).astype("uint16")
    with pytest.raises(RadiometryError, match="offset"):
        array(dn).sr.upscale("sen2sr-lite")
    with pytest.raises(RadiometryError, match="uint8"):
        array((dn // 40).astype("uint8")).sr.upscale("sen2sr-lite")


def test_wrapped_uint16_raises():
    dn = (reflectance(4, 40, 40) * 2_000).astype("uint16")
    with pytest.raises(RadiometryError, match="uint16"):
        lite(array(dn - np.uint16(1000)), offset=0)


def test_each_date_carries_the_offset_of_its_dn():
    dn = array((reflectance(2, 4, 24, 24) * 10_000 + 1000).astype("uint16"))

    for cube in (dn, dn.to_dataset("band"), dn.to_dataset("band").assign(radiometry_offset=("time", [7.0, 7.0]))):
        out = cube.sr.upscale("nearest", scale=2, offset=[0, -1000])

        assert out.coords["radiometry_offset"].values.tolist() == [0, -1000]
        assert "radiometry_offset" not in getattr(out, "data_vars", {})
    one = dn.sr.upscale("nearest", scale=2, offset=-1000)
    assert one.radiometry_offset.values.tolist() == [-1000, -1000]
    assert one.sr.upscale("nearest", scale=2, allow_gsd=True).radiometry_offset.values.tolist() == [-1000, -1000]
    image = dn.isel(time=0)
    assert image.sr.upscale("nearest", scale=2, offset=-1000).radiometry_offset == -1000
    assert "radiometry_offset" not in image.drop_vars("time").sr.upscale("nearest", scale=2, offset=-1000).coords
    assert "radiometry_offset" not in (dn / 1e4).sr.upscale("nearest", scale=2).coords


def test_masks_with_dates_are_input_and_leave_no_token():
    cube = array(reflectance(2, 4, 24, 24))
    keep = cube.isel(band=0, drop=True) > 0.15

    said = {cube.sr.upscale("nearest", mask=mask).attrs["xr_sr:mask"] for mask in (keep, ~keep)}

    assert said == {"by date"}
    assert cube.sr.upscale("nearest", mask=keep.isel(time=0, drop=True)).attrs["xr_sr:mask"] != "by date"


@pytest.mark.parametrize("form", ["array", "dataset"])
def test_a_result_as_input_is_said_to_be_super_resolved_already(form):
    cube = array(reflectance(4, 16, 16))
    fine = (cube if form == "array" else cube.to_dataset("band")).sr.upscale()

    calls = [fine.sr.upscale, fine.sr.fuse, partial(fine.sr.fuse, to=None), partial(fine.sr.upscale, "bicubic")]
    if form == "dataset":
        calls.append(partial(xr.Dataset({"B04": fine["B04"]}).sr.upscale, "nearest"))
    for call in calls:
        with pytest.raises(ResolutionError, match=r"already super-resolved.*sen2sr\.rgbn-x4.*allow_gsd"):
            call()
    assert fine.sr.upscale("bicubic", scale=2, allow_gsd=True).sizes["y"] == 128


def test_what_a_model_made_no_finer_is_upscaled():
    cube = array(reflectance(4, 16, 16))

    for made in (cube.sr.upscale("bicubic", scale=1), cube.sr.reflectance()):
        assert made.sr.upscale("bicubic", scale=2).sizes["y"] == 32


def test_a_factor_that_a_network_does_not_have_is_refused_by_name():
    with pytest.raises(OptionError, match="scale=2.*4 times.*bicubic"):
        array(reflectance(4, 16, 16)).sr.upscale("sen2sr", scale=2)
