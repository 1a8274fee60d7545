"""Windows at fixed places: the same values for every cut and every crop, each window once, weights that sum to one."""

from __future__ import annotations

from collections import Counter

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from xr_sr.spec import Tile
from xr_sr.tiling import lattice
from xr_sr.tiling.lattice import Blend, Lattice, map_windows
from xr_sr.tiling.source import Source

ran: Counter[str] = Counter()


def whole_window(source: Source, tile: Tile, scale: int) -> np.ndarray:
    """A function of all that it is shown, and of the place in the window: no halo could do for it."""
    ran[str(tile)] += 1
    seen = source.take(0).astype("float32")
    place = np.linspace(0, 1, seen.shape[-1], dtype="float32")
    out = seen * 0.01 + np.sin(seen.mean((-2, -1), keepdims=True)) + place
    return out.repeat(scale, -1).repeat(scale, -2)


def blended(blend: Blend, source: Source, tile: Tile, scale: int) -> np.ndarray:
    return blend.take(0)


def with_context(blend: Blend, source: Source, tile: Tile, scale: int) -> np.ndarray:
    """Sum over 3 x 3 input pixels, as far as a constraint would look, in one order."""
    wide = blend.take(1)
    height, width = wide.shape[-2] - 2 * scale, wide.shape[-1] - 2 * scale
    return sum(
        wide[..., y * scale : y * scale + height, x * scale : x * scale + width] for y in range(3) for x in range(3)
    )


def explode(source: Source, tile: Tile, scale: int) -> np.ndarray:
    raise AssertionError("a window was computed")


def image_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 1000, shape, dtype="uint16")


def blend_of(image, places: Lattice, *, scale=2, chunks=None, function=blended, window=whole_window, cut=-1):
    lazy = image if isinstance(image, da.Array) else da.from_array(image, chunks=cut)
    reach = 1 if function is with_context else 0
    return map_windows(
        window,
        function,
        [[(lazy, None)]],
        lattice=places,
        scale=scale,
        bands_out=1,
        args=(scale,),
        reach=reach,
        chunks=chunks,
    )


@st.composite
def cuts(draw: st.DrawFn, length: int) -> tuple[int, ...]:
    edges = sorted(draw(st.sets(st.integers(1, length - 1), max_size=6)))
    return tuple(np.diff([0, *edges, length]).tolist())


@settings(deadline=None, max_examples=40)
@given(
    y=cuts(23),
    x=cuts(31),
    side=st.tuples(st.integers(1, 2), st.integers(1, 40), st.integers(1, 40)),
    window=st.integers(4, 17),
    overlap=st.integers(0, 8),
    origin=st.tuples(st.integers(-500_000, 500_000), st.integers(0, 90_000)),
    scale=st.integers(1, 4),
    function=st.sampled_from([blended, with_context]),
)
def test_result_does_not_depend_on_chunks_or_blocks_by_a_bit(y, x, side, window, overlap, origin, scale, function):
    image = image_of(2, 23, 31)
    places = Lattice(window, min(overlap, window // 2), *origin)

    whole = blend_of(image, places, scale=scale, chunks=(None, 23, 31), function=function)
    lazy = da.from_array(image, chunks=((1, 1), y, x))
    cut = blend_of(lazy, places, scale=scale, chunks=side, function=function)

    assert_array_equal(cut.compute(scheduler="sync"), whole.compute(scheduler="sync"))


@settings(deadline=None, max_examples=30)
@given(
    one=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    other=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    window=st.integers(4, 12),
    overlap=st.integers(0, 6),
)
def test_two_crops_agree_by_a_bit_wherever_both_see_the_same(one, other, window, overlap):
    """A pixel whose windows lie inside of both crops has one value; those are all that are a window from the edges."""
    parent, side, scale = image_of(70, 70), 40, 2
    places = Lattice(window, min(overlap, window // 2), row=-123_457, col=60_001)
    results = [
        blend_of(
            parent[top : top + side, left : left + side],
            Lattice(places.side, places.overlap, places.row + top, places.col + left),
            chunks=(13, 17),
            cut=9,
        ).compute(scheduler="sync")[0]
        for top, left in (one, other)
    ]

    top, left = (max(pair) + window for pair in zip(one, other, strict=True))
    bottom, right = (min(pair) + side - window for pair in zip(one, other, strict=True))
    parts = [
        result[(top - y) * scale : max(bottom - y, 0) * scale, (left - x) * scale : max(right - x, 0) * scale]
        for result, (y, x) in zip(results, (one, other), strict=True)
    ]
    if top < bottom and left < right:
        assert parts[0].size
        assert_array_equal(parts[0], parts[1])


@given(
    window=st.integers(2, 40),
    overlap=st.integers(0, 20),
    scale=st.integers(1, 8),
    row=st.integers(-100, 100),
    col=st.integers(-100, 100),
)
@settings(deadline=None, max_examples=40)
def test_weights_sum_to_one_exactly(window, overlap, scale, row, col):
    places = Lattice(window, min(overlap, window // 2), row, col)
    height, width = 37, 29
    total = np.zeros((height * scale, width * scale), "float32")
    weights = lattice.ramp(places.side, places.overlap, scale)
    for number in places.touching((0, height), (0, width)):
        (top, bottom), (left, right) = places.place(number)
        y, x = np.arange(top * scale, bottom * scale), np.arange(left * scale, right * scale)
        inside = np.ix_((y >= 0) & (y < height * scale), (x >= 0) & (x < width * scale))
        part = (weights[:, None] * weights)[inside]
        assert part.size, "a window that does not touch was named"
        total[max(0, y[0]) : y[-1] + 1, max(0, x[0]) : x[-1] + 1] += part

    assert (total == 1).all()
    assert weights.dtype == np.float32
    assert weights.min() >= 0


def test_windows_stand_at_whole_steps_from_the_origin():
    places = Lattice(8, 2, row=-13, col=100)

    numbers = places.touching((0, 10), (0, 10))

    assert places.step == 6
    for row, col in numbers:
        (top, _), (left, _) = places.place((row, col))
        assert (top - 13) % 6 == 0 and (left + 100) % 6 == 0
        assert (top - 13) // 6 == row and (left + 100) // 6 == col


def test_windows_see_the_scene_mirrored_beyond_its_edges():
    image = image_of(5, 6)
    places = Lattice(9, 0, row=-4, col=-3)  # one begins at row 4, column 3 of what lies before the array: -5, -6

    def shown(source, tile, scale):
        return source.take(0).astype("float32")

    out = blend_of(image, places, scale=1, window=shown).compute(scheduler="sync")[0]
    seen = np.concatenate([np.ravel(out)])

    assert_array_equal(out, image)  # each pixel is at its own place, whatever hangs over
    assert seen.size == image.size
    graph = dict(blend_of(image, places, scale=1, window=shown).dask)
    task = next(task for key, task in graph.items() if "-window-" in key[0])
    job = task.func
    padded = np.pad(image, [(9, 9), (9, 9)], mode="symmetric")
    y, x = job.tile.y, job.tile.x
    assert_array_equal(job([image])[0], padded[y[0] + 9 : y[1] + 9, x[0] + 9 : x[1] + 9])
    assert y[0] < 0 or y[1] > 5
    assert len(task.dependencies) == 1


def test_each_window_runs_once_however_many_blocks_need_it():
    ran.clear()
    out = blend_of(image_of(3, 40, 50), Lattice(16, 6), chunks=(None, 7, 7), cut=11)
    out.compute(scheduler="sync")

    rows, columns = -(-40 // 10) + 1, -(-50 // 10) + 1  # one more begins before the array
    assert set(ran.values()) == {1}
    assert len(ran) == 3 * rows * columns


def test_nothing_runs_before_compute_and_one_block_runs_its_windows_only():
    lazy = blend_of(da.from_array(image_of(60, 60), chunks=20), Lattice(12, 4), chunks=(20, 20), window=explode)
    with pytest.raises(AssertionError, match="window"):
        lazy.compute(scheduler="sync")

    ran.clear()
    blend_of(image_of(60, 60), Lattice(12, 4), chunks=(20, 20))[:, :40, :40].compute(scheduler="sync")

    assert len(ran) == len(Lattice(12, 4).touching((0, 20), (0, 20)))


def test_giant_chunks_are_read_in_slices(monkeypatch):
    from xr_sr.tiling import source as gathering

    image = image_of(64, 64)
    plain = blend_of(image, Lattice(16, 4)).compute(scheduler="sync")
    monkeypatch.setattr(gathering, "GIANT", 100)

    sliced = blend_of(image, Lattice(16, 4), chunks=(16, 16))

    assert any("slice" in str(key[0]) for key in dict(sliced.dask) if isinstance(key, tuple))
    assert_array_equal(sliced.compute(scheduler="sync"), plain)


def test_one_array_per_band_where_asked_for():
    lazy = da.from_array(image_of(2, 3, 20, 20), chunks=(1, 3, 8, 8))
    how = {"lattice": Lattice(8, 2), "scale": 2, "bands_out": 2, "args": (2,)}
    stacks = [[(lazy, 0), (lazy, 2)]]

    whole = map_windows(whole_window, blended, stacks, **how)
    parts = map_windows(whole_window, blended, stacks, split=True, **how)

    assert len(parts) == 2
    for band, part in enumerate(parts):
        assert_array_equal(part.compute(scheduler="sync"), whole[:, band].compute(scheduler="sync"))
