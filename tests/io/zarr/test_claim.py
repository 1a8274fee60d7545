"""Other writers are played: by claims written by hand, by threads, and by a kernel that calls `to_zarr` itself."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import dask
import pytest
from zarr.abc.store import Store
from zarr.storage import LocalStore, MemoryStore

from tests.io.zarr.scenes import DATES, CountingKernel, cube, reflectance
from xr_sr.errors import OptionError, StoreError, StoreWarning
from xr_sr.io.zarr import claim, open_zarr, to_zarr
from xr_sr.io.zarr.claim import claimed
from xr_sr.io.zarr.owner import Owner
from xr_sr.io.zarr.target import CLAIM, Target

ROOT = Path(__file__).parents[3]
ABROAD = replace(Owner.this_call(tasks_inside=True), id="other", host="cloud-7", machine="another", pid=41)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look often, so that no test waits; a claim still is good for a minute."""
    monkeypatch.setattr(claim, "POLL_S", 0.01)


class Meddling(CountingKernel):
    """A kernel that does something else at one of its calls."""

    def __init__(self, at: int, action) -> None:
        super().__init__()
        self.at, self.action = at, action

    def __call__(self, block):
        if self.calls + 1 == self.at:
            self.action()
        return super().__call__(block)


def dates(first: int, last: int, **options):
    return cube(dates=DATES[first:last], values=reflectance(3, 2, 40, 56)[first:last], **options)


def put_claim(place, owner: Owner, *, age_s: float = 0, **more) -> None:
    """Write the claim of another call, that was renewed some time ago by the time stamps of the file system."""
    place.mkdir(parents=True, exist_ok=True)
    (place / CLAIM).write_text(json.dumps({"version": 1, "kind": "exclusive", **asdict(owner), **more}))
    stamp = (place / CLAIM).stat().st_mtime - age_s
    os.utime(place / CLAIM, (stamp, stamp))


def tree(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [{}, {"overwrite": True}])
@pytest.mark.parametrize("at", [1, 5])
def test_a_second_writer_is_refused_and_the_first_is_not_disturbed(at, options, tmp_path):
    said = []

    def intrude():
        with pytest.raises(StoreError) as refused:
            to_zarr(dates(0, 3), tmp_path / "out.zarr", **options)
        said.append(str(refused.value))

    with dask.config.set(scheduler="synchronous"):
        to_zarr(dates(0, 1, kernel=Meddling(at, intrude)), tmp_path / "out.zarr")
    to_zarr(dates(0, 1), tmp_path / "alone.zarr")

    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "alone.zarr")
    assert f"out.zarr is being written by process {os.getpid()} on " in said[0]
    assert "Run this call again when that one has ended, or pass wait=600" in said[0]
    assert len(said[0].splitlines()) == 1


@pytest.mark.parametrize("place", ["folder", "dict", "memory://claim-test/out.zarr"])
def test_any_number_of_writers_that_wait_make_one_whole_store(place, tmp_path):
    target = {"folder": tmp_path / "out.zarr", "dict": {}}.get(place, place)
    failed = []

    def write(number: int) -> None:
        try:
            with dask.config.set(scheduler="synchronous"):
                to_zarr(dates(number, number + 1), target, wait=600)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in (0, 1, 2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert failed == []
    assert open_zarr(target).compute().identical(dates(0, 3).compute())
    assert not [key for key in Target.of(target).names() if key.startswith(CLAIM)]
    assert not isinstance(target, dict) or not [key for key in target if key.startswith(CLAIM)]


def test_writers_that_find_one_expired_claim_take_it_over_one_at_a_time(tmp_path):
    inside, most, failed = [], [], []

    def write() -> None:
        try:
            with claimed(Target.of(tmp_path), wait=600):
                inside.append(1)
                most.append(len(inside))
                inside.pop()
        except BaseException as error:
            failed.append(error)

    for _ in range(5):
        put_claim(tmp_path, ABROAD, age_s=61)
        threads = [threading.Thread(target=write) for _ in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

    assert failed == [] and most == [1] * 30
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_writer_elsewhere_expires_by_the_clock_of_the_store(tmp_path):
    put_claim(tmp_path / "out.zarr", ABROAD, age_s=61)

    to_zarr(dates(0, 3), tmp_path / "out.zarr")

    to_zarr(dates(0, 3), tmp_path / "alone.zarr")
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "alone.zarr")


@pytest.mark.filterwarnings("ignore:.*may be gone. waiting:xr_sr.errors.StoreWarning")
def test_a_store_without_time_stamps_is_watched_instead(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "EXPIRE_S", 0.1)
    store = {CLAIM: MemoryStore()._store_dict.setdefault("", None)}
    store.clear()
    target = Target.of(store)
    target.write({"kind": "exclusive", **asdict(ABROAD)}, CLAIM)

    to_zarr(dates(0, 1), store)

    assert open_zarr(store).sizes["time"] == 1


@pytest.mark.filterwarnings("ignore:.*may be gone. waiting:xr_sr.errors.StoreWarning")
def test_a_writer_elsewhere_that_renews_its_claim_is_alive(tmp_path):
    put_claim(tmp_path / "out.zarr", ABROAD)
    ended = threading.Event()

    def renew() -> None:
        renewals = 0
        while not ended.wait(0.02):
            Target.of(tmp_path / "out.zarr").write({**asdict(ABROAD), "renewals": (renewals := renewals + 1)}, CLAIM)

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(StoreError, match="process 41 on cloud-7, since 20.* UTC"):
            to_zarr(dates(0, 1), tmp_path / "out.zarr")
    finally:
        ended.set()
        thread.join()


def test_a_half_written_file_that_the_writer_sweeps_away_is_written_again(tmp_path, monkeypatch):
    put_claim(tmp_path / "out.zarr", ABROAD, age_s=61)
    swept = []

    class Swept(LocalStore):
        async def set(self, key, value):
            if key == f"{CLAIM}_clock" and len(swept) < 2:
                swept.append(key)
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            await super().set(key, value)

    to_zarr(dates(0, 1), Swept(tmp_path / "out.zarr"))

    assert len(swept) == 2 and open_zarr(tmp_path / "out.zarr").sizes["time"] == 1


@pytest.mark.parametrize("document", ["", "null", "{", "[]", '{"pid": "x"}'])
def test_a_claim_that_cannot_be_read_expires_too(document, tmp_path):
    put_claim(tmp_path / "out.zarr", ABROAD)
    (tmp_path / "out.zarr" / CLAIM).write_text(document)
    os.utime(tmp_path / "out.zarr" / CLAIM, (1, 1))

    to_zarr(dates(0, 1), tmp_path / "out.zarr")

    assert not (tmp_path / "out.zarr" / CLAIM).exists()


@pytest.mark.parametrize("leftovers", [(), ("_takeover",), ("_takeover", "_clock")])
def test_the_claim_of_a_process_that_was_killed_here_is_taken_over_at_once(leftovers, tmp_path):
    killed = replace(Owner.this_call(tasks_inside=True), pid=2**22 + 1)
    for end in ("", *leftovers):
        put_claim(tmp_path / "out.zarr", killed)
        (tmp_path / "out.zarr" / CLAIM).rename(tmp_path / "out.zarr" / f"{CLAIM}{end}")
    put_claim(tmp_path / "out.zarr", killed)

    to_zarr(dates(0, 1), tmp_path / "out.zarr")

    to_zarr(dates(0, 1), tmp_path / "alone.zarr")
    assert tree(tmp_path / "out.zarr") == tree(tmp_path / "alone.zarr")


def test_a_folder_in_place_of_the_claim_is_an_error(tmp_path):
    (tmp_path / CLAIM).mkdir()

    with pytest.raises(StoreError, match=r"'\.xr_sr_claim' .*delete it"):
        to_zarr(dates(0, 1), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [CLAIM]


def test_waiting_for_a_writer_elsewhere_that_may_be_gone_is_announced_once(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "time.sleep",
        lambda _: waits.append(1) or (len(waits) > 3 and put_claim(tmp_path, ABROAD, age_s=61, later=True)),
    )
    waits = []
    put_claim(tmp_path, ABROAD, age_s=20)

    with pytest.warns(StoreWarning) as warned, claimed(Target.of(tmp_path)):
        pass

    assert len(waits) == 4
    assert [str(each.message).split(": ", 1)[1] for each in warned] == [
        "waiting up to 40 s for its claim to be renewed or to expire."
    ]
    assert f"being written by {ABROAD.label}, which may be gone" in str(warned[0].message)


def test_workers_may_outlive_a_client_that_was_killed_so_its_claim_must_expire(tmp_path, monkeypatch):
    killed = replace(Owner.this_call(tasks_inside=False), pid=2**22 + 1)
    put_claim(tmp_path, killed)
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        os.utime(tmp_path / CLAIM, (1, 1))
        put_claim(tmp_path, killed, age_s=61, later=True)

    monkeypatch.setattr("time.sleep", sleep)
    with claimed(Target.of(tmp_path)):
        pass

    assert waits == [claim.POLL_S]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda place: put_claim(place, ABROAD), "taken over by process 41 on cloud-7"),
        (lambda place: (place / CLAIM).unlink(), "the claim of this call on it was deleted"),
    ],
)
@pytest.mark.parametrize("job", ["create", "extend"])
def test_a_writer_that_lost_its_claim_publishes_nothing_more(job, loss, words, tmp_path):
    place = tmp_path / "out.zarr"
    if job == "extend":
        to_zarr(dates(0, 1), place, region=1)
    before = {}

    def lose() -> None:
        loss(place)
        before.update(tree(place))

    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match=words):
        to_zarr(dates(0, 2, kernel=Meddling(6, lose)), place, region=1)

    changed = {key for key, value in tree(place).items() if before.get(key) != value}
    assert changed and all(key.startswith("reflectance/c/") for key in changed)
    (place / CLAIM).unlink(missing_ok=True)
    to_zarr(dates(0, 2), place, region=1)
    assert open_zarr(place).compute().identical(dates(0, 2).compute())


def test_a_task_asks_for_the_claim_once_it_was_not_renewed_for_long(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "RENEW_S", -1)
    monkeypatch.setattr(claim, "_renewing", lambda _: nullcontext())  # the thread stands still

    def lose() -> None:
        put_claim(tmp_path / "out.zarr", ABROAD)

    with dask.config.set(scheduler="synchronous"), pytest.raises(StoreError, match="taken over"):
        to_zarr(dates(0, 1, kernel=Meddling(6, lose)), tmp_path / "out.zarr")

    written = [path for path in (tmp_path / "out.zarr/reflectance/c").rglob("*") if path.is_file()]
    assert len(written) == 5 * 2  # two bands of the blocks before


@pytest.mark.parametrize("error", [RuntimeError("the kernel failed"), KeyboardInterrupt()])
def test_a_claim_is_released_whatever_happens(error, tmp_path):
    with dask.config.set(scheduler="synchronous"), pytest.raises(type(error)):
        to_zarr(dates(0, 1, kernel=CountingKernel(fails_at=3, error=error)), tmp_path / "out.zarr")

    assert not list((tmp_path / "out.zarr").glob(f"{CLAIM}*"))


def test_a_claim_is_renewed_while_it_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "RENEW_S", 0.01)
    with claimed(Target.of(tmp_path)) as held:
        first = (tmp_path / CLAIM).read_text()
        while (tmp_path / CLAIM).read_text() == first:
            pass
        held.check()
        assert json.loads((tmp_path / CLAIM).read_text())["id"] == json.loads(first)["id"]

    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_keep_writers_apart_says_so(tmp_path):
    class Plain(LocalStore):
        set_if_not_exists = Store.set_if_not_exists

    with pytest.warns(StoreWarning, match=r"\(Plain\) .*one writer"):
        to_zarr(dates(0, 1), Plain(tmp_path / "out.zarr"))

    assert open_zarr(tmp_path / "out.zarr").sizes["time"] == 1


@pytest.mark.parametrize("refusal", [NotImplementedError("conditional put"), OSError(errno.ENOSYS, "no such header")])
def test_an_object_store_without_conditional_requests_says_so_too(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr("xr_sr.io.zarr.stores._create_file", lambda *_: (_ for _ in ()).throw(refusal))

    class Unable(LocalStore):
        async def set_if_not_exists(self, key, value):
            if key == CLAIM:
                raise refusal
            await super().set_if_not_exists(key, value)

    with pytest.warns(StoreWarning, match="one writer"):
        to_zarr(dates(0, 1), Unable(tmp_path / "out.zarr"))


@pytest.mark.parametrize("wait", [-1, "soon", float("nan"), True, None])
def test_an_impossible_wait_is_refused(wait, tmp_path):
    with pytest.raises(OptionError, match="wait=.*at least 0"):
        to_zarr(dates(0, 1), tmp_path / "out.zarr", wait=wait)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills children that it forks; the logic is the same everywhere")
def test_no_date_is_lost_or_mixed_by_processes_that_write_at_once_and_are_killed(tmp_path):
    program = [sys.executable, "-W", "ignore", str(ROOT / "tests/io/zarr/many_writers.py")]
    ran = subprocess.run(
        [*program, str(tmp_path), "3", "2", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["written"] == 6
    assert result["wrong checks"] == 0 and result["failed otherwise"] == 0, ran.stderr
