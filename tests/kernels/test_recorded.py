"""Options are recorded with their defaults: what is recorded gives the same again, and equal requests are equal."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import xarray as xr

import xr_sr
from tests.cubes import array, reflectance
from tests.pipeline.test_pansharpen import geobox_of, tree_of
from xr_sr.errors import StoreMismatchError
from xr_sr.io.zarr.record import check_fingerprint
from xr_sr.kernels.psf import MTF_AT_NYQUIST
from xr_sr.kernels.recorded import same_options

BANDS = ("B04", "B08")
KERNEL = np.outer(*[np.exp(-0.5 * ((np.arange(9) - 4) / 2) ** 2)] * 2)
KRIGING = "kriging"
PUBLISHED = {band: MTF_AT_NYQUIST[band] for band in BANDS}

EQUAL = [
    ("sen2sr", [{}, {"strength": 1}, {"strength": np.float32(1)}]),
    ("bicubic", [{}, {"scale": 4}, {"scale": np.int64(4)}]),
    (KRIGING, [{}, {"scale": 4}, {"strength": 1}, {"prior": [1.35, 1000]}, {"noise": "sentinel2"}, {"noise": {}}]),
    (KRIGING, [{}, {"mtf": "published"}, {"psf": "mtf"}, {"mtf": {}}, {"mtf": {"red": 0.24}}, {"mtf": PUBLISHED}]),
    (KRIGING, [{"mtf": 0.3}, {"mtf": {"red": 0.3, "B08": 0.3}}, {"mtf": {"B11": 0.2, "B08": 0.3, "B04": 0.3}}]),
    (KRIGING, [{"psf": 0.5}, {"psf": {"B08": 0.5, "B04": np.float64(0.5)}}]),
    (KRIGING, [{"psf": "5.3 m"}, {"psf": "5.30m"}]),
    (KRIGING, [{"psf": KERNEL}, {"psf": KERNEL.tolist()}, {"psf": {"B04": KERNEL, "nir": KERNEL}}]),
    (KRIGING, [{"noise": 0.002}, {"noise": {"B04": 0.002, "B08": 0.002}}]),
    *(
        (model, [{"constraint": "measured", **options} for options in group])
        for model in ("bicubic", KRIGING)
        for group in (
            [{}, {"mtf": "published"}, {"mtf": {"B04": 0.24}}, {"mtf": PUBLISHED}],
            [{"mtf": 0.3}, {"mtf": {"B08": 0.3, "red": 0.3}}],
        )
    ),
]
"""Groups of options that ask for the same, of a cube of two bands."""

DIFFERENT = [
    {},
    {"scale": 2},
    {"strength": 0.5},
    {"prior": (1.4, 1000)},
    {"noise": 0.002},
    {"noise": {"B04": 0.002}},
    {"mtf": 0.3},
    {"mtf": {"B04": 0.3}},
    {"mtf": {"B08": 0.3}},
    {"psf": 0.5},
    {"psf": {"B04": 0.5}},
    {"psf": "5.3 m"},
    {"psf": KERNEL},
]
"""Options of kriging, no two of which ask for the same."""


def cube_of(form: str = "DataArray", bands: tuple[str, ...] = BANDS) -> xr.DataArray | xr.Dataset:
    cube = array(reflectance(len(bands), 40, 40), bands=bands, geobox=geobox_of(40, 40))
    return cube if form == "DataArray" else cube.to_dataset("band")


def recorded_before(options: dict[str, object]) -> str:
    """What was written until 2026-11-29: the options as they were passed."""
    own = {name: value for name, value in options.items() if name != "constraint"}
    return json.dumps(own, sort_keys=True, default=lambda value: value.tolist()) if own else ""


def same(one: dict[str, object], other: dict[str, object]) -> bool:
    try:
        check_fingerprint(one, other, "it")
    except StoreMismatchError:
        return False
    return True


def fingerprint_of(made: xr.DataArray | xr.Dataset, options: str | None = None) -> dict[str, object]:
    """Return what a store compares. options: the record, where it is another than that of the result."""
    attrs = {key: value for key, value in made.attrs.items() if not key.endswith(("version", "note"))}
    if options is not None:
        attrs = {**attrs, "xr_sr:options": options} if options else attrs
        if not options:
            del attrs["xr_sr:options"]
    if isinstance(made, xr.Dataset):
        return {"variables": {name: {} for name in made}, "labels": {}, "attrs": attrs}
    labels = {"band": made["band"].values.tolist()} if "band" in made.dims else {}
    return {"variables": {"data": {}}, "labels": labels, "attrs": attrs}


@pytest.mark.parametrize("form", ["DataArray", "Dataset"])
@pytest.mark.parametrize(("model", "group"), EQUAL)
def test_equal_requests_are_equal_and_so_are_older_records_of_them(model, group, form):
    cube = cube_of(form, ("B04", "B03", "B02", "B08") if model == "sen2sr" else BANDS)
    made = [cube.sr.upscale(model, device="cpu", **options) for options in group]
    now = [fingerprint_of(each) for each in made]
    before = [fingerprint_of(each, recorded_before(options)) for each, options in zip(made, group, strict=True)]

    for one, other in itertools.product([*now, *before], repeat=2):
        assert same(one, other)


def test_other_requests_are_not():
    made = [cube_of().sr.upscale(KRIGING, device="cpu", **options) for options in DIFFERENT]
    now = [fingerprint_of(each)["attrs"]["xr_sr:options"] for each in made]
    before = list(map(recorded_before, DIFFERENT))

    for (one, first), (other, second) in itertools.permutations(enumerate(now), 2):
        assert not same_options(KRIGING, first, second, BANDS, seen=False), (DIFFERENT[one], DIFFERENT[other])
        assert not same_options(KRIGING, before[one], second, BANDS, seen=False), (DIFFERENT[one], DIFFERENT[other])
        assert not same_options(KRIGING, first, before[other], None, seen=False), (DIFFERENT[one], DIFFERENT[other])


@pytest.mark.parametrize("options", DIFFERENT[1:])
def test_what_is_recorded_gives_the_same_again(options):
    cube = cube_of()
    made = cube.sr.upscale(KRIGING, device="cpu", **options)

    again = cube.sr.upscale(KRIGING, device="cpu", **json.loads(made.attrs["xr_sr:options"]))

    assert again.attrs == made.attrs
    np.testing.assert_array_equal(again, made)


def test_defaults_are_recorded_with_the_published_mtf_of_the_bands_computed():
    made = cube_of().sr.upscale(KRIGING, device="cpu")

    assert json.loads(made.attrs["xr_sr:options"]) == {
        "mtf": PUBLISHED,
        "noise": "sentinel2",
        "prior": [1.35, 1000.0],
        "scale": 4,
        "strength": 1.0,
    }


def test_an_index_is_the_same_whichever_other_bands_were_computed():
    """Bands of the options are those of the model, not of the index: all count, published ones without being named."""
    cube = cube_of(bands=("B03", *BANDS))

    for options in ({}, {"mtf": 0.3}, {"mtf": {"B04": 0.3}}):
        one, other = (
            fingerprint_of(cube.sr.upscale(KRIGING, bands=bands, device="cpu", **options).sr.index("NDVI"))
            for bands in (None, BANDS)
        )
        assert same(one, other)
    half = cube.sr.upscale(KRIGING, mtf={"B03": 0.3}, device="cpu").sr.index("NDWI")
    assert not same(fingerprint_of(half), fingerprint_of(cube.sr.upscale(KRIGING, device="cpu").sr.index("NDWI")))


def test_no_mtf_of_fuse_is_0_with_the_measured_constraint_too():
    tree = tree_of(24, 30)

    one, other = (tree.sr.fuse(constraint="measured", device="cpu", **options) for options in ({}, {"mtf": 0.0}))

    assert one.attrs == other.attrs
    np.testing.assert_array_equal(one["B11"], other["B11"])


@pytest.mark.parametrize("text", ["steps=9", "[]", "5", '{"mtf": 7}', '{"depth": 1}', '{"mtf": {"B99": 0.2}}'])
def test_what_is_no_record_of_the_model_is_the_same_as_itself_alone(text):
    assert same_options(KRIGING, text, text, None, seen=False)
    assert not same_options(KRIGING, text, "", None, seen=False)
    assert not same_options("a model that is not there", "", '{"strength": 1.0}', None, seen=False)


def test_equal_requests_resume_a_store(tmp_path):
    cube, store = cube_of(), tmp_path / "it.zarr"

    assert cube.sr.upscale(KRIGING, device="cpu", mtf=PUBLISHED, scale=4).sr.to_zarr(store, progress=False) > 0
    with pytest.warns(xr_sr.errors.StoreWarning, match="complete"):
        assert cube.sr.upscale(KRIGING, device="cpu").sr.to_zarr(store, progress=False) == 0
    with pytest.raises(StoreMismatchError, match="xr_sr:options"):
        cube.sr.upscale(KRIGING, device="cpu", mtf={"B08": 0.3}).sr.to_zarr(store, progress=False)
    passed = cube.sr.upscale(KRIGING, device="cpu", offset=0, quantification=1)
    with pytest.warns(xr_sr.errors.StoreWarning, match="complete"):
        assert passed.sr.to_zarr(store, progress=False) == 0
