"""The nearest date, in every part of an input."""

from __future__ import annotations

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import pytest
import xarray as xr

from xr_sr import errors
from xr_sr.cli.run import describe, select_date


def test_the_nearest_date_is_found_in_any_order(scene):
    times = scene.time.values
    shuffled = scene.isel(time=[1, 0, 1]).assign_coords(time=[times[1], times[0], np.datetime64("NaT", "ns")])

    assert select_date(shuffled, "2023-04-01").time.values == times[0]
    assert select_date(scene.isel(time=[1, 1]), "2023-04-01").time.values == times[1]
    assert select_date(scene.isel(time=0), "2023-07-01").time.values == times[0]
    with pytest.raises(errors.OptionError, match="is no date"):
        select_date(scene, "")


def test_a_date_keeps_what_a_part_inherits(scene):
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"level": "L2A"}), "/r10m": scene})

    chosen = select_date(tree["r10m"], "2023-07-01")
    assert chosen.path == "/r10m"
    assert chosen.parent.attrs == {"level": "L2A"}
    assert chosen.time.values == scene.time.values[1]


def test_dates_are_taken_in_every_node_of_a_tree(scene):
    tree = xr.DataTree.from_dict({"/r10m": scene, "/r20m": scene.isel(y=slice(None, None, 2), x=slice(None, None, 2))})

    chosen = select_date(tree, "2023-04-01T00:00Z")
    assert all(node.time.values == scene.time.values[0] for node in chosen.leaves)


def test_a_result_of_several_dates_is_described_by_their_number(scene):
    fine = scene.sr.upscale("bicubic")

    assert ", 2 dates, " in describe(fine)
    assert ", 1 date, " in describe(fine.isel(time=[0]))
    assert ", 2023-04-20, " in describe(fine.isel(time=0))
