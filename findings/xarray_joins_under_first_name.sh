#!/usr/bin/env bash
# xarray 2026.9.0: files that are joined carry the name of the first file, at every date, also in the piece of another.
#
# Expected: encoding["source"], "the file that this was read from", is dropped where arrays of several files are joined, as
#   coordinates that differ become one value for each.
# Seen: concat keeps that of the first, along time too, and it survives sel: the second date says that it is of the first
#   file. Attributes that differ are the first file's as well, in open_mfdataset too. (rioxarray notes the file with each
#   variable, where both functions keep the first.)
# What follows: what is read from the name of the file (for Sentinel-2 the processing baseline, and with it 0.1 in
#   reflectance) or from an attribute holds for one date only. Note it as a coordinate before joining.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check xarray==2026.9.0 dask==2026.7.1 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1
cd "$folder"
env/bin/python - <<'PYTHON'
import warnings

import numpy as np
import xarray as xr

warnings.simplefilter("ignore")
NAMES = {"2017-07-06": "S2A_20170706_N0214.nc", "2022-07-01": "S2A_20220701_N0400.nc"}
for day, name in NAMES.items():
    array = xr.DataArray(np.zeros((1, 2, 2)), dims=("time", "y", "x"), coords={"time": [np.datetime64(day, "ns")]})
    array.assign_attrs(baseline=name[-7:-3]).to_dataset(name="B04").to_netcdf(name, engine="scipy")
first, second = NAMES.values()
files = [xr.open_dataset(name, engine="scipy") for name in NAMES.values()]
joined, many = xr.concat(files, "time"), xr.open_mfdataset([*NAMES.values()], engine="scipy")

print("xarray", xr.__version__)
piece = joined.sel(time="2022-07-01")
source, baselines = piece.encoding.get("source", "").rpartition("/")[2], [each["B04"].attrs["baseline"] for each in (piece, many.sel(time="2022-07-01"))]
print(f"the date 2022-07-01: expected no file name, or {second}, and no baseline, or 0400; seen {source}, baseline {baselines[0]}")
assert source == first, "the first file's name is not kept any more"
assert baselines == ["0214", "0214"], "the first file's attributes are not kept any more"
PYTHON
