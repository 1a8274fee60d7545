from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.io.zarr.scenes import NORTH_UP, cube
from xr_sr.io.zarr import layout, open_zarr, to_zarr
from xr_sr.io.zarr.blocks import Sink, Work, WriteStep, graphs, halve
from xr_sr.io.zarr.content import describe
from xr_sr.io.zarr.encoding import FLOAT32, INT16, Packing, unpack_block


@settings(deadline=None)
@given(
    hnp.arrays(
        "int16",
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=9),
        elements=st.sampled_from([-32768, -5, 0, 7, 999, 32767]),
    )
)
def test_halving_averages_what_is_there(stored):
    halved = halve(stored, (stored.ndim - 2, stored.ndim - 1), INT16)

    values = unpack_block(stored, scale=1e-4, fill=-32768).astype("float64")
    pad = [(0, 0)] * (values.ndim - 2) + [(0, -side % 2) for side in values.shape[-2:]]
    padded = np.pad(values, pad, constant_values=np.nan)
    means = da.coarsen(np.nanmean, da.from_array(padded), {padded.ndim - 2: 2, padded.ndim - 1: 2})
    with np.errstate(invalid="ignore"), pytest.MonkeyPatch.context():
        expected = means.compute(scheduler="synchronous")
    decoded = unpack_block(halved, scale=1e-4, fill=-32768)
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(expected))
    assert np.nanmax(np.abs(decoded - expected), initial=0) <= 0.501e-4


def test_halving_keeps_classes_and_averages_floats():
    classes = np.array([[3, 9, 4], [8, 8, 8], [5, 1, 6]], dtype="uint8")
    floats = np.array([[1, np.nan, 4], [3, np.nan, 4], [np.nan, np.nan, 6]], dtype="float32")

    assert halve(classes, (0, 1), Packing("native", "uint8")).tolist() == [[3, 4], [5, 6]]
    np.testing.assert_array_equal(halve(floats, (0, 1), FLOAT32), np.array([[2, 4], [np.nan, 6]], dtype="float32"))


@pytest.mark.parametrize("shards", [None, "block"])
@pytest.mark.parametrize("dims", [("time", "band", "y", "x"), ("x", "time", "y", "band")])
def test_a_level_is_the_average_of_the_one_below(dims, shards, tmp_path):
    to_zarr(cube().transpose(*dims), tmp_path / "out.zarr", pyramid=2, shards=shards)

    fine, half = (open_zarr(tmp_path / "out.zarr", level=level).transpose("time", "band", "y", "x") for level in (0, 1))
    expected = fine.coarsen(y=2, x=2).mean()
    np.testing.assert_allclose(half.values, expected.values, atol=0.51e-4)
    np.testing.assert_array_equal(half.y.values, expected.y.values)


def test_a_block_and_its_write_are_one_task_and_regions_follow_each_other():
    content = describe(cube(dates=None), "int16")
    y, x = (layout.choose_cut(layout.edges_of(sizes), region_blocks=2) for sizes in content.leading.array.chunks[-2:])
    content = content.cut_like(y, x)
    sink = Sink(None, INT16, "nowhere")
    lazy = da.map_blocks(np.negative, content.fields[0].array, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    field = type(content.fields[0])("r", content.fields[0].dims, lazy, INT16, {})
    step, regions = WriteStep(0, 0, ((0, 0),)), tuple(layout.region_numbers(y, x))
    work = Work(0, (y, x), ("y", "x", None), step, regions, ((field, None, sink),))

    (graph,) = graphs([work])

    inputs = 1  # the array in memory, which all blocks are cut from
    blocks, regions = 12, 4
    real = [key for key, task in graph.tasks.items() if "Alias" not in type(task).__name__]
    assert len(real) <= inputs + blocks + regions
    assert len(graph.keys) == blocks + regions
    assert NORTH_UP.shape == (y.size, x.size)
