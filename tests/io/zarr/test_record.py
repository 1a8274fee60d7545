from __future__ import annotations

import json
from dataclasses import replace

import pytest

from xr_sr.errors import StoreError, StoreMismatchError
from xr_sr.io.zarr.record import CutRecord, Record, check_fingerprint

RECORD = Record(
    state="building",
    zarr_format=3,
    kind="DataArray",
    name=None,
    variable="data",
    dims=("y", "x"),
    time="time",
    fields=("data",),
    text=(),
    variables=("data",),
    arrays=("data", "sr_status"),
    fine_only=(),
    cuts=((CutRecord(16, None, 32, (0, 64)), CutRecord(16, None, 32, (0, 40))),),
    fingerprint={"attrs": {"xr_sr:model": "a"}},
)


def test_a_record_survives_json():
    attribute = RECORD.to_attribute()

    assert isinstance(attribute, str)  # netCDF cannot hold a nested one
    assert Record.from_attribute(attribute) == RECORD
    assert Record.from_attribute(json.loads(attribute)) == RECORD  # as stores had it once
    assert Record.from_attribute(replace(RECORD, state="ready").to_attribute()).state == "ready"


@pytest.mark.parametrize("other", [None, "text", "{", "[]", {}, {"version": 99}, {"version": 1, "state": "ready"}])
def test_what_we_did_not_write_is_no_record(other):
    assert Record.from_attribute(other) is None


def test_a_mismatch_names_every_field_with_both_values():
    stored = {"grid": {"shape": [4, 4], "crs": "EPSG:32633"}, "attrs": {"xr_sr:model": "a", "xr_sr:seed": 0}}
    wanted = {"grid": {"shape": [4, 5], "crs": "EPSG:32633"}, "attrs": {"xr_sr:model": "b"}}

    with pytest.raises(StoreMismatchError) as caught:
        check_fingerprint(stored, wanted, "out.zarr")

    message = str(caught.value)
    assert "grid.shape: the store has [4, 4], this is [4, 5]" in message
    assert "xr_sr:model: the store has 'a', this is 'b'" in message
    assert "xr_sr:seed: the store has 0, this result has no such attribute" in message
    assert "crs" not in message and "out.zarr" in message and "overwrite=True" in message
    assert isinstance(caught.value, StoreError | ValueError)


def test_variables_and_dates_that_are_missing_are_one_line_each():
    def fields(names, dims, time):
        variables = {name: {"dims": dims, "dtype": "int16", "packing": "int16"} for name in names}
        return {"variables": variables, "time": time}

    dated = fields(("B02", "B03", "B04"), ["time", "y", "x"], {"dim": "time", "kind": "date"})
    fewer, undated = (
        fields(("B04",), ["time", "y", "x"], dated["time"]),
        fields(("B02", "B03", "B04"), ["y", "x"], None),
    )

    for stored, wanted, line in (
        (dated, fewer, "  variables: the store has B02, B03, this lacks them"),
        (fewer, dated, "  variables: the store lacks B02, B03"),
        (dated, undated, "  time: the store has dates along 'time', this has none"),
        (undated, dated, "  time: the store has none, this has dates along 'time'"),
    ):
        with pytest.raises(StoreMismatchError) as caught:
            check_fingerprint(stored, wanted, "out.zarr")
        assert [each for each in str(caught.value).splitlines() if each.startswith("  ")] == [line]


def test_equal_fingerprints_pass():
    check_fingerprint(RECORD.fingerprint, json.loads(json.dumps(RECORD.fingerprint)), "out.zarr")
