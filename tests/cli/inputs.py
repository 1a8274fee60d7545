"""Files of every kind as inputs of commands, and the calls of commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import odc.geo.xr  # noqa: F401  registers `.odc`
import rasterio
import xarray as xr
from click.testing import CliRunner, Result
from rasterio.transform import from_origin

from xr_sr.cli import main
from xr_sr.datasets import simulate_scene

RGBN = ("B02", "B03", "B04", "B08")


STEM = "T33UUU_20230701T101031"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, code: int, *words: str) -> None:
    """Check that a command failed with a sentence, on stderr, and without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def dated_scene() -> xr.Dataset:
    """DN of four bands on two dates, offset -1000."""
    return simulate_scene((24, 32), ["2023-04-20", "2023-07-20"], bands=RGBN)["lr/r10m"].to_dataset().compute()


def write_band(path: Path, values: np.ndarray, gsd_m: float = 10, **more) -> None:
    """Write one band as GeoTIFF, from (600000, 5400000)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = values.shape[-2:]
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": values.dtype,
        "crs": "EPSG:32633",
    }
    with rasterio.open(path, "w", **profile, transform=from_origin(600_000, 5_400_000, gsd_m, gsd_m), **more) as file:
        file.write(values.reshape(1, height, width))


def write_raster(path: Path, dataset: xr.Dataset, *, named: bool = True) -> Path:
    """Write the bands of one date as a GeoTIFF, with or without band descriptions."""
    height, width = dataset.odc.geobox.shape
    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": len(dataset),
        "dtype": "uint16",
        "crs": "EPSG:32633",
    }
    with rasterio.open(path, "w", **profile, transform=dataset.odc.geobox.affine) as file:
        for number, (band, plane) in enumerate(dataset.data_vars.items(), start=1):
            file.write(plane.values, number)
            if named:
                file.set_band_description(number, str(band))
    return path


def safe(folder: Path, scene: xr.Dataset, *, baseline: str = "05.09") -> Path:
    """Lay out one date as an L2A SAFE product does, with what lies beside the images."""
    root = folder / "S2A_MSIL2A_20230701T101031_N0301_R022_T33UUU_20230701T161800.SAFE"
    images = root / "GRANULE" / "L2A_T33UUU_A041901_20230701T101559" / "IMG_DATA"
    flat = scene.isel(time=0)
    for band in RGBN:
        write_band(images / "R10m" / f"{STEM}_{band}_10m.tif", flat[band].values)
        write_band(images / "R20m" / f"{STEM}_{band}_20m.tif", flat[band].values[::2, ::2], 20)
    write_band(images / "R20m" / f"{STEM}_B8A_20m.tif", flat["B08"].values[::2, ::2], 20)
    write_band(images / "R20m" / f"{STEM}_SCL_20m.tif", np.full((12, 16), 6, "uint8"), 20)
    write_band(images / "R10m" / f"{STEM}_AOT_10m.tif", flat["B02"].values)
    write_band(images.parent / "QI_DATA" / "MSK_DETFOO_B02.tif", np.ones((24, 32), "uint8"))
    (root / "MTD_MSIL2A.xml").write_text(
        f"<a><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></a>", encoding="utf-8"
    )
    return root
