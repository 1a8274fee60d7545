"""Make the sample "virginia": aerial imagery as Sentinel-2 would see it, and its reference at 2.5 m. Run once, by hand.

    python recipes/sample_virginia.py [data [target]]

data: the folder with `hr_naip_va_1m/NAIP-VA-b1.tiff` to `-b4.tiff` (red, green, blue, near infrared at 1 m), which are
`core/src/test/resources/NAIP-VA-b*.tiff` of locationtech/rasterframes at commit
45c6a1a05638c682bec9fb521dc1b5ac13a5194e. target: the folder to write to, by default that of the package.

Both images are made from the pixels of 1 m, the reference as a good camera of 2.5 m sees them and the other as
Sentinel-2 does at 10 m: its point spread function by band, its noise, steps of one DN. The edges of the pixels lie on
multiples of 10 m, at least 18 m from the edges of the source, so that each 10 m pixel is 4 x 4 pixels of the reference.
Files are not compressed: so the recipe writes the same bytes with any version of GDAL's compressors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox
from rasterio import Affine

from xr_sr.simulate import degrade

FILES = {"B04": "NAIP-VA-b1.tiff", "B03": "NAIP-VA-b2.tiff", "B02": "NAIP-VA-b3.tiff", "B08": "NAIP-VA-b4.tiff"}
BANDS = ("B02", "B03", "B04", "B08")

LR = GeoBox((46, 56), Affine(10, 0, 680_830, 0, -10, 4_207_720), "EPSG:26917")
HR = LR.zoom_to((46 * 4, 56 * 4))

REFLECTANCE_AT_255 = {"B02": 0.40, "B03": 0.40, "B04": 0.40, "B08": 0.60}
"""The reflectance assigned to a count of 255 of the camera, whose values are uncalibrated."""

HR_MTF = 0.3
"""Contrast at the Nyquist frequency of the reference: that of a good camera at 2.5 m."""

SEED = 0
"""Of the noise."""

TAGS = {
    "title": "Aerial imagery of forest, a pond and tracks near Sherando, Virginia",
    "quantity": "reflectance, assigned to uncalibrated counts of an aerial camera, as DN = reflectance * 10000",
    "source": "NAIP, quarter quad SHERANDO NE 3707801, as in locationtech/rasterframes, core/src/test/resources",
    "attribution": "USDA Farm Service Agency, National Agriculture Imagery Program (NAIP)",
    "license": "public domain",
}


def make(data: Path, target: Path) -> list[Path]:
    """Write `virginia_lr.tif` and `virginia_hr.tif`, (band, y, x) uint16 DN, to `target`; return their paths."""
    native = read(data / "hr_naip_va_1m")
    seen = {
        "lr": (degrade(native, like=LR, noise="sentinel2", seed=SEED), "seen at 10 m through a model of Sentinel-2"),
        "hr": (degrade(native, like=HR, mtf=HR_MTF), "at 2.5 m: the reference"),
    }
    return [write(target / f"virginia_{name}.tif", image, processing) for name, (image, processing) in seen.items()]


def read(folder: Path) -> xr.DataArray:
    """Return the source at 1 m, (band, y, x) float32 reflectance in the order of `BANDS`."""
    import rioxarray

    planes = []
    for band in BANDS:
        counts = rioxarray.open_rasterio(folder / FILES[band])
        assert isinstance(counts, xr.DataArray)
        gain = np.float32(REFLECTANCE_AT_255[band] / 255)
        # 255, called nodata by the files, is a bright pixel here: the imagery has no gaps.
        planes.append(counts.squeeze("band", drop=True).astype("float32") * gain)
    native = xr.concat(planes, "band").assign_coords(band=list(BANDS))
    native.attrs, native.encoding = {}, {}
    return native


def write(path: Path, image: xr.DataArray, processing: str) -> Path:
    """Write reflectance to `path` as DN; return the path."""
    values = np.rint(image.transpose("band", "y", "x").values.astype("float64") * 10_000)
    assert np.isfinite(values).all() and values.min() >= 1 and values.max() <= 65_535
    geobox = image.odc.geobox
    count, height, width = values.shape
    profile = {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": "uint16"}
    layout = {"interleave": "band", "blockysize": height}
    where = {"crs": rasterio.CRS.from_epsg(geobox.crs.epsg), "transform": geobox.affine}
    with rasterio.open(path, "w", **profile, **where, **layout) as sink:
        sink.write(values.astype("uint16"))
        sink.update_tags(**TAGS, processing=processing)
        for number, band in enumerate(BANDS, start=1):
            sink.set_band_description(number, band)
    return path


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else root.parent / "shared" / "data"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else root / "xr_sr" / "datasets" / "data"
    for written in make(data, target):
        print(written.name, written.stat().st_size, "bytes")
