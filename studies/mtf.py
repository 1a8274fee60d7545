"""Estimate the MTF of real scenes beside the published values; fit the coefficients of the estimate.

    python -m studies.mtf [--fit] [--write]

Each scene's bands by `xr_sr.estimate_mtf`, weighed with the published value and alone. --fit: instead, see aerial
images through Gaussians with an MTF of 0.13 to 0.45 and noise of 0.5 to 2 times the modeled, and print the coefficients
of `xr_sr/kernels/sharpness.py`, with the rms error at each place when it is held out. The places of the study of trust
are not among these images. Writes results/mtf.md.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, parser, run, shared

BANDS = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12")

RGBN = ("B04", "B03", "B02", "B08")

MTFS = (0.13, 0.15, 0.19, 0.24, 0.3, 0.36, 0.41, 0.45)

NOISE = (0.5, 1.0, 2.0)

RIDGE = 0.03
"""Of the fit, in units of the mean square of each standardized feature."""

REFLECTANCE_AT_255 = (0.4, 0.4, 0.4, 0.6)


def main() -> int:
    """Measure all scenes in one process."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--fit", action="store_true", help="fit the coefficients, and print them")
    given = arguments.parse_args()
    if given.fit:
        _fit()
        return 0
    if given.side:
        print(json.dumps({"scenes": _measure()}))
        return 0
    given.no_calibration = True  # no times here
    with Report("mtf", "The MTF of real scenes", given) as report:
        _show(report, run(Side("studies.mtf", ("--side", "all")))["scenes"])
    return report.exit_code


def _show(report: Report, scenes: list[dict[str, Any]]) -> None:
    from xr_sr.simulate import MTF_AT_NYQUIST

    report.text(
        "MTF at the Nyquist frequency of each band's own pixels by `xr_sr.estimate_mtf`: weighed with the published "
        "value; in brackets what was measured alone. –: nothing could be measured, or the band is missing."
    )
    rows = [["published", *(f"{MTF_AT_NYQUIST[band]:.2f}" for band in BANDS)]]
    for scene in scenes:
        found = scene["found"]
        rows.append([scene["name"], *(_cell(found.get(band)) for band in BANDS)])
    report.table(["scene", *BANDS], rows)


def _cell(found: list[float] | None) -> str:
    return "–" if found is None or not np.isfinite(found[0]) else f"{found[0]:.2f} ({found[1]:.2f})"


def _measure() -> list[dict[str, Any]]:
    import xr_sr
    from benchmarks.harness.scenes import cube, spyndex
    from studies.consistency_bands import _scenes

    def of(name: str, scene: Any, options: dict[str, Any]) -> dict[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = xr_sr.estimate_mtf(scene, bands=None, **options).compute()
        print(name, file=sys.stderr, flush=True)
        values = zip(found.band.values, found.mtf.values, found.mtf_measured.values, strict=True)
        return {"name": name, "found": {str(band): [float(one), float(alone)] for band, one, alone in values}}

    rows = [of("spyndex", cube(spyndex()), {"offset": 0})]
    for scene in _scenes():
        options = {name: value for name, value in scene.options.items() if name != "layout"}
        rows.append(of(scene.name, scene.cube, options))
    return rows


def _images() -> Iterator[tuple[str, Any, float]]:
    """Yield a name, (band, y, x) reflectance and the size of a pixel in meters of each aerial image."""
    import rioxarray
    from PIL import Image

    data = shared() / "data"
    for name, file, size in (
        ("Virginia", "hr_naip_va_1m/m_3607717_sw_18_1_20160620_subset.tif", 1.0),
        ("North Dakota, taken as 2.5 m", "hr_naip_nd_5m/m_4709963_se_14_1_20140720.tif", 2.5),
        ("Tennessee", "hr_noaa_tn_1m/20200307aC0853900w361030n.tif", 1.35),
        ("Berkeley", "hr_more/berkeley_us/naip.tif", 0.942),
        *(("Zurich", f"hr_more/zurich_ch/{path.name}", 0.5) for path in (data / "hr_more" / "zurich_ch").glob("*.tif")),
    ):
        yield name, _scaled(rioxarray.open_rasterio(data / file).values), size
    town = np.moveaxis(np.asarray(Image.open(data / "hr_more" / "chateaugiron_fr" / "ortho.jpg")), -1, 0)
    for row in (0, 2000):
        for column in (0, 2000):
            yield "Brittany", _scaled(town[:, row : row + 2000, column : column + 2000]), 0.85


def _scaled(counts: Any) -> Any:
    bands = min(len(counts), 4)
    return counts[:bands] * (np.array(REFLECTANCE_AT_255[:bands]) / 255)[:, None, None]


def _blur(size: int, factor: float, mtf: float) -> Any:
    """Return the matrix that sees a row of fine pixels through a Gaussian: (coarse, fine)."""
    sigma = factor / np.pi * np.sqrt(-2 * np.log(mtf))
    center = (np.arange(int(size / factor)) + 0.5) * factor
    weights = np.exp(-0.5 * ((np.arange(size) + 0.5 - center[:, None]) / sigma) ** 2)
    return weights / weights.sum(1, keepdims=True)


def _fit() -> None:
    from xr_sr.kernels.sensor_noise import strength_of
    from xr_sr.kernels.sharpness import features, window_sums

    random = np.random.default_rng(5)
    rows: list[tuple[str, str, float, Any]] = []
    for name, image, size in _images():
        for mtf in MTFS:
            rows_of, columns_of = (_blur(side, 10 / size, mtf) for side in image.shape[-2:])
            for gain in NOISE:
                for band, plane in zip(RGBN, image, strict=False):
                    seen = rows_of @ plane @ columns_of.T
                    seen += gain * strength_of(band)(seen) * random.standard_normal(seen.shape)
                    rows.append((name, band, mtf, features(window_sums(seen.astype("float32")), band)[0]))
    places, bands, mtfs = (np.array([row[n] for row in rows]) for n in range(3))
    inputs, width = np.stack([row[3] for row in rows]), np.sqrt(-2 * np.log(mtfs)) / np.pi
    inside = (mtfs > 0.14) & (mtfs < 0.42)
    for place in np.unique(places):
        intercept, slopes = _solved(inputs, width, places, bands, places != place)
        here = (places == place) & inside
        error = np.exp(-0.5 * (np.pi * (intercept + inputs[here] @ slopes)) ** 2) - mtfs[here]
        print(f"{place}, held out: rms error {np.sqrt(np.mean(error**2)):.3f}, mean {error.mean():+.3f}")
    intercept, slopes = _solved(inputs, width, places, bands, places != "")
    print(f"INTERCEPT = {intercept:.5f}\nCOEFFICIENTS = ({', '.join(f'{each:.5f}' for each in slopes)})")


def _solved(inputs: Any, width: Any, places: Any, bands: Any, chosen: Any) -> tuple[float, Any]:
    """Fit by least squares with a ridge; each band of a place has the same weight, NIR, which is rare, twice that."""
    weight = np.zeros(len(inputs))
    for place in np.unique(places[chosen]):
        for band in np.unique(bands[chosen & (places == place)]):
            mine = chosen & (places == place) & (bands == band)
            weight[mine] = (2.0 if band == "B08" else 1.0) / mine.sum()
    weight /= weight.sum()
    mean, middle = weight @ inputs, weight @ width
    deviation = np.sqrt(weight @ (inputs - mean) ** 2)
    scaled = (inputs - mean) / deviation
    normal = (scaled * weight[:, None]).T @ scaled + RIDGE * np.eye(inputs.shape[1])
    slopes = np.linalg.solve(normal, (scaled * weight[:, None]).T @ (width - middle)) / deviation
    return float(middle - mean @ slopes), slopes


if __name__ == "__main__":
    sys.exit(main())
