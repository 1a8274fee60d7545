"""Warnings of tasks reach whoever computes: once, with counts that add up, on every scheduler of dask."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask
import dask.array as da
import pytest
from distributed import Client, LocalCluster

from tests.cubes import array, reflectance
from xr_sr import errors
from xr_sr.errors import RadiometryWarning
from xr_sr.task_warnings import TOPIC, Finding, collecting, listen, note

SENTENCE = "Radiometry: 5 values in 3 blocks lie outside of -0.5 to 2"


def odd_cube(chunks: int = 20):
    """Return a cube of 30 x 40 pixels, in six blocks of 20 x 20 or less, of which three hold values of 2.5 to 3."""
    values = reflectance(4, 30, 40)
    for band, y, x in ((0, 3, 3), (0, 4, 3), (1, 3, 3), (2, 25, 5), (3, 25, 35)):
        values[band, y, x] = 2.5 + band / 10
    return array(values).chunk(y=chunks, x=chunks)


def ours(caught) -> list[str]:
    return [str(each.message) for each in caught if issubclass(each.category, errors.XrSrWarning)]


def ignoring(block):
    """Leave a filter behind, as rasterio's reprojection does where several threads run it."""
    warnings.filters = [("ignore", None, Warning, None, 0), *warnings.filters]  # type: ignore[assignment]
    return block


@pytest.fixture
def _filters_as_before():
    with warnings.catch_warnings():
        yield
    errors._left_behind.clear()


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
@pytest.mark.parametrize("call", ["upscale", "reflectance"])
def test_a_sentence_is_said_once_with_counts_of_all_blocks_at_the_line_that_computes(scheduler, call):
    cube = odd_cube()
    fine = cube.sr.upscale("bicubic", chunks=20) if call == "upscale" else cube.sr.reflectance()
    with dask.config.set(scheduler=scheduler), pytest.warns(RadiometryWarning, match=SENTENCE) as caught:
        fine.compute()

    assert len(ours(caught)) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("chunks", [7, 16, 40])
def test_values_are_counted_the_same_for_all_chunks(chunks):
    with pytest.warns(RadiometryWarning, match="^Radiometry: 5 values in .*2.5 to 2.8"):
        odd_cube(chunks).sr.upscale("sen2sr", chunks=chunks).compute()


def test_each_computation_says_it_again_and_nothing_is_left_over():
    fine = odd_cube().sr.upscale("bicubic", chunks=20)
    for _ in range(2):
        with pytest.warns(RadiometryWarning, match=SENTENCE):
            fine.compute()
    array(reflectance(4, 30, 40)).sr.upscale("bicubic", chunks=20).compute()  # says nothing


def test_filters_of_the_user_are_respected():
    fine = odd_cube().sr.upscale("bicubic", chunks=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiometryWarning)
        fine.compute()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RadiometryWarning)
        with pytest.raises(RadiometryWarning, match=SENTENCE):
            fine.compute()


@pytest.mark.usefixtures("_filters_as_before")
def test_filters_that_other_threads_leave_behind_hide_nothing():
    cube = odd_cube()
    spoilt = cube.copy(data=cube.data.map_blocks(ignoring, dtype=cube.dtype, meta=cube.data._meta))
    for _ in range(2):  # the second time they are there before it begins
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            spoilt.sr.upscale("bicubic", chunks=20).compute()
            assert warnings.filters[0][0] == "ignore"

        assert [each.startswith(SENTENCE) for each in ours(caught)] == [True]


@pytest.mark.usefixtures("_filters_as_before")
def test_warnings_of_a_call_are_not_lost_to_filters_left_behind_before():
    listen()
    cube = odd_cube().drop_vars(["y", "x", "spatial_ref"])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", errors.XrSrWarning)
        cube.data.map_blocks(ignoring, dtype=cube.dtype, meta=cube.data._meta).compute()  # no task of ours
        cube.sr.upscale("bicubic", chunks=20)

        assert warnings.filters[0][0] == "ignore"
    assert [each.category for each in caught] == [errors.GeoreferenceWarning]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # by the user
        cube.sr.upscale("bicubic", chunks=20)

    assert not caught


def test_a_task_that_fails_raises_its_own_error_though_warnings_are_errors():
    cube = odd_cube()
    values = cube.values.copy()
    values[:, 25:] = -9999
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.XrSrWarning)
        with pytest.raises(errors.RadiometryError, match="-9999"), dask.config.set(scheduler="synchronous"):
            cube.copy(data=da.from_array(values, chunks=(4, 20, 20))).sr.upscale("bicubic", chunks=20).compute()


def test_computations_in_several_threads_lose_nothing():
    fine = [odd_cube().sr.upscale("bicubic", chunks=20) for _ in range(4)]
    with pytest.warns(RadiometryWarning) as caught, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.compute(scheduler="synchronous"), fine))

    assert ours(caught)
    assert all("values in" in each or "value in" in each for each in ours(caught))


def test_to_zarr_and_to_cog_say_it_once_for_all_their_graphs(tmp_path):
    fine = odd_cube().sr.upscale("bicubic", chunks=20)
    with pytest.warns(RadiometryWarning, match=SENTENCE) as caught:
        fine.sr.to_zarr(tmp_path / "fine.zarr", region=1)
    assert len(ours(caught)) == 1

    with pytest.warns(RadiometryWarning, match=SENTENCE) as caught:
        fine.sr.to_cog(tmp_path / "fine.tif")
    assert len(ours(caught)) == 1


@pytest.mark.usefixtures("_filters_as_before")
def test_clipped_values_are_said_though_a_thread_left_a_filter_behind(tmp_path):
    values = array(reflectance(4, 30, 40)).chunk(y=20)
    spoilt = values.copy(data=(values.data * 10).map_blocks(ignoring, dtype=values.dtype, meta=values.data._meta))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", errors.XrSrWarning)
        spoilt.sr.to_zarr(tmp_path / "high.zarr")

    assert [each.category for each in caught if issubclass(each.category, errors.XrSrWarning)] == [
        errors.ClippingWarning
    ]


def test_water_whose_level_reads_all_blocks_first_counts_them_once(tmp_path):
    cube = odd_cube().assign_coords(band=["B03", "B11", "B12", "B8A"])
    with pytest.warns(RadiometryWarning, match="^Radiometry: 3 values in 1 block lie") as caught:
        cube.sr.water().sr.to_zarr(tmp_path / "water.zarr")

    assert len(ours(caught)) == 1


def test_outside_of_a_computation_it_is_said_at_once():
    with pytest.warns(RadiometryWarning, match="^1 value in 1 block: 7$") as caught:
        note([Finding("RadiometryWarning", "{values} in {blocks}: {range}", ("a",), ("a",), 1, 7, 7)])

    assert caught[0].filename == __file__


def test_an_error_in_the_body_is_not_hidden_by_what_was_collected():
    @collecting()
    def fail_after_a_finding() -> None:
        note([Finding("RadiometryWarning", "{values}", ("a",), ("a",), 1)])
        raise KeyError("body")

    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.XrSrWarning)
        with pytest.raises(KeyError, match="body"):
            fail_after_a_finding()


SCRIPT = textwrap.dedent(
    """
    import warnings
    import dask
    from tests.test_task_warnings import SENTENCE, odd_cube, ours
    import xr_sr

    if __name__ == "__main__":
        with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="processes", num_workers=2):
            warnings.simplefilter("always")
            odd_cube().sr.reflectance().compute()
        print([each.startswith(SENTENCE) for each in ours(caught)])
    """
)


def test_processes_send_their_warnings_to_the_one_that_computes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TMPDIR": str(tmp_path)}
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)

    assert run.stdout.strip() == "[True]", run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_cluster_sends_warnings_to_its_client_before_the_result(tmp_path):
    before = odd_cube().sr.reflectance()  # a graph that is older than the client
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for fine in (before, odd_cube().sr.reflectance()):
            with pytest.warns(RadiometryWarning, match=SENTENCE) as caught:
                fine.compute()
            assert len(ours(caught)) == 1

        with pytest.warns(RadiometryWarning, match=SENTENCE) as caught:
            before.sr.to_zarr(tmp_path / "fine.zarr", region=1)
        assert len(ours(caught)) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", errors.XrSrWarning)
            with pytest.raises(RadiometryWarning, match=SENTENCE):
                before.sr.to_zarr(tmp_path / "again.zarr")
        assert client.get_events(TOPIC)
