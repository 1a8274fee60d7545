#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10.3): a GeoTIFF that does not fit on the disk, written by windows, is closed without an exception.
#
# Expected: `write`, or the end of the `with` block, raises RasterioIOError where blocks cannot be written.
# Seen: nothing is raised, as the cache of blocks is emptied when the file is closed. libtiff prints "_tiffWriteProc: File
#   too large" (or "No space left on device") on stderr. The file opens; reading fails, or pixels are others. Written in one call, it raises.
# What follows: check a file that matters before it gets its name, such as that each block's BLOCK_OFFSET and BLOCK_SIZE (in
#   the domain TIFF) lie inside of it; on a full disk an exit code of 0 says nothing.
# A limit on the size of files imitates the full disk.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$folder"
env/bin/python - 2> stderr.txt <<'PYTHON'
import resource
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

values = np.random.default_rng(0).integers(0, 10_000, (1, 512, 512), dtype="uint16")
profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 1, "dtype": "uint16", "tiled": True}
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    with rasterio.open("a.tif", "w", **profile) as file:
        for row, col in ((row, col) for row in range(0, 512, 128) for col in range(0, 512, 128)):
            file.write(values[:, row : row + 128, col : col + 128], window=Window(col, row, 128, 128))
    raised = "nothing"
except (RasterioError, OSError) as error:
    raised = repr(error)
try:
    with rasterio.open("a.tif") as file:
        read = "other pixels" if (file.read() != values).any() else "the same pixels"
except RasterioError as error:
    read = f"unreadable, {type(error).__name__}"
print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}; {values.nbytes} bytes into a limit of 100000")
print(f"expected: an exception; seen: {raised} was raised, the file has {Path('a.tif').stat().st_size} bytes, {read}")
assert raised == "nothing", "the failure is raised now"
assert read != "the same pixels"
PYTHON
grep -m1 "_tiffWriteProc" stderr.txt
