"""Graphs whose tasks are made when they are asked for: the same values, and no task, source or key made before."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.graph_manipulation import bind, checkpoint, clone, wait_on
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import xr_sr
from tests.cubes import array, reflectance
from xr_sr.tiling import source as reading
from xr_sr.tiling.blocks import BandMaker, some_bands, stacked
from xr_sr.tiling.halo import map_tiles
from xr_sr.tiling.lattice import Lattice, map_windows
from xr_sr.tiling.layer import MadeLayer, TaskKeys
from xr_sr.tiling.maker import TileMaker
from xr_sr.tiling.regions import map_regions
from xr_sr.tiling.repeat import repeat_pixels
from xr_sr.tiling.source import Source, Tile
from xr_sr.tiling.two_resolutions import Coarse, repeated


def image_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 1000, shape, dtype="uint16")


def mean(source: Source, tile: Tile) -> np.ndarray:
    """A mean over 3 x 3 pixels, in one order."""
    wide = source.take(1).astype("float32")
    return sum(wide[..., y : y + tile.height, x : x + tile.width] for y in range(3) for x in range(3)) / np.float32(9)


def with_coarse_and_table(source: Source, tile: Tile) -> np.ndarray:
    coarse, at = source.coarse.take(1)
    return mean(source, tile) + repeated(coarse, at, (tile.height + 2, tile.width + 2))[..., 1:-1, 1:-1] + source.table


def window(source: Source, tile: Tile) -> np.ndarray:
    seen = source.take(0).astype("float32")
    return seen + seen.mean((-2, -1), keepdims=True)


def blend(blended, source: Source, tile: Tile) -> np.ndarray:
    return blended.take(0)


def total(source: Source, tile: Tile) -> int:
    return int(source.take(0).sum(dtype="int64"))


def tiles(image: np.ndarray, **options: object) -> da.Array:
    planes = [(da.from_array(image, chunks=(1, 2, 9, 10)), 2), (da.from_array(image[:, 0], chunks=(2, 8, 8)), None)]
    return map_tiles(mean, [planes], scale=1, halo=1, bands_out=2, chunks=(None, 7, 8), **options)


def both_grids(image: np.ndarray) -> da.Array:
    planes = [[(da.from_array(image, chunks=(1, 2, 9, 10)), 1)]]
    coarse = Coarse([(da.from_array(image[:, 1, ::2, ::2], chunks=(1, 5, 4)), None)], 0, 0)
    table = da.from_array(np.float32([3]), chunks=1)
    options = {"coarse": coarse, "table": table, "chunks": (None, 6, 8)}
    return map_tiles(with_coarse_and_table, planes, scale=1, halo=1, bands_out=1, **options)


def windows(image: np.ndarray) -> da.Array:
    planes = [[(da.from_array(image, chunks=(1, 3, 11, 9)), band) for band in range(2)]]
    place = Lattice(8, 3, row=-5, col=10_001)
    return map_windows(window, blend, planes, lattice=place, scale=1, bands_out=2, chunks=(None, 12, 10))


def views(image: np.ndarray) -> da.Array:
    one, two = tiles(image, split=True)
    return one - two


def cut(image: np.ndarray) -> da.Array:
    return some_bands(tiles(image), 1, 1)


def piled(image: np.ndarray) -> da.Array:
    return stacked(tiles(image, split=True)[::-1])


def doubled_classes(block: np.ndarray) -> np.ndarray:
    return (2 * block).astype("uint8")


def repeats(image: np.ndarray) -> da.Array:
    source = da.from_array(image[:, 0], chunks=(1, 9, 10))
    height, width = (3 * side for side in image.shape[-2:])
    chunks = ((1, 1), (30, 30, height - 60), (70, width - 70))
    return repeat_pixels(source, (1, 2), 3, chunks, change=doubled_classes, dtype="uint8")


BUILDERS = (tiles, both_grids, windows, views, cut, piled, repeats)
each_kind = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)


def made_layers(graph: HighLevelGraph) -> dict[str, MadeLayer]:
    return {name: layer for name, layer in graph.layers.items() if isinstance(layer, MadeLayer)}


def written_out(lazy: da.Array) -> da.Array:
    """Return the same array over a graph whose tasks are all there."""
    layers = {name: MaterializedLayer(dict(layer)) for name, layer in lazy.dask.layers.items()}
    return da.Array(HighLevelGraph(layers, lazy.dask.dependencies), lazy.name, lazy.chunks, meta=lazy._meta)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the tasks that are made, by the name in their key."""
    counts: Counter[str] = Counter()
    for maker in (TileMaker, BandMaker):
        original = maker.task

        def counted(self, key, original=original):
            counts[key[0]] += 1
            return original(self, key)

        monkeypatch.setattr(maker, "task", counted)
    return counts


@each_kind
@pytest.mark.parametrize("giant", [10**9, 300], ids=["chunks", "slices"])
def test_values_are_those_of_a_graph_written_out(build, giant, monkeypatch):
    monkeypatch.setattr(reading, "GIANT", giant)
    lazy = build(image_of(2, 3, 23, 31))
    plain = written_out(lazy)
    part = (slice(1, 2), Ellipsis, slice(3, 19), slice(2, 30))

    whole = plain.compute(scheduler="sync")

    assert made_layers(lazy.dask) and not made_layers(plain.dask)
    assert_array_equal(lazy.compute(scheduler="sync"), whole)
    assert_array_equal(lazy[part].compute(scheduler="sync"), whole[part])
    assert_array_equal((lazy.sum(axis=0) / (lazy[0] + 1)).compute(), (plain.sum(axis=0) / (plain[0] + 1)).compute())
    with dask.config.set({"optimization.fuse.active": False}):
        assert_array_equal(lazy.compute(scheduler="sync"), whole)


@each_kind
@pytest.mark.parametrize("giant", [10**9, 300], ids=["chunks", "slices"])
def test_keys_are_counted_and_known_without_their_tasks(build, giant, monkeypatch):
    monkeypatch.setattr(reading, "GIANT", giant)
    layers = made_layers(build(image_of(2, 3, 23, 31)).dask)

    for name, layer in layers.items():
        keys = list(layer)
        assert len(layer) == len(keys) == len(set(keys)) == len(dict(layer))
        assert all(key in layer and layer[key].key == key for key in keys)
        outputs = layer.get_output_keys()
        assert set(outputs) == {key for key in keys if key[0] == name} and len(outputs) == len(set(outputs))
        for strange in ("key", name, (), (name,), (name, -1_000_000, 0, 0), (f"{name}-slice", 0, 0), 3):
            assert strange not in layer
            with pytest.raises(KeyError):
                layer[strange]
        for own in {key[0] for key in keys} - {name}:
            beyond = max(key for key in keys if key[0] == own)
            assert (own, beyond[1], beyond[2] + 1, *beyond[3:]) not in layer


@settings(deadline=None, max_examples=30)
@given(
    y=st.sets(st.integers(1, 22), max_size=4),
    x=st.sets(st.integers(1, 30), max_size=4),
    side=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    window_side=st.integers(4, 9),
)
def test_slices_are_counted_whatever_the_chunks(y, x, side, window_side):
    chunks = tuple(tuple(np.diff([0, *sorted(edges), length]).tolist()) for edges, length in ((y, 23), (x, 31)))
    planes = [[(da.zeros((2, 23, 31), chunks=((1, 1), *chunks), dtype="uint16"), None)]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "GIANT", 100)
        lazy = map_windows(
            window,
            blend,
            planes,
            lattice=Lattice(window_side, 2, 7, 8),
            scale=1,
            bands_out=1,
            chunks=(2, *side),
            reach=1,
        )

    for layer in made_layers(lazy.dask).values():
        assert len(layer) == len(list(layer))


def test_regions_and_keys_of_many_blocks_take_no_time_to_count():
    regions = [((8 * n, 8 * n + 8), (0, 64)) for n in range(8)]
    lazy = map_regions(total, [[(da.ones((64, 64), chunks=8), None)]], regions)
    keys = TaskKeys("name", (range(10**6), range(1), range(-5, 10**6)))

    (layer,) = made_layers(lazy.dask).values()
    assert len(layer) == 8
    assert lazy.compute(scheduler="sync") == clone(lazy).compute(scheduler="sync") == [512] * 8
    assert len(keys) == 10**6 * (10**6 + 5)
    assert ("name", 999_999, 0, -5) in keys and ("name", 999_999, 0, -6) not in keys
    assert {("name", 1, 0, 1), ("other", 1)} - keys == {("other", 1)}


def test_no_regions_have_no_tasks():
    lazy = map_regions(total, [[(da.ones((64, 64), chunks=8), None)]], [])

    (layer,) = made_layers(lazy.dask).values()
    assert len(layer) == 0 and list(layer) == []
    assert lazy.compute(scheduler="sync") == []


@each_kind
def test_nothing_is_made_before_it_is_asked_for(build, made):
    lazy = build(image_of(2, 3, 23, 31))
    graph = lazy.dask

    assert len(graph) == sum(map(len, graph.layers.values()))
    assert graph._repr_html_() and repr(graph)
    for layer in made_layers(graph).values():
        assert layer.layer_info_dict()["is_materialized"] is False
        assert layer._repr_html_()
    cloned, _ = clone(lazy), lazy[:1, ..., :8, :8] + 1
    pickle.loads(pickle.dumps(list(made_layers(cloned.dask).values())))
    assert sum(made.values()) == 0

    lazy.compute(scheduler="sync")
    assert sum(made.values()) == sum(map(len, made_layers(graph).values()))


@settings(deadline=None, max_examples=30)
@given(cuts=st.tuples(*[st.sets(st.integers(1, 26), max_size=5)] * 2), order=st.permutations(range(3)))
def test_pixels_are_repeated_in_any_order_of_axes_and_chunks(cuts, order):
    image = image_of(2, 9, 9)
    sizes = [tuple(np.diff([0, *sorted(edges), 27]).tolist()) for edges in cuts]
    axes = order.index(1), order.index(2)
    chunks = [((2,), *sizes)[axis] for axis in order]
    lazy = repeat_pixels(da.from_array(image.transpose(order), chunks=4), axes, 3, chunks)

    assert lazy.chunks == tuple(chunks) and lazy.dtype == image.dtype
    assert_array_equal(lazy.compute(scheduler="sync"), image.repeat(3, 1).repeat(3, 2).transpose(order))


def test_one_block_makes_one_task_and_its_windows(made):
    image = image_of(2, 3, 23, 31)
    blocks, blended = tiles(image), windows(image)

    blocks.blocks[1, 0, 1, 2].compute(scheduler="sync")
    assert made == {blocks.name: 1}

    made.clear()
    blended[:1, :, :12, :10].compute(scheduler="sync")
    (name,) = set(made_layers(blended.dask)) - {blended.name}
    needed = Lattice(8, 3, row=-5, col=10_001).touching((0, 12), (0, 10))
    assert made == {blended.name: 1, name: len(needed)}
    assert len(needed) < len(made_layers(blended.dask)[name]) / 4


def test_a_block_of_slices_makes_its_own(made, monkeypatch):
    monkeypatch.setattr(reading, "GIANT", 10)
    lazy = tiles(image_of(2, 3, 23, 31))

    culled = lazy.dask.cull({(lazy.name, 0, 0, 0, 0)})

    (layer,) = (layer for name, layer in culled.layers.items() if name.startswith(lazy.name))
    block = layer[lazy.name, 0, 0, 0, 0]
    assert set(layer) == {block.key, *block.dependencies}
    assert sum(made.values()) <= 2 * len(layer)


@each_kind
def test_a_layer_travels_without_its_source(build):
    small, large = (build(image_of(2, 3, *shape)) for shape in ((23, 31), (1230, 2310)))

    for lazy in (small, large):
        for layer in made_layers(lazy.dask).values():
            again = pickle.loads(pickle.dumps(layer))
            assert list(again)[:20] == list(layer)[:20] and len(again) == len(layer)
    sizes = [sum(len(pickle.dumps(layer)) for layer in made_layers(lazy.dask).values()) for lazy in (small, large)]
    assert sizes[1] < 12_000  # edges of some hundred blocks; the pixels of the source are 17 MB
    assert sizes[0] < 4_000


@each_kind
@pytest.mark.parametrize("giant", [10**9, 300], ids=["chunks", "slices"])
def test_graphs_can_be_optimized_persisted_cloned_and_bound(build, giant, monkeypatch):
    monkeypatch.setattr(reading, "GIANT", giant)
    image = image_of(2, 3, 23, 31)
    lazy, other = build(image), da.zeros(3, chunks=1)
    expected = lazy.compute(scheduler="sync")
    inputs = [
        da.Array(HighLevelGraph.merge(lazy.dask), name, chunks=((1,),), dtype="uint8")
        for name, layer in lazy.dask.layers.items()
        if not lazy.dask.dependencies[name]
    ]

    copies = {
        "optimize": dask.optimize(lazy)[0],
        "persist": lazy.persist(scheduler="sync"),
        "clone": clone(lazy),
        "clone twice": clone(clone(lazy)),
        "bind": bind(lazy, other),
        "bind without the input": bind(lazy, other, omit=inputs),
        "bind and clone": clone(bind(lazy, other, omit=inputs)),
        "bind without some of the input": bind(lazy, other, omit=inputs[:1]),
        "wait": wait_on(lazy),
    }

    for how, copy in copies.items():
        assert_array_equal(copy.compute(scheduler="sync"), expected, err_msg=how)
    names = {how: copies[how].name for how in ("clone", "clone twice", "bind")}
    assert len({lazy.name, *names.values()}) == 4
    assert not set(made_layers(lazy.dask)) & set(made_layers(copies["clone"].dask))
    assert checkpoint(lazy).compute(scheduler="sync") is None


def test_what_is_bound_waits(made):
    ran: list[str] = []

    def note(block: np.ndarray, what: str) -> np.ndarray:
        ran.append(what)
        return block

    image = image_of(2, 3, 23, 31)
    source = da.from_array(image, chunks=(1, 3, 23, 31))
    first = da.zeros(3, chunks=3).map_blocks(note, "first", meta=np.empty(0))
    lazy = map_tiles(mean, [[(source, 0)]], scale=1, halo=1, bands_out=1).map_blocks(note, "then", meta=np.empty(0))

    bind(lazy, first, omit=source).compute(scheduler="sync")

    assert ran == ["first", "then", "then"]


def test_results_of_a_cube_are_the_same_to_the_bit(tmp_path, made):
    dates = np.datetime64("2024-06-01", "ns") + np.arange(2) * np.timedelta64(5, "D")
    cube = array(reflectance(4, 96, 80)).expand_dims(time=dates).chunk(time=1, band=-1, y=40, x=50)
    dataset = cube.to_dataset("band")

    lazy = {
        "array": cube.sr.upscale("bicubic", chunks=32),
        "dataset": dataset.sr.upscale("bicubic", chunks=32),
        "network": cube.sr.upscale(chunks=64),
        "index": cube.sr.upscale("bicubic", chunks=32).sr.index("NDVI"),
    }
    cube.sr.explain(chunks=32)
    assert sum(made.values()) == 0

    for name, result in lazy.items():
        variables = result.data_vars if isinstance(result, xr.Dataset) else {"": result}
        written = {key: band.copy(data=written_out(band.data)) for key, band in variables.items()}
        plain = result.assign(written) if isinstance(result, xr.Dataset) else written[""]
        assert result.compute().identical(plain.compute())
        for kind, cube in (("made", result), ("plain", plain)):
            cube.sr.to_zarr(tmp_path / f"{name}-{kind}.zarr", progress=False)
        made, written_out_before = (xr_sr.open_zarr(tmp_path / f"{name}-{kind}.zarr") for kind in ("made", "plain"))
        assert made.compute().identical(written_out_before.compute())


def test_a_cluster_of_two_processes_computes_the_same():
    from distributed import Client, LocalCluster

    cube = array(reflectance(4, 96, 80)).chunk(band=-1, y=40, x=50)
    lazy, drawn = cube.sr.upscale("bicubic", chunks=32), windows(image_of(2, 3, 23, 31))
    expected, blended = lazy.compute(scheduler="sync"), drawn.compute(scheduler="sync")

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        assert_array_equal(lazy.compute(), expected)
        assert_array_equal(lazy.persist()[:, 5:90, 40:].compute(), expected[:, 5:90, 40:])
        assert_array_equal(drawn.compute(), blended)


def test_plans_of_any_size_hold_the_same_few_objects():
    """What a plan holds grows with the edges along each axis, not with their product."""
    sizes = []
    for side in (512, 5120):
        planes = [[(da.zeros((2, side, side), chunks=(1, 256, 256), dtype="uint16"), None)]]
        lazy = map_tiles(mean, planes, scale=1, halo=1, bands_out=1, chunks=(None, 8, 8))
        sizes.append(len(pickle.dumps(lazy.dask.layers[lazy.name])))

    assert lazy.npartitions == 2 * 640**2
    assert sizes[1] < 12 * sizes[0]
    keys = itertools.islice(iter(lazy.dask.layers[lazy.name]), 3)
    assert list(keys) == [(lazy.name, 0, 0, 0, n) for n in range(3)]
