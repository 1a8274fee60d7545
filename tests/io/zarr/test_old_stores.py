"""A store that an earlier commit wrote, 29d1a77 of 2026-11-28: it is read, resumed and extended.

`written_by_29d1a77.zip` holds what that commit made of `image(1).sr.upscale("sen2sr").sr.to_zarr("sen2sr.zarr")`, when
the first edition had that name.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

import xr_sr
from xr_sr.catalog import registry
from xr_sr.catalog.records import FORMER_NAMES
from xr_sr.errors import StoreMismatchError
from xr_sr.io.zarr.record import check_fingerprint
from xr_sr.spec import MODEL_ATTR, WEIGHTS_ATTR

HALF_A_STEP = 0.5e-4 + 1e-6
"""What packing as int16 loses, and what processors differ by."""


def image(dates: int) -> xr.DataArray:
    """RGBN reflectance of 12 x 16 pixels by a formula, five days apart."""
    grid = GeoBox((12, 16), Affine(10, 0, 600_000, 0, -10, 5_800_080), "EPSG:32633")
    time = np.datetime64("2023-06-01T10:30:00", "ns") + np.arange(dates) * np.timedelta64(5, "D")
    t, band, y, x = np.ogrid[:dates, :4, :12, :16]
    values = 0.1 + 0.08 * np.sin(0.9 * x + 0.5 * band) * np.cos(0.7 * y + 0.3 * t)
    coords = {**xr_coords(grid), "time": time, "band": ["B04", "B03", "B02", "B08"]}
    return xr.DataArray(values.astype("float32"), dims=("time", "band", "y", "x"), coords=coords).chunk(time=1)


@pytest.fixture
def store(tmp_path):
    shutil.unpack_archive(Path(__file__).with_name("written_by_29d1a77.zip"), tmp_path)
    return tmp_path / "sen2sr.zarr"


def test_it_is_read_and_its_values_are_those_of_today(store):
    read, now = xr_sr.open_zarr(store), image(1).sr.upscale("sen2sr-v1")

    assert read.odc.geobox == now.odc.geobox and read.sizes == now.sizes
    np.testing.assert_allclose(read, now, rtol=0, atol=HALF_A_STEP)


def test_it_is_resumed_without_writing_anything_and_extended_by_a_date(store):
    """By the model that made it, whose name of today it then has: the hash of the weights is the same."""
    before = (store / "data/c/0/2/0/0").read_bytes()
    assert image(1).sr.upscale("sen2sr-v1").sr.to_zarr(store, progress=False) == 0
    assert xr_sr.open_zarr(store).attrs["xr_sr:model"] == "sen2sr.rgbn-x4"
    assert image(2).sr.upscale("sen2sr-v1").sr.to_zarr(store, progress=False) == 1

    read = xr_sr.open_zarr(store)
    np.testing.assert_allclose(read, image(2).sr.upscale("sen2sr-v1"), rtol=0, atol=HALF_A_STEP)
    assert read.attrs["xr_sr:model"] == "sen2sr-v1.rgbn-x4"
    assert image(3).sr.upscale("sen2sr-v1").sr.to_zarr(store, progress=False) == 1
    assert (store / "data/c/0/2/0/0").read_bytes() == before
    assert xr_sr.verify(store, progress=False).ok


def models_in(store: Path) -> dict[str, set[str]]:
    """Every name of a model in the documents of a store, by document, the record of the store included."""
    documents = [path for path in store.rglob("*") if path.name in ("zarr.json", ".zattrs", ".zmetadata")]
    texts = {str(path.relative_to(store)): path.read_text(encoding="utf-8") for path in documents}
    return {
        name: found
        for name, text in texts.items()
        if (found := set(re.findall(r"sen2sr[\w-]*\.rgbn-x4", text.replace('"', " "))))
    }


@pytest.mark.parametrize("options", [{}, {"zarr_format": 2}, {"pyramid": 1}], ids=str)
@pytest.mark.parametrize("form", ["DataArray", "Dataset"])
def test_after_an_extension_all_of_a_store_names_the_model_as_it_is_called_now(tmp_path, form, options):
    def result(dates: int, **named: str) -> xr.DataArray | xr.Dataset:
        cube = image(dates) if form == "DataArray" else image(dates).to_dataset("band")
        made = cube.sr.upscale("sen2sr-v1")
        for each in [made, *(made.values() if form == "Dataset" else ())]:
            each.attrs.update(named)
        return made

    former = {MODEL_ATTR: "sen2sr.rgbn-x4"}
    result(1, **former).sr.to_zarr(tmp_path / "it", progress=False, **options)
    result(2).sr.to_zarr(tmp_path / "fresh", progress=False, **options)
    assert {"sen2sr.rgbn-x4"} == set().union(*models_in(tmp_path / "it").values())

    result(2).sr.to_zarr(tmp_path / "it", progress=False, **options)

    assert models_in(tmp_path / "it") == models_in(tmp_path / "fresh")
    read = xr_sr.open_zarr(tmp_path / "it")
    xr.testing.assert_identical(read, xr_sr.open_zarr(tmp_path / "fresh"))
    assert xr_sr.verify(tmp_path / "it", progress=False).ok
    assert result(2).sr.to_zarr(tmp_path / "it", progress=False, **options) == 0


def test_a_store_killed_while_names_are_written_is_extended_by_the_next_call(store, monkeypatch):
    def killed(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xr_sr.io.zarr.template.consolidate", killed)
        patch.setattr("xr_sr.io.zarr.run.publish", lambda *args, **more: None)
        with pytest.raises(KeyboardInterrupt):
            image(2).sr.upscale("sen2sr-v1").sr.to_zarr(store, progress=False)
    assert len(set().union(*models_in(store).values())) == 2

    assert image(2).sr.upscale("sen2sr-v1").sr.to_zarr(store, progress=False) == 1

    assert set().union(*models_in(store).values()) == {"sen2sr-v1.rgbn-x4"}
    assert xr_sr.verify(store, progress=False).ok


@pytest.mark.parametrize("model", ["sen2sr", "bicubic"])
def test_another_model_is_refused_in_it_and_the_one_that_goes_on_is_named(store, model):
    with pytest.raises(StoreMismatchError, match="model='sen2sr-v1'"):
        image(2).sr.upscale(model).sr.to_zarr(store, progress=False)

    assert xr_sr.open_zarr(store).sizes["time"] == 1


def test_a_difference_that_the_edition_does_not_make_is_not_put_down_to_it(store):
    with pytest.raises(StoreMismatchError, match="lowpass|low-pass") as caught:
        image(1).sr.upscale("sen2sr-v1", constraint="lowpass").sr.to_zarr(store, progress=False)

    assert "sen2sr-v1" not in str(caught.value)


def test_products_of_it_are_extended_too(store, tmp_path):
    """An index depends on the same model: its attributes name the model as it was called then."""
    xr_sr.open_zarr(store).sr.index("NDVI").sr.to_zarr(tmp_path / "ndvi.zarr", progress=False)

    added = image(2).sr.upscale("sen2sr-v1").sr.index("NDVI").sr.to_zarr(tmp_path / "ndvi.zarr", progress=False)

    assert added == 1
    assert xr_sr.open_zarr(tmp_path / "ndvi.zarr").attrs["xr_sr:model"] == "sen2sr-v1.rgbn-x4"
    with pytest.raises(StoreMismatchError, match="xr_sr:model"):
        image(3).sr.upscale("sen2sr").sr.index("NDVI").sr.to_zarr(tmp_path / "ndvi.zarr", progress=False)


def test_a_catalog_names_the_model_that_made_it(store):
    assert xr_sr.to_stac(store).properties["mlm:name"] == "sen2sr-v1.rgbn-x4"


@pytest.mark.parametrize("now", FORMER_NAMES)
def test_every_model_of_the_first_edition_is_known_by_the_hash_of_its_weights(now):
    """Under the name that it had, whichever model has that name today, and no other weights are taken for it."""
    former, sha256 = FORMER_NAMES[now], registry.get(now).weights.sha256
    stored, wanted = ({"attrs": {MODEL_ATTR: name, WEIGHTS_ATTR: sha256}} for name in (former, now))

    check_fingerprint(stored, wanted, "it")
    assert registry.get(registry.name_now(former, sha256)).weights == registry.get(now).weights
    assert registry.name_now(former, "0" * 64) == former
    with pytest.raises(StoreMismatchError):
        check_fingerprint({"attrs": {MODEL_ATTR: former, WEIGHTS_ATTR: "0" * 64}}, wanted, "it")


def test_weights_of_ones_own_are_the_same_under_both_names():
    """`weights=` replaced those of the first edition, whose hash is in no catalog."""
    stored, wanted = (
        {"attrs": {MODEL_ATTR: name, WEIGHTS_ATTR: "1" * 64}} for name in ("sen2sr.rgbn-x4", "sen2sr-v1.rgbn-x4")
    )
    check_fingerprint(stored, wanted, "it")
