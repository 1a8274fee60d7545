"""Detection rates equal those of a loop over scikit-image's regions, for every chunking, on every grid."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from skimage import measure

from xr_sr import errors
from xr_sr.metrics.objects import SIZES, detection_rate, object_scores


def grid(height: int, width: int, pixel: float = 2.5, origin: tuple[float, float] = (500_000, 5_000_000)) -> GeoBox:
    return GeoBox((height, width), Affine(pixel, 0, origin[0], 0, -pixel, origin[1]), "EPSG:32633")


def on(values: np.ndarray, geobox: GeoBox, **coords: object) -> xr.DataArray:
    lead = list(coords)
    return xr.DataArray(values, {**coords, **xr_coords(geobox)}, (*lead, "y", "x"))


def scene(seed: int = 0, height: int = 40, width: int = 56) -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < 0.35
    scores = rng.random((height, width)).astype("float32") ** 3
    scores[rng.random(scores.shape) < 0.05] = np.nan
    return on(mask, grid(height, width)), on(scores, grid(height, width))


def by_loop(mask, scores, sizes, threshold, rule, connectivity):
    """Count objects, found ones and their mean score per class, one region after the other."""
    out = np.zeros((3, len(sizes)))
    for region in measure.regionprops(measure.label(mask, connectivity=connectivity // 4)):
        values = scores[tuple(region.coords.T)]
        values = values[np.isfinite(values)]
        place = next((n for n, (a, b) in enumerate(sizes) if a <= region.area <= (b or np.inf)), None)
        if place is None or not values.size:
            continue
        share = (values >= np.float32(threshold)).mean()
        found = values.mean() >= threshold if rule == "mean" else share > 0 if rule == "any" else share >= rule
        out[:, place] += 1, found, values.astype("float64").mean()
    return out[0], out[1], out[2] / np.where(out[0], out[0], np.nan)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("rule", ["any", "mean", 0.5])
def test_equals_a_loop_over_the_regions_of_scikit_image(rule, connectivity):
    mask, scores = scene()
    options = {"threshold": 0.4, "rule": rule, "connectivity": connectivity}

    rates = detection_rate(mask, scores, **options)
    count, found, score = by_loop(mask.values, scores.values, SIZES, **options)
    assert count.sum() > 50
    np.testing.assert_array_equal(rates.objects, count)
    np.testing.assert_array_equal(rates.found, found)
    np.testing.assert_allclose(rates.score, score, rtol=1e-6)
    np.testing.assert_array_equal(rates.rate, found / np.where(count, count, np.nan))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    rows=st.integers(3, 40),
    columns=st.integers(3, 56),
    connectivity=st.sampled_from([4, 8]),
    numbered=st.booleans(),
)
def test_no_chunking_changes_anything(seed, rows, columns, connectivity, numbered):
    mask, scores = scene(seed)
    if numbered:
        mask = mask.copy(data=measure.label(mask.values, connectivity=1))
    whole = detection_rate(mask, scores, connectivity=connectivity)
    rows_of = object_scores(mask, scores, connectivity=connectivity)

    cut = {"y": rows, "x": columns}
    for pair in ((mask.chunk(cut), scores.chunk(cut)), (mask.chunk(cut), scores), (mask, scores.chunk(cut))):
        with dask.config.set(scheduler="synchronous"):
            xr.testing.assert_allclose(detection_rate(*pair, connectivity=connectivity).compute(), whole, rtol=1e-9)
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_allclose(object_scores(*pair, connectivity=connectivity), rows_of, rtol=1e-9)


def test_nothing_computes_until_asked():
    def refuse(block):
        raise AssertionError("computed")

    lazy = da.ones((40, 40), chunks=10).map_blocks(refuse, dtype="float32", meta=np.empty((0, 0), "float32"))
    mask, scores = on(lazy > 0, grid(40, 40)), on(lazy, grid(40, 40))

    rates = detection_rate(mask, {"LR": scores, "SR": scores})
    assert all(dask.is_dask_collection(values) for values in rates.data_vars.values())
    assert rates.rate.shape == (6, 2)


def test_classes_hold_both_ends_and_an_empty_one_has_no_rate():
    mask = np.zeros((12, 40), bool)
    for number, size in enumerate((4, 5, 10)):
        mask[2 * number, :size] = True

    rates = detection_rate(on(mask, grid(12, 40)), on(mask.astype("float32"), grid(12, 40)))
    assert list(rates.size_class.values) == ["0-4", "5-10", "11-15", "16-20", "21-30", "31+"]
    assert rates.objects.values.tolist() == [1, 2, 0, 0, 0, 0]
    assert rates.rate.values[:2].tolist() == [1, 1]
    assert np.isnan(rates.rate.values[2:]).all() and np.isnan(rates.score.values[2:]).all()
    assert rates.size_max.values[-1] == np.inf


def test_models_stand_side_by_side_on_their_own_grids():
    mask = np.zeros((16, 16), bool)
    mask[1:3, 1:3] = mask[8:12, 8:12] = True
    coarse = np.zeros((4, 4), "float32")
    coarse[2, 2] = 0.9
    fine = on(mask, grid(16, 16))

    rates = detection_rate(fine, {"LR": on(coarse, grid(4, 4, 10.0)), "HR": fine.astype("float32")})
    assert rates.found.sel(model="LR").values.tolist()[:4] == [0, 0, 0, 1]
    assert rates.found.sel(model="HR").values.tolist()[:4] == [1, 0, 0, 1]
    assert float(rates.score.sel(model="LR", size_class="16-20")) == pytest.approx(0.9)
    assert rates.pixel_precision.values.tolist() == [1.0, 1.0]


def test_a_grid_of_other_phase_is_taken_by_nearest_pixel():
    rng = np.random.default_rng(3)
    coarse = on(rng.random((8, 8)), grid(8, 8, 7.5, (499_996, 5_000_004)))
    fine = on(np.arange(1, 257).reshape(16, 16), grid(16, 16))

    rows = object_scores(fine, coarse)
    nearest = coarse.sel(y=xr.DataArray(rows.y.values), x=xr.DataArray(rows.x.values), method="nearest")
    np.testing.assert_array_equal(rows.score, nearest)


def test_scores_that_do_not_reach_everywhere_judge_what_they_cover():
    fine = on(np.arange(1, 65).reshape(8, 8), grid(8, 8))
    half = on(np.ones((8, 4), "float32"), grid(8, 4))

    rates = detection_rate(fine, half)
    assert rates.objects.values.sum() == rates.found.values.sum() == 32


def test_without_coordinates_both_cover_the_same_ground():
    mask = xr.DataArray(np.kron(np.eye(4), np.ones((4, 4))) > 0, dims=("y", "x"))
    coarse = xr.DataArray(np.eye(4, dtype="float32"), dims=("y", "x"))

    rates = detection_rate(mask, coarse, rule="mean", threshold=1)
    assert rates.objects.values.tolist() == rates.found.values.tolist() == [0, 0, 0, 4, 0, 0]


def test_other_dimensions_of_scores_are_kept():
    mask, scores = scene()
    times = np.array(["2023-01-01", "2023-02-01"], "datetime64[ns]")
    both = xr.concat([scores, scores * 0], dim=xr.DataArray(times, dims="time", name="time"))

    rates = detection_rate(mask, both.chunk(time=1, y=11), threshold=0.3).compute()
    for position, single in enumerate((scores, scores * 0)):
        one = detection_rate(mask, single, threshold=0.3)
        np.testing.assert_array_equal(rates.found.isel(time=position), one.found)
        np.testing.assert_array_equal(rates.pixel_precision.isel(time=position), one.pixel_precision)
    np.testing.assert_array_equal(rates.time, times)


def test_numbered_objects_may_lie_in_pieces_and_touch():
    mask = np.zeros((6, 6), "int32")
    mask[0, :2] = mask[5, :3] = 7  # two pieces of one
    mask[0, 2:4] = 9  # touches
    mask[3, 3] = -1  # nodata of many files

    rows = object_scores(on(mask, grid(6, 6)), on(mask.astype("float32"), grid(6, 6)))
    assert rows.number.values.tolist() == [7, 9]
    assert rows["size"].values.tolist() == [5, 2]
    assert rows.score.values.tolist() == [7, 9]
    assert rows.x.values[1] == pytest.approx(500_000 + 3 * 2.5) and rows.y.values[1] == pytest.approx(5_000_000 - 1.25)


def test_a_mask_of_zero_and_one_is_not_taken_for_one_object():
    mask, scores = scene()
    ones = mask.astype("uint8")

    with pytest.raises(errors.CubeError, match="objects > 0"):
        detection_rate(ones, scores)
    assert detection_rate(ones, scores, instances=True).objects.sum() == 1
    xr.testing.assert_identical(detection_rate(ones, scores, instances=False), detection_rate(mask, scores))


def test_an_object_without_a_score_counts_nowhere():
    mask = np.zeros((4, 8), bool)
    mask[1, 1:3] = mask[1, 5:7] = True
    scores = np.ones((4, 8), "float32")
    scores[:, :4] = np.nan
    scores[1, 6] = np.nan

    rates = detection_rate(on(mask, grid(4, 8)), on(scores, grid(4, 8)))
    rows = object_scores(on(mask, grid(4, 8)), on(scores, grid(4, 8)))
    assert int(rates.objects.sum()) == 1
    assert np.isnan(rows.found.values[0]) and rows.found.values[1] == 1
    assert np.isnan(rows.best.values[0]) and rows.share.values[1] == 1


def test_precision_is_the_share_of_detected_pixels_inside_objects():
    mask, scores = scene(4)
    detected = scores.values >= 0.5

    rates = detection_rate(mask, scores)
    assert float(rates.pixel_precision) == pytest.approx((detected & mask.values).sum() / detected.sum())
    assert np.isnan(float(detection_rate(mask, scores * 0).pixel_precision))


def test_scores_of_float32_reach_a_threshold_that_they_are_equal_to():
    mask = on(np.ones((3, 3), bool), grid(3, 3))
    scores = on(np.full((3, 3), 0.7, "float32"), grid(3, 3))

    for rule in ("any", "mean", 1.0):
        assert int(detection_rate(mask, scores, threshold=0.7, rule=rule).found.sum()) == 1


def test_a_mask_without_objects_gives_zeros():
    mask, scores = scene()
    for empty in (mask & False, mask.astype("int32") * 0):
        for cut in ({}, {"y": 7, "x": 9}):
            rates = detection_rate(empty.chunk(cut), scores.chunk(cut)).compute()
            assert int(rates.objects.sum()) == 0 and np.isnan(rates.rate).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"sizes": [(5, 10), (8, 20)]}, errors.OptionError, "overlap"),
        ({"sizes": [(0, None), (5, 10)]}, errors.OptionError, "order"),
        ({"sizes": []}, errors.OptionError, "sizes"),
        ({"rule": "some"}, errors.OptionError, "fraction"),
        ({"rule": 1.5}, errors.OptionError, "fraction"),
        ({"connectivity": 6}, errors.OptionError, "4 or 8"),
        ({"scores": {}}, errors.OptionError, "empty"),
        ({"threshold": float("nan")}, errors.OptionError, "threshold"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(change, error, message):
    mask, scores = scene()

    with pytest.raises(error, match=message):
        detection_rate(**{"objects": mask, "scores": scores, **change})


def test_what_is_no_mask_or_no_map_is_refused():
    mask, scores = scene()

    with pytest.raises(errors.CubeError, match="objects=.*boolean"):
        detection_rate(mask.astype("float32"), scores)
    with pytest.raises(errors.CubeError, match="objects=.*dimensions"):
        detection_rate(mask.expand_dims(time=2), scores)
    with pytest.raises(errors.CubeError, match="numbers"):
        detection_rate(mask, scores.astype("complex64"))
    with pytest.raises(errors.GridError, match="dimensions"):
        detection_rate(mask, scores.rename(y="one", x="two").drop_vars(["one", "two"]))


def test_grids_that_do_not_belong_together_are_refused():
    mask, scores = scene()
    finer = on(np.zeros((80, 112), "float32"), grid(80, 112, 1.25))
    away = on(scores.values, grid(40, 56, origin=(700_000, 5_000_000)))
    other = scores.odc.assign_crs("EPSG:32634")

    for wrong in (finer, other):
        with pytest.raises(errors.GridError, match="reproject") as caught:
            detection_rate(mask, wrong)
        assert len(str(caught.value)) < 300
    with pytest.raises(errors.GridError, match="objects"):
        detection_rate(mask, away)
