"""Let several processes write dates to one store at once, kill some of them, and look for dates that are lost or mixed.

A program of its own, as it forks: the parent imports everything and starts no thread. Usage:
python many_writers.py FOLDER WRITERS ROUNDS SEED; prints one JSON object.

One round: some dates are there, or none. Each writer begins within a moment of the others and writes dates of its own
and a date of its neighbor; about half of them are killed (SIGKILL) at a random operation on the store. Some wait for
each other, some do not. Some count as machines of their own, which see no process of another, so that their claims must
expire. Whoever did not succeed is run again, together with the others, until nobody is left.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
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

from xr_sr.errors import StoreError
from xr_sr.io.zarr import claim, open_zarr, owner, to_zarr
from xr_sr.io.zarr.target import CLAIM

REFUSED, LOST, WRONG = 3, 4, 5
SENTENCES = {
    REFUSED: "is being written by process",
    LOST: "is no longer written by this call",
}
OPERATIONS = 40
"""About as many operations as a writer needs; kills at a later one do not happen."""


def values_of(number: int) -> np.ndarray:
    """The pixels of a date: no two dates have a value in common."""
    return (number + np.random.default_rng(number).integers(1, 9999, (20, 28)) / 10_000).astype("float32") / 10


def cube(numbers: list[int]) -> xr.DataArray:
    geobox = GeoBox((20, 28), Affine(2.5, 0, 5e5, 0, -2.5, 4.6e6), "EPSG:32633")
    lazy = da.from_array(np.stack([values_of(number) for number in numbers]), chunks=(1, 8, 16))
    dates = np.datetime64("2023-01-01", "ns") + np.array(numbers) * np.timedelta64(1, "D")
    coords = {**xr_coords(geobox), "time": dates, "number": ("time", numbers)}
    return xr.DataArray(lazy, dims=("time", "y", "x"), coords=coords, name="red", attrs={"xr_sr:model": "test"})


def fork(body: Callable[[], int]) -> int:
    """Run in a child, which ends with what the body returns; returns its process number."""
    child = os.fork()
    if child == 0:
        status = WRONG
        try:
            status = body()
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    return child


def ended(child: int) -> int:
    _, state = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(state)


def write(place: Path, numbers: list[int], *, kill_at: int, wait: float, alone: bool) -> int:
    """One writer."""
    claim.RENEW_S, claim.EXPIRE_S, claim.POLL_S = 0.4, 4.0, 0.05
    if alone:
        machine = f"machine {os.getpid()}"
        owner._machine = lambda: machine
    arm(kill_at)
    try:
        with dask.config.set(scheduler="threads", num_workers=2):
            to_zarr(cube(numbers), place, region=1, wait=wait, progress=False)
    except StoreError as error:
        for code, sentence in SENTENCES.items():
            if sentence in str(error):
                return code
        raise
    return 0


def arm(at: int) -> None:
    """Make the process kill itself at the at-th operation that changes a local store."""
    count = 0

    def wrap(name: str) -> None:
        original = getattr(zarr.storage.LocalStore, name)

        async def counted(self, *args, **kwargs):
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return await original(self, *args, **kwargs)

        setattr(zarr.storage.LocalStore, name, counted)

    for name in ("set", "set_if_not_exists", "delete", "delete_dir"):
        wrap(name)


def check(place: Path, numbers: set[int], *, finished: bool) -> int:
    """Compare dates with what they must be; 0 if all are there and whole, and, at the end, no claim is."""
    found = open_zarr(place)
    there = dict(zip(found.number.values.tolist(), found.values, strict=True)) if found.sizes["time"] else {}
    problems = [f"date {number} is lost" for number in numbers - there.keys()]
    problems += [
        f"date {number} is mixed"
        for number in numbers & there.keys()
        if not np.allclose(there[number], values_of(number), atol=1e-4)
    ]
    if finished:
        problems += [f"{path.name} is left" for path in place.glob(f"{CLAIM}*") if path.suffix != ".partial"]
    for problem in problems:
        print(f"{place.name}: {problem}", file=sys.stderr)
    return 1 if problems else 0


def play(place: Path, writers: int, chance: random.Random) -> Counter[str]:
    """One round."""
    seen: Counter[str] = Counter()
    jobs = [[1 + 2 * number, 2 + 2 * number, 1 + 2 * ((number + 1) % writers)] for number in range(writers)]
    written: set[int] = set()
    if chance.random() < 0.5:
        assert ended(fork(lambda: write(place, [0], kill_at=0, wait=0, alone=False))) == 0
        written.add(0)
    todo, attempt = list(jobs), 0
    while todo:
        attempt += 1
        running = []
        for numbers in todo:
            killed = attempt < 4 and chance.random() < 0.5
            kill_at = chance.randint(1, OPERATIONS) if killed else 0
            wait = chance.choice([0, 0, 600]) if attempt < 8 else 600
            alone, delay = chance.random() < 0.2, chance.uniform(0, 0.05)

            def run(numbers=numbers, kill_at=kill_at, wait=wait, alone=alone, delay=delay) -> int:
                time.sleep(delay)
                return write(place, numbers, kill_at=kill_at, wait=wait, alone=alone)

            running.append((numbers, fork(run)))
        codes = [(numbers, ended(child)) for numbers, child in running]
        names = {0: "written", REFUSED: "refused", LOST: "lost its claim", -signal.SIGKILL: "killed"}
        seen.update(names.get(code, "failed otherwise") for _, code in codes)
        written.update(*(numbers for numbers, code in codes if code == 0))
        if written:
            seen["wrong checks"] += ended(fork(lambda: check(place, written, finished=False)))
        todo = [numbers for numbers, code in codes if code]
    everything = written | {number for numbers in jobs for number in numbers}
    seen["wrong checks"] += ended(fork(lambda: check(place, everything, finished=True)))
    return seen


def main(folder: Path, writers: int, rounds: int, seed: str) -> dict[str, int]:
    seen: Counter[str] = Counter()
    for number in range(rounds):
        place = folder / f"round-{number}.zarr"
        seen += play(place, writers, random.Random(f"{seed} {number}"))
        shutil.rmtree(place)
    names = ("written", "refused", "lost its claim", "killed", "failed otherwise", "wrong checks")
    return {"writers": writers, "rounds": rounds, **{name: seen[name] for name in names}}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
