#!/usr/bin/env bash
# scikit-image 0.26.0: Otsu's threshold of two separate classes lies at the dark class, not between the two.
#
# Expected: water at -0.2 and land at 0.4, nothing between; every threshold in the gap has the same variance between
#   classes, so a threshold near the middle, 0.1, as textbooks draw it.
# Seen: the first bin of the tie, -0.1988 with 256 bins, one bin above the water. The classes of this image are right,
#   but the number moves with nbins, and the same threshold applied to the next date cuts through water that is 0.005 brighter.
# What follows: take the middle of the tie before a threshold is used on other dates or places.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PYTHON'
import numpy as np
import skimage
from skimage.filters import threshold_otsu

water, land = -0.2, 0.4
index = np.r_[np.full(500, water), np.full(500, land)]
found = {bins: float(threshold_otsu(index, nbins=bins)) for bins in (64, 256, 1000)}
next_date = index + 0.005
called_water = float((next_date <= found[256]).mean())
print(f"scikit-image {skimage.__version__}, numpy {np.__version__}")
print(f"expected: about {(water + land) / 2:.1f} for any number of bins; half of the next date is water")
print(f"seen: {', '.join(f'{at:.4f} with {bins} bins' for bins, at in found.items())}; {called_water:.0%} of the next date is water")
assert all(at - water < 0.6 / bins for bins, at in found.items()), "the threshold has moved into the gap"
assert called_water == 0, "the next date is classified"
PYTHON
