"""A missing library is one sentence that says what to install."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import xarray as xr
from xarray.backends.common import BACKEND_ENTRYPOINTS

import xr_sr
from xr_sr.errors import MissingLibraryError
from xr_sr.optional import require


def test_a_library_that_is_there_is_given():
    assert require("json", "viz") is json
    assert require("json.decoder", "viz") is json.decoder


@pytest.mark.parametrize("module", ["nolib_of_this_name", "nolib_of_this_name.inner"])
def test_a_missing_library_is_one_sentence_with_the_command(module):
    with pytest.raises(MissingLibraryError) as caught:
        require(module, "align")

    assert str(caught.value) == "nolib_of_this_name is not installed; run: pip install 'xr-sr[align]'"
    assert caught.value.name == "nolib_of_this_name"
    assert isinstance(caught.value, ImportError)


def test_a_library_that_lacks_one_of_its_own_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "halfway.py").write_text("import nolib_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="nolib_of_this_name"):
        require("halfway", "viz")


def test_a_part_that_a_library_lacks_keeps_its_own_error():
    with pytest.raises(ModuleNotFoundError, match="json.nothing"):
        require("json.nothing", "viz")


def test_the_program_without_click_is_one_sentence():
    code = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('xr_sr', run_name='__main__')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == "Error: click is not installed; run: pip install 'xr-sr[cli]'.\n"


@pytest.mark.parametrize("start", [b"\x89HDF\r\n\x1a\n", b"CDF\x01", b"none"])
def test_a_netcdf_without_a_library_that_reads_it_names_the_extra(tmp_path, monkeypatch, start):
    for engine in ("netcdf4", "h5netcdf", "scipy"):
        monkeypatch.setitem(BACKEND_ENTRYPOINTS, engine, ("nolib_of_this_name", BACKEND_ENTRYPOINTS[engine][1]))
    (tmp_path / "cube.nc").write_bytes(start + bytes(100))
    xr.backends.refresh_engines()
    try:
        with pytest.raises(MissingLibraryError, match=r"cube\.nc.*xr-sr\[files\]"):
            xr_sr.open(tmp_path / "cube.nc")
    finally:
        monkeypatch.undo()
        xr.backends.refresh_engines()
