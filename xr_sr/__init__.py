"""Super-resolution of Sentinel-2 cubes in xarray: lazy, seamless, and with the georeference kept exact.

Importing this adds `.sr` to every DataArray, Dataset and DataTree. Each public name is imported when it is first used.

Each folder is a level: it imports from lower ones only (`tests/test_structure.py`). To read the code, follow a cube:
`cube` (what it is), `radiometry` (what its numbers mean), `catalog` (which model), `kernels` (how a block is computed),
`tiling` (how an array is cut into blocks), `pipeline` (the graph), `io` (Zarr, GeoTIFF, STAC). Then what is done with
the result: `metrics`, `analytics`, `plot`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from . import analytics, errors, metrics, networks, plot, registration, simulate, training
    from .analytics import agreement, areas, flood, flood_between, index, water
    from .catalog.listing import list_models
    from .catalog.models import ModelSpec
    from .cube.align import snap_geobox
    from .datasets import pairs, sample, simulate_scene
    from .datasets.pairs import make_pairs
    from .io import stac
    from .io.cog import to_cog
    from .io.files import open
    from .io.stac import load, to_stac
    from .io.zarr import open_zarr, to_zarr, verify
    from .kernels.calibration import Calibration
    from .kernels.register import measure_halo, register_model
    from .metrics import evaluate
    from .pipeline.api import explain, fuse, upscale
    from .pipeline.cluster import configure
    from .pipeline.ensemble import ensemble
    from .pipeline.interval import interval
    from .pipeline.multiframe import multiframe
    from .pipeline.sharpness import estimate_mtf
    from .plot import compare, explore
    from .radiometry.cubes import mask, reflectance
    from .radiometry.written import set_radiometry
    from .registration import align
    from .spec import LowPass, Normalization, RadialSigmoid
    from .training.calibrating import calibrate, calibration_report

__all__ = [
    "Calibration",
    "LowPass",
    "ModelSpec",
    "Normalization",
    "RadialSigmoid",
    "__version__",
    "agreement",
    "align",
    "analytics",
    "areas",
    "calibrate",
    "calibration_report",
    "compare",
    "configure",
    "ensemble",
    "errors",
    "estimate_mtf",
    "evaluate",
    "explain",
    "explore",
    "flood",
    "flood_between",
    "index",
    "fuse",
    "interval",
    "list_models",
    "load",
    "make_pairs",
    "mask",
    "measure_halo",
    "metrics",
    "multiframe",
    "networks",
    "open",
    "open_zarr",
    "pairs",
    "plot",
    "reflectance",
    "register_model",
    "registration",
    "sample",
    "set_radiometry",
    "simulate",
    "simulate_scene",
    "snap_geobox",
    "stac",
    "to_cog",
    "to_stac",
    "to_zarr",
    "training",
    "upscale",
    "verify",
    "water",
]

_MODULES = {
    "analytics": "analytics",
    "errors": "errors",
    "metrics": "metrics",
    "networks": "networks",
    "pairs": "datasets.pairs",
    "plot": "plot",
    "registration": "registration",
    "simulate": "simulate",
    "stac": "io.stac",
    "training": "training",
}

_ROOMS = {
    "Calibration": "kernels.calibration",
    "LowPass": "spec",
    "ModelSpec": "catalog.models",
    "Normalization": "spec",
    "RadialSigmoid": "spec",
    "agreement": "analytics",
    "align": "registration",
    "areas": "analytics",
    "calibrate": "training.calibrating",
    "calibration_report": "training.calibrating",
    "compare": "plot",
    "configure": "pipeline.cluster",
    "ensemble": "pipeline.ensemble",
    "estimate_mtf": "pipeline.sharpness",
    "evaluate": "metrics",
    "explore": "plot",
    "flood": "analytics",
    "flood_between": "analytics",
    "index": "analytics",
    "interval": "pipeline.interval",
    "multiframe": "pipeline.multiframe",
    "explain": "pipeline.api",
    "fuse": "pipeline.api",
    "list_models": "catalog.listing",
    "load": "io.stac",
    "make_pairs": "datasets.pairs",
    "mask": "radiometry.cubes",
    "measure_halo": "kernels.register",
    "open": "io.files",
    "open_zarr": "io.zarr",
    "reflectance": "radiometry.cubes",
    "register_model": "kernels.register",
    "sample": "datasets",
    "set_radiometry": "radiometry.written",
    "simulate_scene": "datasets",
    "snap_geobox": "cube.align",
    "to_cog": "io.cog",
    "to_stac": "io.stac",
    "to_zarr": "io.zarr",
    "upscale": "pipeline.api",
    "verify": "io.zarr",
    "water": "analytics",
}


class _AfterXarray:
    """Registers `.sr` as soon as xarray is imported, which `xr-sr --help` need not wait for."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "xarray":
            return None
        sys.meta_path.remove(self)
        found = find_spec(name)
        if found is not None and found.loader is not None:
            run = found.loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                import_module(".accessor", __name__)

            found.loader.exec_module = run_and_register  # type: ignore[method-assign]
        return found


class _PublicModules:
    """Finds `xr_sr.pairs` and `xr_sr.stac`, so that they can be imported as the modules that they are attributes of."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, module = name.rpartition(".")
        where = _MODULES.get(module, module)
        if package != __name__ or where == module:
            return None
        return ModuleSpec(name, _Alias(f"{package}.{where}"))  # type: ignore[arg-type]  # it has what a loader needs


class _Alias:
    """Loads a module that is found elsewhere, as itself and not as a copy."""

    def __init__(self, where: str) -> None:
        self.where = where

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.where)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has put that of the alias in its place


sys.meta_path.append(_PublicModules())

if "xarray" in sys.modules:
    import_module(".accessor", __name__)
else:
    sys.meta_path.insert(0, _AfterXarray())


_OLD = {"Normalisation": "Normalization"}
"""Public names of an earlier release, with the new ones."""


def __getattr__(name: str) -> Any:
    if name in _OLD:
        from .errors import warn_caller

        warn_caller(f"xr_sr.{name} is now spelled xr_sr.{_OLD[name]}; the old name will be removed.", FutureWarning)
        return getattr(import_module(__name__), _OLD[name])
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
