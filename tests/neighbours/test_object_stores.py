"""S3, as moto serves it, through s3fs and through obstore: claims that keep two writers apart on an object store."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, replace

import boto3
import dask
import obstore.store
import pytest
import xarray as xr
from moto.server import ThreadedMotoServer
from zarr.storage import FsspecStore, ObjectStore

from tests.io.zarr.test_claim import Meddling, dates
from xr_sr.errors import StoreError
from xr_sr.io.zarr import claim, open_zarr, to_zarr
from xr_sr.io.zarr.owner import Owner
from xr_sr.io.zarr.stores import can_create, create, read, written_at
from xr_sr.io.zarr.target import CLAIM, Target

KEYS = {"key": "testing", "secret": "testing"}
ABROAD = replace(Owner.this_call(tasks_inside=True), id="other", host="cloud-7", machine="another", pid=41)


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    ).create_bucket(Bucket="bucket")
    yield url
    server.stop()


@pytest.fixture(params=["s3fs", "obstore"])
def store(request, endpoint):
    path = request.node.name.replace("[", "-").replace("]", "")
    if request.param == "s3fs":
        return FsspecStore.from_url(f"s3://bucket/{path}", storage_options={**KEYS, "endpoint_url": endpoint})
    s3 = obstore.store.S3Store(
        "bucket",
        prefix=path,
        endpoint=endpoint,
        access_key_id="testing",
        secret_access_key="testing",
        region="us-east-1",
        client_options={"allow_http": True},
    )
    return ObjectStore(s3)


def claims_in(store) -> list[str]:
    return [name for end in ("", "_clock", "_takeover") if read(store, name := f"{CLAIM}{end}") is not None]


def test_one_of_many_creates_an_object_and_the_others_know(store):
    assert can_create(store)
    created, ready = [], threading.Barrier(6)

    def race(number: int) -> None:
        ready.wait()
        if create(store, "object", b"%d" % number):
            created.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert len(created) == 1
    assert read(store, "object") == b"%d" % created[0]


def test_the_server_says_when_an_object_was_written(store):
    create(store, "first", b"1")
    time.sleep(2.1)  # S3 counts whole seconds
    create(store, "second", b"2")

    assert 1 <= written_at(store, "second") - written_at(store, "first") <= 60
    assert written_at(store, "nothing") is None


def test_a_second_writer_is_refused_and_leaves_nothing(store):
    said = []

    def intrude() -> None:
        with pytest.raises(StoreError, match="process") as refused:
            to_zarr(dates(1, 2), store)
        said.append(refused.value)

    with dask.config.set(scheduler="synchronous"):
        to_zarr(dates(0, 1, kernel=Meddling(4, intrude)), store)
    to_zarr(dates(1, 3), store)

    assert said
    xr.testing.assert_identical(open_zarr(store).compute(), dates(0, 3).compute())
    assert claims_in(store) == []


def test_a_claim_expires_by_the_time_stamps_of_the_server(store, monkeypatch):
    Target.of(store).write({"kind": "exclusive", **asdict(ABROAD)}, CLAIM)
    assert json.loads(read(store, CLAIM))["host"] == "cloud-7"
    time.sleep(3.1)
    monkeypatch.setattr(claim, "EXPIRE_S", 2.0)
    monkeypatch.setattr(claim, "POLL_S", 3600)  # nothing is watched: its age is known at once

    to_zarr(dates(0, 1), store)

    assert open_zarr(store).sizes["time"] == 1 and claims_in(store) == []
