"""Kill runs of `to_zarr` at chosen operations of the store, run them again, compare with runs that nothing disturbed.

A program of its own, as it forks: the parent imports everything and starts no thread, each child is one run, and
SIGKILL ends it. Usage: python kill_runs.py FOLDER SCENARIO NUMBER_OF_KILLS SEED; prints one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import distributed  # noqa: F401  # loaded here once, not in every child
import numpy as np
import xarray as xr
import xarray.backends.zarr
import zarr.storage
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from xr_sr.io.zarr import open_zarr, to_zarr

OPTIONS = {
    "flat": {"region": 1},
    "pyramid": {"region": 1, "pyramid": 1},
    "v2": {"region": 2, "zarr_format": 2},
    "shards": {"region": 1, "shards": "block"},
}
DATES = np.array(["2023-01-06T10:00:00.024", "2023-01-01T10:00", "2023-01-11", "2023-01-16"], dtype="datetime64[ns]")


def kernel(block: np.ndarray, bands: int) -> np.ndarray:
    return np.repeat(block[:, None], bands, axis=1) * np.arange(1, bands + 1, dtype="float32")[None, :, None, None]


def cube(first: int, last: int) -> xr.Dataset:
    """A Dataset of two bands from one kernel, a mask, a class map without time, and what goes along with each date."""
    geobox = GeoBox((20, 28), Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "EPSG:32633")
    values = np.random.default_rng(7).normal(0.2, 0.1, (4, 20, 28)).astype("float32")
    values[1, :9] = np.nan
    values[3] = np.nan
    lazy = da.from_array(values[first:last], chunks=(1, 8, 16), name=f"input-{first}-{last}")
    both = da.map_blocks(
        kernel,
        lazy,
        2,
        new_axis=1,
        chunks=(lazy.chunks[0], (2,), *lazy.chunks[1:]),
        dtype="float32",
        meta=np.empty((0,) * 4, "f4"),
    )
    return xr.Dataset(
        {
            "red": (("time", "y", "x"), both[:, 0]),
            "nir": (("time", "y", "x"), both[:, 1]),
            "cloud": (("time", "y", "x"), lazy > 0.3),
            "scl": (("y", "x"), da.from_array((np.arange(560) % 11).astype("uint8").reshape(20, 28), chunks=(8, 16))),
            "baseline": ("time", np.linspace(4, 5, 4)[first:last]),
        },
        coords={
            **xr_coords(geobox),
            "time": DATES[first:last],
            "id": ("time", np.array(["a", "bb", "ccc", "dddd"])[first:last]),
        },
        attrs={"xr_sr:model": "test"},
    )


def arm(at: int, how: str) -> None:
    """Make the process kill itself at the at-th operation that changes a local store: before it, or half-way."""
    count = 0

    def wrap(name: str) -> None:
        original = getattr(zarr.storage.LocalStore, name)

        async def counted(self, key, *args, **kwargs):
            nonlocal count
            count += 1
            if count == at:
                if how == "half" and name == "set":
                    half = (self.root / key).with_suffix(".0123456789abcdef.partial")
                    half.parent.mkdir(parents=True, exist_ok=True)
                    half.write_bytes(b"half of it")
                if how == "half" and name == "delete_dir" and (self.root / key).is_dir():
                    for number, file in enumerate(sorted((self.root / key).rglob("*"))):
                        if file.is_file() and number % 2:
                            file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            return await original(self, key, *args, **kwargs)

        setattr(zarr.storage.LocalStore, name, counted)

    for name in ("set", "set_if_not_exists", "delete", "delete_dir"):
        wrap(name)
    arm.count = lambda: count


def fork(body: Callable[[], None]) -> str:
    """Run in a child; returns "" if it went well, "killed", or what went wrong."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        status = 0
        try:
            body()
        except BaseException:
            os.write(into, traceback.format_exc().encode()[-4000:])
            status = 1
        os._exit(status)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read().decode()
    _, state = os.waitpid(child, 0)
    return "killed" if os.WIFSIGNALED(state) else said


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".partial")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check_readable(path: Path, scenario: str, expected: Path) -> None:
    """The dates that were there are there, by plain xarray, and any new ones are whole."""
    group = "0" if scenario.startswith("pyramid") else None
    now = xr.open_zarr(path, group=group)
    then = xr.open_zarr(expected, group=group)
    assert now.sizes["time"] >= 2, now.sizes
    same = then.isel(time=slice(now.sizes["time"]))
    for name in ("red", "nir", "cloud", "baseline", "id", "time"):
        np.testing.assert_array_equal(now[name].values, same[name].values, err_msg=name)


def main(folder: Path, scenario: str, kills: int, seed: int) -> dict[str, object]:
    kind, _, job = scenario.partition("-")
    options = OPTIONS[kind]
    base, whole, count_file = folder / "base.zarr", folder / "whole.zarr", folder / "count"
    first, last = (0, 2) if job == "create" else (1, 4)

    def run(path: Path) -> None:
        with dask.config.set(scheduler="synchronous" if kind == "v2" else "threads", num_workers=2):
            to_zarr(cube(first, last), path, progress=False, overwrite=job == "overwrite", **options)

    def prepare() -> None:
        with dask.config.set(scheduler="synchronous"):
            to_zarr(cube(0, 2), base, progress=False, **options)

    def counted() -> None:
        arm(0, "")
        run(whole)
        count_file.write_text(str(arm.count()))

    if job != "create":
        assert fork(prepare) == ""
        shutil.copytree(base, whole)
    problem = fork(counted)
    assert problem == "", problem
    total = int(count_file.read_text())
    expected = tree(whole)
    chosen = random.Random(seed).sample(range(1, total + 1), min(kills, total))
    failures = []
    for number, at in enumerate(sorted(chosen)):
        how = ("before", "half")[number % 2]
        path = folder / f"killed-{at}.zarr"
        if job != "create":
            shutil.copytree(base, path)

        def disturbed(path: Path = path, at: int = at, how: str = how) -> None:
            arm(at, how)
            run(path)

        def rerun(path: Path = path) -> None:
            if job == "extend":
                check_readable(path, scenario, whole)
            run(path)
            open_zarr(path)

        ended = fork(disturbed)
        said = fork(rerun)
        found = tree(path)
        differing = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
        if ended != "killed" or said or differing:
            failures.append({"at": at, "how": how, "ended": ended, "rerun": said, "differing": differing[:8]})
        shutil.rmtree(path)
    return {"operations": total, "kills": len(chosen), "failures": failures}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
