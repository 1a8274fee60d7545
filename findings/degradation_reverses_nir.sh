#!/usr/bin/env bash
# opensr-degradation 1.0.1: the blur that makes aerial imagery "look like Sentinel-2" reverses the contrast of the
# finest detail in NIR, and passes a fifth of what the sensor passes in the others.
#
# Expected: a blur by Gaussians of 2.9 to 3.4 pixels of 2.5 m, whose transfer function at the Nyquist frequency of the
#   10 m grid is .028 to .075, and never negative; Sentinel-2's own is .24 to .28 by ESA's published MTF.
# Seen: kernels are cut at 13 taps, 1.8 to 2.1 sigma. Cut and normalized they pass .042, .058, .058 and -.011 (R, G, B, NIR).
# What follows: networks trained on these pairs have seen much softer input than the sensor's, and a reversed pattern in NIR.
# The package needs torchvision; here its numbers are read from its source, and the kernel is computed from them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check numpy==2.4.6
"$folder/env/bin/pip" download -qq --disable-pip-version-check --no-deps --no-binary :none: -d "$folder" opensr-degradation==1.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import ast
import tarfile
import zipfile
from pathlib import Path

import numpy as np

(archive,) = [path for path in Path().iterdir() if path.suffix in (".whl", ".gz")]
name = "naipd/blur.py"
if archive.suffix == ".whl":
    with zipfile.ZipFile(archive) as opened:
        source = opened.read(next(path for path in opened.namelist() if path.endswith(name))).decode()
else:
    with tarfile.open(archive) as opened:
        source = opened.extractfile(next(m for m in opened.getmembers() if m.name.endswith(name))).read().decode()
calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and "GaussianBlur" in ast.unparse(node.func)]
blurs = [(ast.literal_eval(call.args[0]), ast.literal_eval(call.keywords[0].value)) for call in calls]


def passed(taps: int, sigma: float, *, cut: bool) -> float:
    """The share of a wave of 8 pixels of 2.5 m (Nyquist of 10 m) that is left along one axis."""
    radius = taps // 2 if cut else 50
    at = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    return float((kernel * np.cos(2 * np.pi * at / 8)).sum() / kernel.sum())


cut = [round(passed(*blur, cut=True), 3) for blur in blurs]
whole = [round(passed(*blur, cut=False), 3) for blur in blurs]
print(f"{archive.name}: taps and sigma of R, G, B, NIR: {blurs}")
print(f"expected, Gaussians that are not cut: {whole}; none below zero")
print(f"seen, cut at {blurs[0][0]} taps: {cut}")
assert len(blurs) == 4, "the source has another shape"
assert cut[3] < 0 < whole[3], "the contrast of NIR is not reversed any more"
assert max(cut) < 0.08, "the blur passes more than it did"
PYTHON
