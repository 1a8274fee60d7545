"""Networks that read coarse pixels as they are: the second edition of `sen2sr` for ten bands, through `upscale`."""

import numpy as np
import pytest
import xarray as xr

from tests.cubes import array, dataset, geobox_of, reflectance, untouchable
from xr_sr.catalog import registry
from xr_sr.catalog.models import ModelSpec
from xr_sr.errors import ModelError, OptionError
from xr_sr.metrics import consistency
from xr_sr.training import Teacher

MODEL = "sen2sr.ten-x4"
FINE = ("B04", "B03", "B02", "B08")
COARSE = ("B05", "B06", "B07", "B8A", "B11", "B12")
CLOSE = 2e-6


def at_10m(height: int, width: int, seed: int = 3) -> np.ndarray:
    """Ten bands on the 10 m grid, those of 20 m with each pixel repeated."""
    values = reflectance(10, height, width, seed=seed)
    values[4:] = values[4:, ::2, ::2].repeat(2, -2).repeat(2, -1)[:, :height, :width]
    return values


def tree_of(values: np.ndarray) -> xr.DataTree:
    """The same on two grids."""
    geobox = geobox_of(*values.shape[-2:])
    r20m = dataset(values[4:, ::2, ::2], COARSE, geobox=geobox.zoom_out(2))
    return xr.DataTree.from_dict({"r10m": dataset(values[:4], FINE), "r20m": r20m})


def upscaled(cube: xr.DataArray | xr.Dataset | xr.DataTree, **options: object) -> np.ndarray:
    """(band, y, x) in the order FINE, COARSE."""
    made = cube.sr.upscale(MODEL, device="cpu", **options).compute()
    made = made if isinstance(made, xr.DataArray) else made.to_dataarray("band")
    return made.sel(band=[band for band in (*FINE, *COARSE) if band in made.band.values]).values


def test_values_depend_neither_on_chunks_nor_on_layout():
    """Odd blocks cut coarse pixels; bands on a grid of their own or repeated on the fine one are the same."""
    values = at_10m(84, 92)
    whole = upscaled(tree_of(values))
    assert whole.shape == (10, 336, 368)
    assert np.isfinite(whole).all()
    for cube, chunks in ((tree_of(values), {"y": 33, "x": 21}), (array(values, (*FINE, *COARSE)), {"y": 40, "x": 27})):
        np.testing.assert_allclose(upscaled(cube, chunks=chunks), whole, rtol=0, atol=CLOSE)


def test_scenes_may_begin_in_the_middle_of_a_coarse_pixel():
    """Beyond the halo a crop by one fine pixel changes nothing."""
    values = at_10m(150, 150)
    halo = 4 * registry.get(MODEL).halo
    whole = upscaled(tree_of(values))[:, halo:-halo, halo:-halo]
    tree = tree_of(values)
    r10m = tree["r10m"].to_dataset().isel(y=slice(1, None), x=slice(1, None))
    odd = xr.DataTree.from_dict({"r10m": r10m, "r20m": tree["r20m"].to_dataset()})
    cut = upscaled(odd)[:, halo - 4 : -halo, halo - 4 : -halo]
    np.testing.assert_allclose(cut, whole, rtol=0, atol=CLOSE)


def test_fine_bands_are_those_of_the_model_of_four():
    """To the last digit but rounding, and 20 m bands are not read for them."""
    values = at_10m(72, 64)
    four = array(values[:4], FINE).sr.upscale("sen2sr.rgbn-x4", device="cpu").values
    np.testing.assert_allclose(upscaled(tree_of(values))[:4], four, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(upscaled(array(values[:4], FINE), bands=list(FINE)), four, rtol=0, atol=CLOSE)


def test_other_coarse_bands_are_neither_read_nor_needed():
    """B11 is the same without them, and where reading them fails; the family chooses this model."""
    values = at_10m(64, 64)
    tree = tree_of(values)
    whole = upscaled(tree)[8:9]
    r20m = tree["r20m"].to_dataset()
    few = xr.DataTree.from_dict({"r10m": tree["r10m"].to_dataset(), "r20m": r20m[["B11"]]})
    unread = r20m.assign({band: untouchable(r20m.odc.geobox, dtype="float32") for band in COARSE if band != "B11"})
    lazy = xr.DataTree.from_dict({"r10m": tree["r10m"].to_dataset(), "r20m": unread})
    for cube in (tree, few, lazy):
        np.testing.assert_allclose(upscaled(cube, bands=["B11"]), whole, rtol=0, atol=CLOSE)
    made = few.sr.upscale(device="cpu")
    assert list(made) == ["B04", "B03", "B02", "B08", "B11"] and made.attrs["xr_sr:model"] == MODEL
    np.testing.assert_allclose(made["B11"], whole[0], rtol=0, atol=CLOSE)


def test_missing_pixels_stay_missing_in_their_band():
    """A hole of a 20 m band is NaN in that band alone; around it values come from what is there."""
    values = at_10m(80, 80)
    values[8, 40:44, 20:22] = np.nan
    made = upscaled(tree_of(values))
    hole = np.zeros((320, 320), bool)
    hole[160:176, 80:88] = True
    np.testing.assert_array_equal(np.isnan(made[8]), hole)
    assert np.isfinite(np.delete(made, 8, axis=0)).all()


def test_agreement_can_be_enforced():
    """With constraint="measured" each grid seen again at its own pixels is what was measured; 20 m bands nearly are."""
    tree = tree_of(at_10m(80, 80))
    plain, held = (
        tree.sr.upscale(MODEL, device="cpu", **options).compute() for options in ({}, {"constraint": "measured"})
    )
    for cube, bands in ((tree["r10m"].to_dataset(), FINE), (tree["r20m"].to_dataset(), COARSE)):
        before, after = (
            float(consistency(cube[list(bands)], made[list(bands)], border=64).reflectance) for made in (plain, held)
        )
        assert after < 0.3 * before, (bands, before, after)
        assert before < 0.03 if bands == FINE else before < 0.003


def test_a_teacher_is_refused():
    """It would get 20 m bands interpolated."""
    with pytest.raises(ModelError, match="as they are"):
        Teacher(MODEL)


def test_records_say_how_coarse_bands_are_read():
    """A digest of an own record changes with it; another word is refused."""
    spec = registry.get(MODEL)
    assert spec.coarse_as == "repeated" and spec.step == 2
    with pytest.raises(OptionError, match="coarse_as"):
        ModelSpec("own", "", "my:Net", bands=("B04", "B11"), coarse=("B11",), coarse_as="doubled")
    one, other = (
        ModelSpec("own", "", "my:Net", bands=("B04", "B11"), coarse=("B11",), coarse_as=way)
        for way in ("interpolated", "repeated")
    )
    assert one.digest() != other.digest()
