"""What tests of several commands share."""

from __future__ import annotations

import pytest
import xarray as xr

from tests.cli.inputs import dated_scene


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return dated_scene()
