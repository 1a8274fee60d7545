"""`.sr` on DataArray, Dataset and DataTree: each method is one call into a room below, and nothing is kept.

Every derived object gets a new accessor, so state here would be lost. The functions have the same names and
arguments, and editors complete those.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .analytics.area import Area
    from .analytics.levels import Per
    from .analytics.reading import Grid
    from .analytics.surface_water import Threshold
    from .cube.time import Dates
    from .pipeline.inputs import Chunks, Layout
    from .plot import AnyCube, Date, Explorer
    from .radiometry.resolve import Nodata, Offset
    from .registration.warping import Edge, Kernel
    from .spec import Option


@xr.register_datatree_accessor("sr")
@xr.register_dataset_accessor("sr")
@xr.register_dataarray_accessor("sr")
class SuperResolution:
    """Super-resolution of a Sentinel-2 cube; `repr` says what was recognised and computes nothing."""

    def __init__(self, obj: Any) -> None:
        self._obj = obj

    def __repr__(self) -> str:
        from .cube.select import summary

        return summary(self._obj)

    def upscale(
        self,
        model: str = "sen2sr",
        *,
        bands: Sequence[str] | None = None,
        other: AnyCube | None = None,
        layout: Layout = "auto",
        weights: str | Path | None = None,
        device: str = "auto",
        constraint: Literal["auto", "lowpass", "none"] = "auto",
        offset: Offset = "auto",
        quantification: float = 10_000,
        nodata: Nodata = "auto",
        mask: xr.DataArray | None = None,
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        chunks: Chunks = None,
        allow_gsd: bool = False,
        **options: Option,
    ) -> Any:
        """See `xr_sr.upscale`."""
        from .pipeline.api import upscale

        return upscale(
            self._obj,
            model,
            bands=bands,
            other=other,
            layout=layout,
            weights=weights,
            device=device,
            constraint=constraint,
            offset=offset,
            quantification=quantification,
            nodata=nodata,
            mask=mask,
            precision=precision,
            chunks=chunks,
            allow_gsd=allow_gsd,
            **options,
        )

    def fuse(
        self,
        model: str = "glp-hpm",
        *,
        to: int | None = 10,
        bands: Sequence[str] | None = None,
        other: AnyCube | None = None,
        layout: Layout = "auto",
        weights: str | Path | None = None,
        device: str = "auto",
        constraint: Literal["auto", "lowpass", "none"] = "auto",
        offset: Offset = "auto",
        quantification: float = 10_000,
        nodata: Nodata = "auto",
        mask: xr.DataArray | None = None,
        precision: Literal["float32", "bfloat16", "float16"] = "float32",
        chunks: Chunks = None,
        allow_gsd: bool = False,
        **options: Option,
    ) -> Any:
        """See `xr_sr.fuse`."""
        from .pipeline.api import fuse

        return fuse(
            self._obj,
            model,
            to=to,
            bands=bands,
            other=other,
            layout=layout,
            weights=weights,
            device=device,
            constraint=constraint,
            offset=offset,
            quantification=quantification,
            nodata=nodata,
            mask=mask,
            precision=precision,
            chunks=chunks,
            allow_gsd=allow_gsd,
            **options,
        )

    def reflectance(self, *, offset: Offset = "auto", quantification: float = 10_000, nodata: Nodata = "auto") -> Any:
        """See `xr_sr.reflectance`."""
        from .radiometry.cubes import reflectance

        return reflectance(self._obj, offset=offset, quantification=quantification, nodata=nodata)

    def mask(self, *, scl: xr.DataArray | Hashable = None, classes: Iterable[int] | None = None) -> Any:
        """See `xr_sr.mask`."""
        from .radiometry.clouds import mask

        return mask(self._obj, scl=scl, classes=classes)

    def align(
        self,
        reference: Hashable | xr.DataArray | xr.Dataset = "median",
        *,
        method: Literal["phase", "ecc", "features"] = "phase",
        bands: Sequence[str] | None = None,
        max_shift: float = 5.0,
        upsample: int = 100,
        channel: Literal["gradients", "mean"] = "gradients",
        kernel: Kernel = "lanczos",
        edge: Edge = "nan",
        weights: Mapping[str, str | PathLike[str]] | None = None,
    ) -> Any:
        """See `xr_sr.align`."""
        from .registration import align

        return align(
            self._obj,
            reference,
            method=method,
            bands=bands,
            max_shift=max_shift,
            upsample=upsample,
            channel=channel,
            kernel=kernel,
            edge=edge,
            weights=weights,
        )

    def index(
        self,
        name: str | list[str] | tuple[str, ...],
        *,
        grid: Grid | None = None,
        offset: Offset = "auto",
        quantification: float = 10_000,
        nodata: Nodata = "auto",
        **constants: float,
    ) -> Any:
        """See `xr_sr.index`."""
        from .analytics import index

        return index(
            self._obj, name, grid=grid, offset=offset, quantification=quantification, nodata=nodata, **constants
        )

    def water(
        self,
        index: str | None = "MNDWI",
        threshold: Threshold = "otsu",
        per: Per = "cube",
        *,
        grid: Grid | None = None,
        offset: Offset = "auto",
        quantification: float = 10_000,
        nodata: Nodata = "auto",
    ) -> xr.DataArray:
        """See `xr_sr.water`."""
        from .analytics import water

        return water(
            self._obj,
            index,
            threshold,
            per,
            grid=grid,
            offset=offset,
            quantification=quantification,
            nodata=nodata,
        )

    def flood(
        self,
        before: Any,
        after: Any,
        *,
        index: str | None = "MNDWI",
        threshold: Threshold = "otsu",
        per: Per = "cube",
        area: Area = "ellipsoidal",
        grid: Grid | None = None,
        offset: Offset = "auto",
        quantification: float = 10_000,
        nodata: Nodata = "auto",
    ) -> xr.Dataset:
        """See `xr_sr.flood`."""
        from .analytics import flood

        return flood(
            self._obj,
            before,
            after,
            index=index,
            threshold=threshold,
            per=per,
            area=area,
            grid=grid,
            offset=offset,
            quantification=quantification,
            nodata=nodata,
        )

    def areas(self, *, classes: Mapping[str, int] | None = None, area: Area = "ellipsoidal") -> xr.DataArray:
        """See `xr_sr.areas`; this is the mask."""
        from .analytics import areas

        return areas(self._obj, classes=classes, area=area)

    def agreement(self, sr_mask: xr.DataArray, *, area: Area = "ellipsoidal") -> xr.Dataset:
        """See `xr_sr.agreement`; this is the mask of LR."""
        from .analytics import agreement

        return agreement(self._obj, sr_mask, area=area)

    def consistency(
        self,
        lr: xr.DataArray | xr.Dataset,
        *,
        reflectance: str = "l1",
        spectral: str = "sad",
        at: int | Literal["image", "pixel"] = "image",
        max_shift: float = 5.0,
        border: int = 0,
    ) -> xr.Dataset:
        """See `xr_sr.metrics.consistency`; this cube is SR."""
        from .metrics import consistency

        return consistency(
            lr, self._obj, reflectance=reflectance, spectral=spectral, at=at, max_shift=max_shift, border=border
        )

    def metrics(
        self, lr: xr.DataArray | xr.Dataset, hr: xr.DataArray | xr.Dataset | None = None, **options: Any
    ) -> xr.Dataset:
        """See `xr_sr.evaluate`, whose options these are; this cube is SR."""
        from .metrics import evaluate

        return evaluate(lr, self._obj, hr, **options)

    def compare(
        self,
        lr: AnyCube | None = None,
        hr: AnyCube | None = None,
        *,
        bands: Sequence[str] | None = None,
        date: Date = None,
        window: tuple[float, float, float, float] | None = None,
        max_pixels: int = 512,
        difference: Literal["consistency", "error"] | None = None,
        percentiles: tuple[float, float] = (2.0, 98.0),
        limits: tuple[float, float] | None = None,
        offset: Offset = "auto",
    ) -> Figure:
        """See `xr_sr.compare`."""
        from .plot import compare

        return compare(
            self._obj,
            lr,
            hr,
            bands=bands,
            date=date,
            window=window,
            max_pixels=max_pixels,
            difference=difference,
            percentiles=percentiles,
            limits=limits,
            offset=offset,
        )

    def explore(
        self,
        sr: AnyCube | None = None,
        hr: AnyCube | None = None,
        *,
        layers: Mapping[str, AnyCube] | None = None,
        show: tuple[str, str] | None = None,
        bands: Sequence[str] | None = None,
        date: Dates = None,
        window: tuple[float, float, float, float] | None = None,
        max_pixels: int = 1024,
        percentiles: tuple[float, float] = (2.0, 98.0),
        limits: tuple[float, float] | None = None,
        offset: Offset = "auto",
        title: str = "LR and SR",
    ) -> Explorer:
        """See `xr_sr.explore`; this cube is LR."""
        from .plot import explore

        return explore(
            self._obj,
            sr,
            hr,
            layers=layers,
            show=show,
            bands=bands,
            date=date,
            window=window,
            max_pixels=max_pixels,
            percentiles=percentiles,
            limits=limits,
            offset=offset,
            title=title,
        )

    def to_zarr(
        self,
        store: Any,
        *,
        zarr_format: Literal[2, 3] = 3,
        packing: str | Mapping[Hashable, str] = "int16",
        chunks: int | tuple[int, int] | None = None,
        shards: Literal["block"] | None = None,
        pyramid: int | bool = 0,
        geozarr: bool = False,
        region: int | None = None,
        overwrite: bool = False,
        verify: bool = False,
        wait: float = 0,
        progress: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> int:
        """See `xr_sr.to_zarr`."""
        from .io.zarr import to_zarr

        return to_zarr(
            self._obj,
            store,
            zarr_format=zarr_format,
            packing=packing,
            chunks=chunks,
            shards=shards,
            pyramid=pyramid,
            geozarr=geozarr,
            region=region,
            overwrite=overwrite,
            verify=verify,
            wait=wait,
            progress=progress,
            storage_options=storage_options,
        )

    def to_cog(
        self,
        path: str | PathLike[str],
        *,
        packing: str = "int16",
        blocksize: int = 512,
        overwrite: bool = False,
        progress: bool | None = None,
    ) -> Path:
        """See `xr_sr.to_cog`."""
        from .io.cog import to_cog

        return to_cog(self._obj, path, packing=packing, blocksize=blocksize, overwrite=overwrite, progress=progress)
