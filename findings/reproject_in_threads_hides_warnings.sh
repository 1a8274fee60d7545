#!/usr/bin/env bash
# rasterio 1.4.4: rasterio.warp.reproject in several threads leaves a warning filter behind that ignores everything.
#
# Expected: `warnings.filters` of the process are the same before and after, and a later warnings.warn is shown.
# Seen: reproject enters warnings.catch_warnings with simplefilter("ignore"). That is not safe in threads (Python's
#   documentation says so): where calls overlap, the last one to leave restores the filters of another, in which
#   ("ignore", None, Warning, None, 0) stands first. It stays for the rest of the process. In one thread it does not.
# What follows: after odc-stac or dask has reprojected in threads, no warning of any library is shown any more, and it
#   depends on timing. Reset the filters after such a computation, or set them for your own code.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import reproject

pixels = np.random.default_rng(0).integers(0, 3000, (400, 400)).astype("uint16")
here, there = from_origin(300_000, 5_200_000, 10, 10), from_origin(755_000, 5_200_000, 10, 10)


def once(_: int) -> None:
    reproject(pixels, np.zeros_like(pixels), src_transform=here, src_crs="EPSG:32633", dst_transform=there, dst_crs="EPSG:32632")


def left(threads: int) -> int:
    """Count the entries that ignore everything after 64 calls."""
    warnings.resetwarnings()
    warnings.simplefilter("always")
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(once, range(64)))
    return sum(entry[0] == "ignore" and entry[2] is Warning for entry in warnings.filters)


one = left(1)
several = [left(8) for _ in range(10)]
print(f"rasterio {rasterio.__version__}: filters that ignore everything, left behind by 64 calls")
print(f"expected: 0; seen: {one} in one thread, {several} in ten runs of eight threads")
assert one == 0
assert any(several), "no filter is left behind any more (or ten runs had luck)"
PYTHON
