"""opensr-test on cubes: its numbers per date, its maps on the grid of SR, lazily, one task a date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ..arguments import check_flag
from ..cube.names import listed
from ..errors import OptionError
from .blocks import FloatArray, Layout, map_images
from .improvement import CLASSES
from .inputs import Image, Scene, check_same_grid, factor_of, finished, read, together
from .published import OpenSRTest, Outcome, check_fits, opensr_test_outcome
from .several import for_each_model

if TYPE_CHECKING:
    import dask.array as da

NUMBERS = ("reflectance", "spectral", "spatial", "synthesis", *CLASSES)


def opensr_test(
    lr: Image, sr: Image | Mapping[str, Image], hr: Image, *, maps: bool = False, **options: Any
) -> xr.Dataset:
    """Return the metrics of opensr-test 1.3.3 for each date, or its maps of improvement, omission and hallucination.

    lr, sr, hr: as for `correctness`; whole images are held in memory, one date at a time, as there. options: the fields
    of `OpenSRTest`, which are the options of opensr-test, such as correctness_distance="l1".
    Returns a Dataset, lazy if an input is: reflectance, spectral, spatial, synthesis, improvement, omission,
    hallucination along time; or with `maps` the last three and `classification` on the grid of SR, NaN in the border.
    Raises OptionError for what opensr-test lacks or fails at, GridError, CubeError, MissingBandError.
    """
    check_flag("maps", maps)
    config = configured(options)
    low, true = read(lr, "LR"), read(hr, "HR")

    def of_one(cube: Image) -> xr.Dataset:
        fine = read(cube, "SR")
        made = _measured(low, fine, true, config, maps=maps)
        return finished(made, low, fine, true)  # type: ignore[no-any-return]

    return for_each_model(sr, of_one)


def configured(options: Mapping[str, Any]) -> OpenSRTest:
    """Return the options of opensr-test with its defaults; raises OptionError for names and values that it lacks."""
    known = OpenSRTest.__dataclass_fields__
    if wrong := [name for name in options if name not in known]:
        raise OptionError(f"opensr-test has no option {listed(wrong)}; it has {', '.join(known)}.")
    return OpenSRTest(**options)


def _measured(lr: Scene, sr: Scene, hr: Scene, config: OpenSRTest, *, maps: bool) -> xr.Dataset:
    sr, lr, hr = together(sr, lr, hr)
    scale = factor_of(lr, sr)
    check_same_grid(sr, hr)
    check_fits(config, scale, len(sr.keys), sr.shape)
    inputs: list[tuple[da.Array, str]] = []
    for scene in (lr, sr, hr):
        height, width = scene.shape
        inputs.append((Layout((height,), (width,)).cut(scene.data), "tbyx"))
    attrs = {"profile": "opensr-test", "distance": config.correctness_distance, "support": config.agg_method}
    if maps:
        layout = Layout((sr.shape[0],), (sr.shape[1],))
        found = map_images(_maps, inputs, "tkyx", layout, new={"k": 4}, dtype=np.float32, config=config)
        names = (*CLASSES, "classification")
        variables = {name: sr.wrap(found[:, place], ("time", "y", "x"), name=name) for place, name in enumerate(names)}
        return xr.Dataset(variables, attrs=attrs)
    found = map_images(_numbers, inputs, "tkyx", Layout((1,), (1,)), new={"k": len(NUMBERS)}, config=config)[:, :, 0, 0]
    variables = {name: sr.wrap(found[:, place], ("time",), name=name) for place, name in enumerate(NUMBERS)}
    return xr.Dataset(variables, attrs=attrs)


def _outcome(lr: FloatArray, sr: FloatArray, hr: FloatArray, config: OpenSRTest) -> Outcome:
    if not all(np.isfinite(image).all() for image in (lr, sr, hr)):
        raise OptionError("opensr-test knows no nodata, and there is NaN. Cut it off, or take profile='default'.")
    return opensr_test_outcome(lr, sr, hr, config)


def _numbers(lr: FloatArray, sr: FloatArray, hr: FloatArray, *, config: OpenSRTest) -> FloatArray:
    outcome = _outcome(lr[0], sr[0], hr[0], config)
    return np.array([getattr(outcome, name) for name in NUMBERS])[None, :, None, None]


def _maps(lr: FloatArray, sr: FloatArray, hr: FloatArray, *, config: OpenSRTest) -> FloatArray:
    maps = _outcome(lr[0], sr[0], hr[0], config).maps
    border = config.border_mask
    return np.pad(maps, [(0, 0), (border, border), (border, border)], constant_values=np.nan)[None]
