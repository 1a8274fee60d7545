"""Join the dates of two real series, and measure how well the images of windows predict each date.

Part of `multiframe`, which shows it. Without a reference, an image that agrees better with dates other than its own
than the single image does has learnt something of the ground from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.harness.runs import ROOT, shared
from benchmarks.harness.scenes import RGBN

PICTURE = ROOT / "docs" / "_static" / "multiframe_series.jpg"


@dataclass(frozen=True)
class RealSeries:
    """cube: (time, band, y, x) DN. options: of its radiometry. pictured: the window that is drawn, and its bands."""

    name: str
    cube: Any
    options: dict[str, Any]
    window: str
    pictured: tuple[int, tuple[str, ...]]


def all_series() -> Iterator[RealSeries]:
    """Yield the series of the shared folder that have several dates of several bands at 10 m."""
    import rioxarray

    data = shared() / "data"
    crops = xr.open_dataset(data / "ts_worldcereal" / "worldcereal_preprocessed_inputs.nc").set_coords("crs")
    named = {f"S2-L2A-{band}": band for band in RGBN}
    months = crops[[*named]].rename(named).rename(t="time")
    options = {"offset": 0, "nodata": 65535}
    yield RealSeries("WorldCereal", months, options, "3MS", (2, ("B08", "B04", "B03")))
    folder = data / "ts_openeo_mini"
    files = [folder / "openEO_2023-06-01Z.tif", *sorted((folder / "sub-folder").glob("*.tif"))]
    dates = [np.datetime64(file.name.split("_")[1][:10], "ns") for file in files]
    images = [rioxarray.open_rasterio(file).assign_coords(band=["B04", "B03", "B02"]) for file in files]
    june = xr.concat(images, xr.Variable("time", dates))
    yield RealSeries("openEO", june, {"offset": 0, "nodata": -32768}, "30D", (0, ("B04", "B03", "B02")))


def measure(*, pictures: bool) -> list[dict[str, Any]]:
    """Return for each date of each series how well the joined and the single image of its window predict it."""
    rows, shown = [], []
    for series in all_series():
        made = series.cube.sr.multiframe(series.window, device="cpu", **series.options).compute()
        seen = series.cube.sr.reflectance(**series.options).compute()
        seen = seen.to_dataarray("band") if isinstance(seen, xr.Dataset) else seen
        for number, time in enumerate(made["time"].values):
            joined = made["estimate"].isel(time=number, drop=True)
            one = series.cube.sel(time=time, drop=True)
            single = one.sr.upscale("kriging", device="cpu", **series.options).compute()
            single = single.to_dataarray("band") if isinstance(single, xr.Dataset) else single
            rows += _agreement(series.name, made, seen, time, joined, single)
            if number == series.pictured[0]:
                bands = list(series.pictured[1])
                shown.append((series.name, *(each.sel(band=bands) for each in (seen.sel(time=time), single, joined))))
    if pictures:
        _draw(shown)
    return rows


def _agreement(
    name: str, made: xr.Dataset, seen: xr.DataArray, time: Any, joined: xr.DataArray, single: xr.DataArray
) -> Iterator[dict[str, Any]]:
    from xr_sr.simulate import degrade

    for date in made["date"].values[made["window"].values == time]:
        facts = made.sel(date=date)
        if not np.isfinite(facts["shift_y"]).any() or not float(facts["weight"].max()):
            continue
        shift = tuple(float(facts[f"shift_{axis}"].mean()) for axis in "yx")
        bands = [str(band) for band in made["measured_band"].values]
        gain, offset = (facts[each].mean(("region_y", "region_x")).values[:, None, None] for each in ("gain", "offset"))
        image = seen.sel(time=date, band=bands).transpose("band", ...)
        rms = []
        for fine in (joined, single):
            moved = degrade(fine.sel(band=bands), 4, shifts=dict.fromkeys(bands, shift))
            rest = moved.values - (image.values - offset) / gain
            rms.append(float(np.sqrt(np.nanmean(np.square(rest[:, 4:-4, 4:-4])))))
        yield {
            "series": name,
            "shows": str(time)[:10],
            "date": str(date)[:10],
            "shift": shift,
            "weight": float(facts["weight"].mean()),
            "joined": rms[0],
            "single": rms[1],
        }


def _draw(shown: list[Any]) -> None:
    """Draw one date at 10 m, its single image, and the joined one, for each series."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(shown), 3, figsize=(12, 4.2 * len(shown)), layout="constrained")
    for line, (name, *images) in zip(axes, shown, strict=True):
        low, high = (np.nanpercentile(images[0].values, share, axis=(1, 2))[:, None, None] for share in (1, 99))
        titles = (f"{name}: one date at 10 m", "kriging of this date", "multiframe")
        for axis, title, image in zip(line, titles, images, strict=True):
            color = ((image.values - low) / (high - low)).clip(0, 1).transpose(1, 2, 0)
            axis.imshow(np.nan_to_num(color, nan=1), interpolation="nearest")
            axis.set_title(title, loc="left", fontsize=11)
            axis.axis("off")
    figure.savefig(PICTURE, dpi=110, pil_kwargs={"quality": 88})
    plt.close(figure)
