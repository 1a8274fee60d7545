"""Weights are found in the right place, never taken unverified, and downloaded once, whatever the network does."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from xr_sr.catalog import fetch, registry
from xr_sr.catalog.fetch import CHUNK, locate
from xr_sr.catalog.models import ModelSpec
from xr_sr.errors import ModelError, WeightsError, WeightsHashError, WeightsNotFoundError, XrSrError
from xr_sr.spec import WeightsFile

DATA = np.random.default_rng(7).bytes(300_000)
SPEC = ModelSpec(
    name="own.net",
    summary="A network for these tests",
    architecture="nowhere:Net",
    bands=("B04",),
    weights=WeightsFile(path="own/x4/model.safetensor", sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA)),
)
NOBODY = "http://127.0.0.1:9"
"""Port 9 is "discard": no server of ours is there, so a connection is refused."""


@dataclass
class Hub:
    """What a server gives, how it behaves, and what it was asked: (path, Range header or None) per request."""

    data: bytes = DATA
    drops: list[int] = field(default_factory=list)  # how many bytes of a body to send before hanging up, per request
    ranges: bool = True
    status: int = 200
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            hub.asked.append((self.path, asked))
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and hub.ranges else 0
            if hub.status != 200:
                return self.send_error(hub.status)
            if begin >= len(hub.data):
                return self.send_error(416)
            self.send_response(206 if asked and hub.ranges else 200)
            self.send_header("Content-Length", str(len(hub.data) - begin))
            if asked and hub.ranges:
                self.send_header("Content-Range", f"bytes {begin}-{len(hub.data) - 1}/{len(hub.data)}")
            self.end_headers()
            end = begin + hub.drops.pop(0) if hub.drops else len(hub.data)
            self.wfile.write(hub.data[begin:end])
            return None

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        hub.url = f"http://127.0.0.1:{server.server_port}/base"
        yield hub
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no hub in reach, and no proxy between the tests and their own server."""
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XR_SR_HUB", NOBODY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as hub:
        monkeypatch.setenv("XR_SR_HUB", hub.url)
        yield hub


def put(folder: Path, data: bytes = DATA, path: str = SPEC.weights.path) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def part_of(cache: Path) -> Path:
    return cache / f"{SPEC.weights.path}.{SPEC.weights.sha256[:12]}.part"


def leftovers(cache: Path) -> list[str]:
    """All files of the cache but the weights and the (empty) lock."""
    return [
        file.name
        for file in cache.rglob("*")
        if file.is_file() and file.name not in ("model.safetensor", "model.safetensor.lock")
    ]


def test_a_file_is_taken_as_it_is_and_its_true_hash_returned(tmp_path, cache):
    tuned = put(tmp_path, b"fine-tuned", "tuned.safetensors")

    found = locate(SPEC, tuned)

    assert (
        found == locate(SPEC, str(tuned)) == fetch.Located(tuned.resolve(), hashlib.sha256(b"fine-tuned").hexdigest())
    )


@pytest.mark.parametrize("level", ["", "own", "own/x4"])
def test_a_folder_may_be_given_at_any_level(tmp_path, cache, level):
    file = put(tmp_path)

    assert locate(SPEC, tmp_path / level) == fetch.Located(file.resolve(), SPEC.weights.sha256)


def test_weights_may_be_those_of_another_model_of_the_catalogue(tmp_path, cache, monkeypatch):
    lite = replace(registry.get("sen2sr-lite"), weights=SPEC.weights)
    monkeypatch.setattr(
        registry, "current", replace(registry.current, models={**registry.current.models, lite.name: lite})
    )
    file = put(cache)

    for name in ("sen2sr-lite", "sen2sr-lite.rgbn-x4"):
        assert locate(replace(SPEC, weights=WeightsFile("other", "0" * 64, 1)), name).path == file.resolve()


@pytest.mark.parametrize("weights", ["no/such/file.safetensors", "sen2sr-light"])
def test_weights_that_are_nowhere_are_an_error_that_repeats_them(weights, cache):
    with pytest.raises(WeightsNotFoundError, match=weights):
        locate(SPEC, weights)


def test_a_folder_without_the_file_is_an_error_and_no_other_place_is_asked(tmp_path, cache):
    put(cache)
    (tmp_path / "empty").mkdir()

    with pytest.raises(WeightsNotFoundError, match=SPEC.weights.path):
        locate(SPEC, tmp_path / "empty")


def test_a_model_without_weights_says_so(cache):
    with pytest.raises(ModelError, match=r"'bicubic'.*sen2sr-lite"):
        fetch.fetch("bicubic")


def test_folders_of_the_user_come_before_the_cache_in_their_order(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("XR_SR_WEIGHTS", os.pathsep.join(str(tmp_path / name) for name in ("nowhere", "a", "b")))
    places = [put(folder) for folder in (cache, tmp_path / "b", tmp_path / "a")]

    found = []
    for _ in places:
        path = locate(SPEC, download=False).path
        found.append(path)
        path.unlink()

    assert found == [place.resolve() for place in reversed(places)]


def test_a_damaged_file_of_the_user_is_an_error_with_both_hashes_and_a_way_out(tmp_path, hub, monkeypatch):
    monkeypatch.setenv("XR_SR_WEIGHTS", str(tmp_path / "mine"))
    file = put(tmp_path / "mine", DATA[:-1])

    for weights in (None, tmp_path / "mine"):
        with pytest.raises(WeightsHashError, match="sha256") as caught:
            locate(SPEC, weights)
        for part in (str(file), SPEC.weights.sha256, hashlib.sha256(DATA[:-1]).hexdigest()):
            assert part in str(caught.value)

    assert not hub.asked


def test_a_file_that_changes_is_hashed_anew(tmp_path, cache):
    file = put(cache)
    assert locate(SPEC, download=False).path == file.resolve()

    put(cache, DATA[:-1])

    with pytest.raises(WeightsHashError):
        locate(SPEC, download=False)


def test_a_file_that_stays_is_hashed_once(tmp_path, cache, monkeypatch):
    put(cache)
    locate(SPEC)
    monkeypatch.setattr(hashlib, "file_digest", None)

    assert locate(SPEC).sha256 == SPEC.weights.sha256


def test_a_download_is_verified_cached_and_not_repeated(hub, cache):
    first = locate(SPEC)
    second = locate(SPEC)

    assert first == second == fetch.Located((cache / SPEC.weights.path).resolve(), SPEC.weights.sha256)
    assert first.path.read_bytes() == DATA
    assert hub.asked == [(f"/base/{SPEC.weights.path}", None)]
    assert leftovers(cache) == []


def test_fetch_takes_a_name(hub, cache, monkeypatch):
    monkeypatch.setattr(registry, "current", registry.current.add(SPEC))

    assert fetch.fetch(SPEC.name).path.read_bytes() == DATA


def test_nothing_is_downloaded_unless_allowed(hub):
    with pytest.raises(WeightsNotFoundError, match=rf"{SPEC.name}.*xr-sr fetch"):
        locate(SPEC, download=False)

    assert not hub.asked


def test_a_damaged_file_in_the_cache_is_replaced(hub, cache):
    put(cache, b"half a file")

    assert locate(SPEC).path.read_bytes() == DATA


@pytest.mark.parametrize("drops", [[100_000], [1, 50_000, 200_000], [280_000, 0, 5]])
def test_a_dropped_connection_is_taken_up_where_it_broke(hub, cache, drops):
    hub.drops = list(drops)

    assert locate(SPEC).path.read_bytes() == DATA

    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0 for _, asked in hub.asked]
    assert begins[0] == 0
    for begin, dropped, after in zip(begins[:-1], drops, begins[1:], strict=True):
        assert begin + dropped - CHUNK < after <= begin + dropped


def test_what_an_earlier_process_left_is_taken_up(hub, cache):
    part_of(cache).parent.mkdir(parents=True)
    part_of(cache).write_bytes(DATA[:123_456])

    assert locate(SPEC).path.read_bytes() == DATA

    assert [asked for _, asked in hub.asked] == ["bytes=123456-"]
    assert leftovers(cache) == []


def test_a_part_stays_for_the_next_try_and_is_never_taken_for_the_file(hub, cache, monkeypatch):
    hub.drops = [70_000, 0, 0, 0]
    with pytest.raises(WeightsNotFoundError):
        locate(SPEC)

    assert not (cache / SPEC.weights.path).exists()
    assert 70_000 - CHUNK < part_of(cache).stat().st_size <= 70_000
    with pytest.raises(WeightsNotFoundError):
        locate(SPEC, download=False)
    assert locate(SPEC).path.read_bytes() == DATA


@pytest.mark.parametrize(
    "left", [b"\0" * 1000, b"\0" * len(DATA), b"\0" * (len(DATA) + 5)], ids=["short", "whole", "long"]
)
def test_a_part_that_is_damaged_is_given_up_and_the_file_brought_anew(hub, cache, left):
    part_of(cache).parent.mkdir(parents=True)
    part_of(cache).write_bytes(left)

    assert locate(SPEC).path.read_bytes() == DATA
    assert leftovers(cache) == []


def test_a_server_without_ranges_is_asked_for_the_whole_again(hub, cache):
    hub.ranges = False
    hub.drops = [100_000]

    assert locate(SPEC).path.read_bytes() == DATA


@pytest.mark.parametrize("given", [DATA[::-1], DATA[:-1] + b"\0"], ids=["other", "one byte"])
def test_another_file_from_the_hub_is_an_error_and_is_not_kept(hub, cache, given):
    hub.data = given

    with pytest.raises(WeightsHashError, match=SPEC.weights.sha256) as caught:
        locate(SPEC)

    assert hashlib.sha256(given).hexdigest() in str(caught.value)
    assert not (cache / SPEC.weights.path).exists()
    assert leftovers(cache) == []


@pytest.mark.parametrize("given", [DATA + b"more", DATA[:-1]], ids=["longer", "shorter"])
def test_a_file_of_another_size_is_an_error(hub, cache, given):
    hub.data = given

    with pytest.raises(XrSrError, match="300000"):
        locate(SPEC)

    assert not (cache / SPEC.weights.path).exists()


def test_no_network_is_one_sentence_with_three_ways_out(cache):
    with pytest.raises(WeightsNotFoundError) as caught:
        locate(SPEC)

    text = str(caught.value)
    for way in (
        "own.net",
        "weights=",
        "XR_SR_WEIGHTS",
        "XR_SR_HUB",
        "xr-sr fetch own.net",
        str(cache),
        "no connection",
    ):
        assert way in text
    assert text.count(". ") == 0


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_of_the_hub_is_named(hub, status):
    hub.status = status

    with pytest.raises(WeightsNotFoundError, match=str(status)):
        locate(SPEC)


def test_a_hub_that_is_no_url_is_an_error_that_names_it(cache, monkeypatch):
    monkeypatch.setenv("XR_SR_HUB", "some/folder")

    with pytest.raises(WeightsNotFoundError, match="some/folder"):
        locate(SPEC)


def test_a_cache_that_cannot_be_written_is_an_error_that_says_what_to_set(hub, cache):
    cache.write_text("a file where the folder should be")

    with pytest.raises(WeightsError, match="XR_SR_CACHE"):
        locate(SPEC)


def test_a_full_disk_leaves_nothing_that_looks_like_the_file(hub, cache, monkeypatch):
    def full(self: Path, target: str) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(WeightsError, match="No space left"):
        locate(SPEC)

    assert not (cache / SPEC.weights.path).exists()


def _locate_in_process(_: int) -> str:
    return locate(SPEC).sha256


def test_processes_that_start_at_once_download_once(hub, cache):
    with multiprocessing.get_context("fork").Pool(3) as pool:
        hashes = pool.map(_locate_in_process, range(6))

    assert set(hashes) == {SPEC.weights.sha256}
    assert len(hub.asked) == 1
    assert leftovers(cache) == []


def test_the_official_weights_are_found_in_the_shared_folder(official):
    found = fetch.fetch("sen2sr-lite")

    assert found.path == (official / registry.get("sen2sr-lite").weights.path).resolve()


def test_an_address_is_no_file_of_weights():
    with pytest.raises(WeightsNotFoundError, match="https:/+example.org/x.ckpt"):
        fetch.locate(registry.get("ldsr-s2"), "https://example.org/x.ckpt")
    with pytest.raises(WeightsNotFoundError, match="https://huggingface.co"):
        fetch.locate(registry.get("ldsr-s2"), "opensr-ldsrs2_v1_0_0.ckpt")
