"""A short run of `tests.fuzzing`: odd cubes and odd options end in a result or in an error of ours, with words.

What failed once is below, as its smallest call. The long run is by hand: see CONTRIBUTING.md.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.fuzzing import FUNCTIONS, METHODS, Call, Findings, attempt, run
from tests.weird import RGBN, plain
from xr_sr.errors import XrSrError


def test_odd_calls_end_in_a_result_or_an_error_of_ours():
    findings = run(200, 0)

    assert not findings.found, str(findings)
    assert findings.calls > 150 and findings.results > 20 and findings.refused > 20


def test_each_public_function_of_a_cube_is_called():
    """A new function whose first argument is a cube, an array or a Dataset is called too, or listed with the reason."""
    # They read what others have measured, weights, or NumPy's arrays; a movie takes seconds; intervals, ensembles,
    # calibration and the MTF are called in tests/pipeline, and their flags and numbers in tests/test_arguments.py.
    new = {"interval", "ensemble", "multiframe", "calibrate", "calibration_report", "estimate_mtf"}
    without = new | {"class_areas", "report", "ternary", "table", "clip_distance", "lpips", "animate"}
    rooms = [xr_sr, *(getattr(xr_sr, name) for name in ("analytics", "metrics", "plot", "simulate"))]
    takers = set()
    for room in rooms:
        for name in room.__all__:
            function = getattr(room, name)
            parameters = list(inspect.signature(function).parameters.values()) if inspect.isfunction(function) else []
            kind = str(parameters[0].annotation) if parameters else ""
            if any(word in kind for word in ("DataArray", "Dataset", "Cube", "Obj", "Flat", "Image", "XarrayObject")):
                takers.add(name)

    assert takers - without <= {name.rpartition(".")[2] for name in FUNCTIONS}
    assert {"upscale", "to_zarr", "water"} <= set(METHODS)


def test_a_failure_is_found():
    """A fuzzer that sees nothing would pass all of the above."""
    findings = Findings()

    def broken(cube, **_):
        warnings.warn("careless", RuntimeWarning, stacklevel=1)
        raise KeyError("deep inside")

    attempt(Call("broken", plain(RGBN, 4, 10.0), {}), findings, {"broken": broken})
    attempt(Call("refused", None, {}), findings, {"refused": lambda cube: (_ for _ in ()).throw(XrSrError("no"))})

    assert {place.split(" at ")[0].split(":")[0] for place in findings.found} == {
        "KeyError",
        "RuntimeWarning",
        "a message without words",
    }


def _encoded(array, **encoding):
    array = array.copy()
    array.encoding = encoding
    return array


CUBE = plain(RGBN, 12, 10.0)
ARRAY = CUBE.to_dataarray("band")
DATED = CUBE.expand_dims(time=np.array(["2023-06-01", "2023-07-01"], "datetime64[ns]"))
NO_DATE = DATED.to_dataarray("band").isel(time=slice(0))
STORED = (CUBE * 10_000).astype("uint16")
HUGE = ARRAY.astype("float64") * 1e300
WATER = xr.DataArray(np.eye(12, dtype=bool), dims=("y", "x"))

FAILED_ONCE = {
    "a Dataset where an array is read": lambda: xr_sr.analytics.otsu(CUBE),
    "a tree where an array is read": lambda: xr_sr.analytics.object_series(xr.DataTree(), WATER),
    "labels that are a Dataset": lambda: xr_sr.analytics.object_series(ARRAY[0], CUBE),
    "a mask with a coordinate whose name is a number": lambda: xr_sr.agreement(
        WATER.assign_coords({0: 1}), WATER.assign_coords({0: 1})
    ),
    "an index that is a number": lambda: CUBE.sr.index(3),
    "a history of bands instead of dates": lambda: xr_sr.analytics.water_history(
        xr.DataArray(np.ones((2, 3, 3)), dims=("band", "y", "x"), coords={"band": ["B02", "B03"]})
    ),
    "a peak of None": lambda: xr_sr.metrics.psnr(ARRAY, ARRAY, peak=None),
    "a scale of no number": lambda: xr_sr.metrics.ergas(ARRAY, ARRAY, scale=np.array([])),
    "a window that is a pair": lambda: xr_sr.metrics.mtf(ARRAY, ARRAY, window=(8, 8)),
    "objects that are a Dataset": lambda: xr_sr.metrics.object_scores(CUBE, ARRAY[0]),
    "quantification that is an array": lambda: CUBE.sr.reflectance(quantification=np.zeros(3)),
    "layers that are no mapping": lambda: xr_sr.explore(CUBE, layers=ARRAY),
    "a frame that is a number": lambda: xr_sr.compare(sr=CUBE, window=64),
    "limits that are a number": lambda: xr_sr.compare(sr=CUBE, limits=1),
    "pairs at a name too long": lambda: xr_sr.make_pairs(ARRAY, ARRAY, "x" * 300),
    "scenes whose weight is text": lambda: xr_sr.training.scenes_of(CUBE, weight="heavy"),
    "northing and easting with a scalar x": lambda: (
        CUBE.rename(y="northing", x="easting").assign_coords(x=1).sr.index("NDVI")
    ),
    "maps of trust of a function": lambda: xr_sr.plot.trust_maps(print),
    "a raster of no place": lambda: WATER.astype("float32").sr.to_cog("a.tif", progress=False),
    "a border that is an array": lambda: xr_sr.metrics.consistency(ARRAY, ARRAY, border=np.zeros(3)),
    "a kernel of text": lambda: xr_sr.simulate.degrade(ARRAY, 2, kernel="B04"),
    "areas of no member": lambda: WATER.expand_dims(member=2, time=2).isel(member=slice(0)).sr.areas(),
    "a type in the encoding that is none": lambda: _encoded(ARRAY, dtype="2023-06-01").sr.reflectance(),
    "a coordinate with spaces in its name": lambda: CUBE.assign_coords({"cloud cover": 3}).sr.to_zarr("a.zarr"),
    "a threshold of objects": lambda: xr_sr.analytics.otsu(ARRAY[0].astype(object)).compute(),
    "a deviation that is a tuple": lambda: xr_sr.simulate.hybrid(ARRAY, ARRAY, sigma=("B08", "B02")),
    "a deviation that is text": lambda: xr_sr.simulate.hybrid(ARRAY, ARRAY, sigma="2"),
    "a cutoff that is text": lambda: xr_sr.simulate.hybrid(ARRAY, ARRAY, cutoff="0.2"),
    "a geocentric CRS": lambda: ARRAY.drop_vars("spatial_ref").assign_attrs(crs="EPSG:4978").sr.upscale("bicubic"),
    "edges of no band": lambda: xr_sr.metrics.edge_response(ARRAY.isel(band=slice(0))).compute(),
    "a store whose keys are numbers": lambda: xr_sr.open_zarr({0: 1}),
    "bands that are an array without dimensions": lambda: CUBE.sr.fuse("bicubic", bands=np.array("B04")),
    "bands of a list of models that are one": lambda: xr_sr.list_models(bands=np.array(["B04", "B08"])),
    "dimensions that are an array without any": lambda: xr_sr.metrics.rmse(ARRAY, ARRAY, dims=np.array("y")),
    "items that are an array without dimensions": lambda: xr_sr.load(np.array("x")),
    "a precision that is an array": lambda: CUBE.sr.fuse("glp-hpm", precision=np.array([])),
    "a constraint that is an array": lambda: CUBE.sr.fuse("glp-hpm", constraint=np.array([])),
    "numbers of objects that are a Dataset": lambda: xr_sr.analytics.object_series(
        WATER, WATER.astype(int), objects=CUBE
    ),
    "consistency of no date": lambda: xr_sr.metrics.consistency(NO_DATE, NO_DATE).compute(),
    "errors of no date": lambda: xr_sr.metrics.ssim(NO_DATE, NO_DATE).compute(),
    "a distance that is an array": lambda: xr_sr.metrics.consistency(ARRAY, ARRAY, spectral=np.zeros(2)),
    "a level that is a type": lambda: xr_sr.metrics.consistency(ARRAY, ARRAY, at=int),
    "dates of several types": lambda: (
        DATED.to_dataarray("band")
        .assign_coords(time=np.array(["2023", np.datetime64("2023-07-01")], object))
        .sr.flood("2023-06", "2023-07", index="NDWI")
    ),
    "an offset that is a tree": lambda: xr_sr.flood_between(WATER, WATER, offset=xr.DataTree()),
    "an offset of a cube that is a tree": lambda: (CUBE * 1000).astype("uint16").sr.reflectance(offset=xr.DataTree()),
    "nodata that is a tree": lambda: (CUBE * 1000).astype("uint16").sr.reflectance(offset=0, nodata=xr.DataTree()),
    "names of bands in attributes that are a Dataset": lambda: ARRAY.assign_attrs(long_name=CUBE).sr.fuse(
        "bicubic", bands="B04"
    ),
    "patches larger than any image": lambda: xr_sr.metrics.mae(ARRAY, ARRAY, at=10**30).compute(),
    "flag values that are no list": lambda: WATER.astype("float32").assign_attrs(flag_values=True).sr.areas(),
    "a name and a coordinate that are one number": lambda: (
        ARRAY.rename(0).assign_coords({0: ("band", range(4))}).sr.to_zarr({}, progress=False)
    ),
    "a number and its text as names": lambda: CUBE.assign({0: CUBE.B04, "0": CUBE.B04}).sr.to_zarr({}, progress=False),
    "a mask of a NumPy array": lambda: xr_sr.mask(np.zeros(3)),
    "a type in the encoding that NumPy evaluates": lambda: _encoded(ARRAY, dtype="05.09").sr.reflectance(),
    "a type in the encoding with an old name": lambda: _encoded(ARRAY, dtype="a3").sr.reflectance(),
    "areas of pixels outside of the world": lambda: xr_sr.analytics.pixel_areas(
        ARRAY.assign_coords(x=np.arange(12) * 1e300)
    ),
    "a series of text": lambda: xr_sr.plot.series("x"),
    "a series of a tree": lambda: xr_sr.plot.series(xr.DataTree()),
    "an offset beyond float32": lambda: STORED.sr.index("NDVI", offset=1e300).compute(),
    "an offset beyond float32 in the metadata": lambda: (
        STORED.assign_attrs(BOA_ADD_OFFSET=1e300).sr.reflectance().compute()
    ),
    "a quantification that is 0 in float32": lambda: STORED.sr.reflectance(offset=0, quantification=1e-300).compute(),
    "a quantification beyond float32": lambda: STORED.sr.reflectance(offset=0, quantification=1e300).compute(),
    "a constraint that is an array for a model": lambda: ARRAY.sr.upscale("bilinear", constraint=np.zeros(3)),
    "errors of infinite pixels": lambda: xr_sr.metrics.mae(ARRAY * np.inf, ARRAY * np.inf).compute(),
    "squares beyond float64": lambda: xr_sr.metrics.ssim(HUGE, -HUGE).compute(),
    "scenes of no band": lambda: xr_sr.training.scenes_of(ARRAY, bands=np.array([])),
    "an attribute crs that is a number": lambda: ARRAY.assign_attrs(crs=7).sr.upscale("bicubic"),
}
"""Calls that ended in an exception from deep inside, or in a warning of another library, when the fuzzer found them."""


@pytest.mark.filterwarnings("error", "ignore::xr_sr.errors.XrSrWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", FAILED_ONCE)
def test_what_failed_once_is_a_result_or_an_error_of_ours(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(XrSrError):
        FAILED_ONCE[name]()
