"""Documents of Zarr metadata that are valid JSON and wrong."""

from __future__ import annotations

import copy
import json
import random

import dask
import pytest

from tests.io.zarr.scenes import DATES, cube
from xr_sr.errors import StoreDamageError, XrSrError
from xr_sr.io.zarr import open_zarr, to_zarr, verify

LAYOUTS = {"flat": {}, "format 2": {"zarr_format": 2}, "pyramid": {"pyramid": 1}}
WRONG = [
    ("flat", "sr_status/zarr.json", lambda d: d["shape"].__setitem__(0, None)),
    ("flat", "time/zarr.json", lambda d: d.clear()),
    ("flat", "reflectance/zarr.json", lambda d: d["codecs"].append({"name": "unheard"})),
    ("flat", "reflectance/zarr.json", lambda d: d.update(dimension_names=["time", "band", "x"])),
    ("flat", "reflectance/zarr.json", lambda d: d["shape"].__setitem__(-1, 48)),
    ("flat", "sr_status/zarr.json", lambda d: d["attributes"].update({"xr_sr:pending": "{}"})),
    ("flat", "zarr.json", lambda d: d["consolidated_metadata"].update(metadata=[])),
    ("pyramid", "0/y/zarr.json", lambda d: d.update(codecs=None)),
    ("pyramid", "1/zarr.json", lambda d: d.update(attributes=None)),
    ("format 2", "time/.zarray", lambda d: d.clear()),
    ("format 2", "x/.zattrs", lambda d: d.update(_ARRAY_DIMENSIONS=None)),
    ("format 2", ".zgroup", lambda d: d.clear()),
    ("format 2", ".zmetadata", lambda d: d.update(metadata=None)),
]
KEYS = {"flat": "x/zarr.json", "format 2": "x/.zarray", "pyramid": "0/sr_status/zarr.json"}


@pytest.fixture(autouse=True)
def one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def scene():
    return cube(dates=DATES[:1], bands=None, side=20)


@pytest.fixture(scope="module")
def wholes():
    stores: dict[str, dict] = {name: {} for name in LAYOUTS}
    with dask.config.set(scheduler="synchronous"):
        for name, layout in LAYOUTS.items():
            to_zarr(scene(), stores[name], chunks=20, **layout)
    return stores


def with_document(whole, key, document) -> dict:
    return {**whole, key: type(whole[key]).from_bytes(json.dumps(document).encode())}


def content(store) -> dict[str, bytes]:
    return {key: value.to_bytes() for key, value in store.items()}


@pytest.mark.parametrize(("layout", "key", "change"), WRONG)
def test_a_document_that_says_something_wrong_is_restored(layout, key, change, wholes):
    document = json.loads(wholes[layout][key].to_bytes())
    change(document)
    store = with_document(wholes[layout], key, document)

    with pytest.raises(StoreDamageError, match=r"xr_sr\.verify\(store\)"):
        to_zarr(scene(), store, chunks=20, **LAYOUTS[layout])
    report = verify(store)

    assert [(each.part, each.path, each.problem) for each in report.damages] == [("document", key, "unreadable")]
    assert not report.lost and verify(store).ok
    assert {k: json.loads(v) if k[-1] in "nyspa" else v for k, v in content(store).items()} == {
        k: json.loads(v) if k[-1] in "nyspa" else v for k, v in content(wholes[layout]).items()
    }
    assert to_zarr(scene(), store, chunks=20, **LAYOUTS[layout]) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_in_place_of_a_document_is_replaced_by_it(layout, tmp_path):
    to_zarr(scene(), tmp_path, chunks=20, **LAYOUTS[layout])
    key = tmp_path / KEYS[layout]
    key.unlink()
    key.mkdir()

    with pytest.raises(StoreDamageError, match=r"xr_sr\.verify\(store\)"):
        to_zarr(scene(), tmp_path, chunks=20, **LAYOUTS[layout])
    assert [(each.path, each.problem) for each in verify(tmp_path).damages] == [(KEYS[layout], "missing")]

    assert key.is_file() and verify(tmp_path).ok


@pytest.mark.parametrize("name", ["zarr.json", "x/zarr.json", "time/c/0", "reflectance/c/0/0/0"])
def test_a_store_with_a_folder_in_place_of_a_file_can_be_overwritten(name, tmp_path):
    to_zarr(scene(), tmp_path, chunks=20)
    (tmp_path / name).unlink()
    (tmp_path / name / "more").mkdir(parents=True)
    try:
        assert not verify(tmp_path, repair=False).ok
    except XrSrError:
        assert name == "zarr.json"

    to_zarr(scene(), tmp_path, chunks=20, overwrite=True)

    assert open_zarr(tmp_path).compute().identical(scene().compute()) and verify(tmp_path).ok


def places(node, path=()):
    """List every place inside a document."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(document, rng: random.Random):
    """Change one place of a document, whatever it means there."""
    changed = copy.deepcopy(document)
    *path, last = rng.choice(list(places(document)))
    node = changed
    for key in path:
        node = node[key]
    node[last] = rng.choice([None, 7, -1, "", "text", [], {}, [None], {"name": "a"}, True, 1.5])
    return changed


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whatever_a_document_says_verify_and_a_rerun_end_in_a_result_or_an_error_of_ours(layout, wholes):
    rng, whole = random.Random(11), wholes[layout]
    documents = [key for key in sorted(whole) if key.rsplit("/", 1)[-1].startswith((".z", "zarr.json"))]
    for _ in range(14):
        key = rng.choice(documents)
        document = mutated(json.loads(whole[key].to_bytes()) or {"a": 1}, rng)
        for call in (verify, open_zarr, lambda store: to_zarr(scene(), store, chunks=20, **LAYOUTS[layout])):
            try:
                call(with_document(whole, key, document))
            except XrSrError:
                continue
            except Exception as error:
                pytest.fail(f"{key}: {json.dumps(document)[:2000]}: {error!r}")
