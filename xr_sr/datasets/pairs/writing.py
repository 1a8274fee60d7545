"""Write pairs: pixels go to a Zarr one pair after the other, and what was measured of each follows at the end."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from odc.geo.geobox import GeoBox

from ...errors import CubeError
from .catalogue import Entry
from .selection import Finding

__all__ = ["Scene", "Writer"]


@dataclass(frozen=True, eq=False)
class Scene:
    """The ground that both images cover, on one grid of coarse pixels.

    lr, hr, seen: (band, y, x), bands in one order, cut to that ground. scale: fine pixels per coarse one.
    """

    lr: xr.DataArray
    hr: xr.DataArray
    seen: xr.DataArray
    grid: GeoBox
    scale: int
    bands: tuple[str, ...]


class Writer:
    """Appends pairs to a Zarr, and keeps the table of what was looked at."""

    def __init__(self, store: Path, scene: Scene, size: int) -> None:
        import zarr

        self.store, self.scene, self.size = store, scene, size
        self.entries: list[Entry] = []
        self.rows: list[dict[str, Any]] = []
        store.parent.mkdir(parents=True, exist_ok=True)
        group = zarr.create_group(str(store), zarr_format=3)
        self.arrays = [
            group.create_array(
                name,
                shape=(0, len(scene.bands), side, side),
                chunks=(1, len(scene.bands), side, side),
                dtype="float32",
                fill_value=np.nan,
                dimension_names=("patch", "band", f"y{suffix}", f"x{suffix}"),
                attributes={"units": "1"},
            )
            for name, side, suffix in (("lr", size, ""), ("hr", size * scene.scale, "_hr"))
        ]

    @property
    def kept(self) -> int:
        """How many pairs were kept so far."""
        return len(self.entries)

    def add(self, place: tuple[int, int], coarse: npt.NDArray[Any], fine: npt.NDArray[Any], finding: Finding) -> None:
        """Note a pair, (band, y, x) pixels each, and write it if it is usable. place: first coarse row and column."""
        row, column = place
        corner = self.scene.grid.affine @ (column, row)
        self.rows.append({"row": row, "column": column, "left": corner[0], "top": corner[1], **asdict(finding)})
        if not finding.kept:
            return
        grid = self.scene.grid[row : row + self.size, column : column + self.size]
        self.entries.append(Entry(grid, grid.zoom_to((self.size * self.scene.scale,) * 2), finding))
        for array, pixels in zip(self.arrays, (coarse, fine), strict=True):
            array.append(pixels.astype("float32")[None])

    def finish(self, time: np.datetime64) -> None:
        """Write the coordinates of the pairs and the table; raises CubeError where no pair was kept."""
        reasons = Counter(row["reason"] for row in self.rows)
        if not self.kept:
            raise CubeError(
                f"none of {len(self.rows)} patches is usable: "
                + ", ".join(f"{count} {reason}" for reason, count in reasons.items())
                + ". Look at the images, or loosen max_shift, max_angle or min_valid."
            )
        table = {name: _column([row[name] for row in self.rows]) for name in self.rows[0]}
        kept = np.array([row["reason"] == "kept" for row in self.rows])
        measured = {name: ("patch", values[kept]) for name, values in table.items() if name != "reason"}
        crs = self.scene.grid.crs
        attrs = {
            "scale": self.scene.scale,
            "crs": f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else str(crs or ""),
            "shift": "of the fine image, in pixels of the coarse one",
            "angle": "in degrees",
        }
        pairs = xr.Dataset(coords={**measured, "band": _column(self.scene.bands), "time": time}, attrs=attrs)
        pairs.to_zarr(self.store, mode="a", consolidated=False)
        selection = xr.Dataset({name: ("tested", values) for name, values in table.items()})
        selection.assign(kept=("tested", kept)).to_zarr(self.store, group="selection", mode="a", consolidated=False)
        _consolidate(self.store, "selection")
        _consolidate(self.store, None)


def _consolidate(store: Path, group: str | None) -> None:
    """Gather metadata in one file, where xarray looks first and warns if there is none."""
    import zarr

    with warnings.catch_warnings():
        # Zarr says that version 3 of its format does not have this yet; its readers and xarray do.
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(store), path=group)


def _column(values: Sequence[Any]) -> npt.NDArray[Any]:
    """Make an array; text as objects, which Zarr stores at any length, and without a warning."""
    return np.array(values, dtype=object if isinstance(values[0], str) else None)
