#!/usr/bin/env bash
# dask 2026.8.0: a clone of a sliced or rechunked array cannot be computed.
#
# Expected: `dask.graph_manipulation.clone` copies an array under new keys, so that it can be computed apart from the
#   original, whatever made the array; for instance to read an input twice rather than to keep it in memory.
# Seen: layers that hold tasks as dask's own objects (`Task`), such as those of slices and `rechunk`, get new keys, but
#   their tasks still read the old ones, which are not in the graph: computing raises ValueError ("Missing dependency",
#   or "Cannot fuse tasks with multiple outputs"). Layers of plain tuples, such as those of `stack` and `sum`, are cloned
#   right.
# What follows: `clone` of dask, and `bind`, which is built on it, cannot be used on cubes that were cut or rechunked;
#   open the source a second time instead. Layers of one's own that make `Task` objects have to bring their own `clone`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check dask==2026.8.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
from importlib.metadata import version

import dask.array as da
import numpy as np
from dask.graph_manipulation import clone

source = da.from_array(np.arange(4.0), chunks=2)
made = {"slice": source[1:3], "rechunk": source.rechunk(4), "stack": da.stack([source, source]), "sum": source.sum()}
print(f"dask {version('dask')}; expected: each clone gives the values of its original")
seen = {}
for name, array in made.items():
    expected = array.compute()
    try:
        found = clone(array).compute()
        seen[name] = "right" if np.array_equal(found, expected) else "other values"
    except ValueError as error:
        seen[name] = f"ValueError: {str(error)[:60]}..."
    print(f"{name}: {seen[name]}")
assert seen["slice"].startswith("ValueError: Missing dependency"), "slices are cloned right now"
assert seen["rechunk"].startswith("ValueError"), "rechunked arrays are cloned right now"
assert seen["stack"] == seen["sum"] == "right"
PYTHON
