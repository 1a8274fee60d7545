"""All metrics of a super-resolved cube in one call: one tidy Dataset, and a table of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import xarray as xr

from .._version import __version__
from ..errors import OptionError
from .agreement import added, agree
from .blocks import Layout, Level
from .comparing import Metric, measure
from .fidelity import MAE, PSNR, RMSE, SSIM
from .harmony import Spectral
from .improvement import Scoring, check_support, judge
from .inputs import Image, Scene, check_same_grid, factor_of, finished, read, together
from .profile import opensr_test
from .several import for_each_model
from .spectral import ERGAS, Q_INDEX, SAM
from .triples import bring_together, inside

if TYPE_CHECKING:
    import pandas as pd

Profile: TypeAlias = Literal["default", "opensr-test"]

_WHOLE = {"rmse": RMSE, "mae": MAE, "psnr": PSNR, "ssim": SSIM, "sam": SAM, "ergas": ERGAS, "q_index": Q_INDEX}


def evaluate(
    lr: Image,
    sr: Image | Mapping[str, Image],
    hr: Image | None = None,
    *,
    profile: Profile = "default",
    distance: str = "nd",
    support: Level | None = None,
    harmonise: Spectral = "histogram",
    align: bool = True,
    max_shift: float = 5.0,
    border: int = 16,
    quantile: float = 0.75,
    scoring: Scoring | None = None,
    peak: float = 1.0,
    objects: xr.DataArray | None = None,
    **options: Any,
) -> xr.Dataset:
    """Measure a super-resolved cube in every way that its company allows.

    lr, sr, hr: (time?, band, y, x) reflectance, NaN is nodata, as for `correctness`. hr: the truth; without it there is
        consistency and synthesis only. sr: one cube, or several by name, for a dimension `model`.
    profile: "default", or "opensr-test" for the published numbers of that tool, whose options are then `options`.
    distance, support, harmonise, align, max_shift, quantile, scoring: as in `correctness`. peak: as in `psnr`.
    border: SR pixels at the edges that no metric counts. objects: (y, x) integers on the grid of SR, 0 for none: adds
        `<name>_per_object` for all but consistency and synthesis, along `object`.

    Returns a Dataset of numbers, lazy if an input is, with the dimensions `model`, time and band as they apply:
        rmse, mae, psnr (dB), ssim, q_index per band; sam (degrees), ergas; all of SR against HR as they are;
        reflectance, spectral, spatial of LR against SR averaged back; synthesis;
        improvement, omission, hallucination. Attributes say profile, distances, scale and version.
    Raises GridError, CubeError, MissingBandError, OptionError.
    """
    if profile not in ("default", "opensr-test"):
        raise OptionError(f"profile={profile!r}: wanted 'default' or 'opensr-test'.")
    if options and profile == "default":
        raise OptionError(f"{list(options)} are no options of the default profile; did you mean profile='opensr-test'?")
    if hr is None and (objects is not None or profile == "opensr-test"):
        raise OptionError("without hr= there are no numbers per object, and none of profile='opensr-test'.")
    support = check_support("image", support, distance)
    scoring = scoring or Scoring()
    if profile == "opensr-test":
        border = int(options.get("border_mask", 16))
    low, true = read(lr, "LR"), None if hr is None else read(hr, "HR")

    def of_one(cube: Image) -> xr.Dataset:
        fine = read(cube, "SR")
        made = {}
        if true is not None:
            scale = factor_of(low, fine)
            made = _fidelity(fine, true, scale, peak, border, objects)
        if profile == "opensr-test":
            assert hr is not None, "checked above"
            rest = opensr_test(lr, cube, hr, **options)
        else:
            triple = bring_together(
                low, fine, true, harmonise=harmonise, align=align, max_shift=max_shift, border=border
            )
            rest = agree(low, fine, "l1", "sad", "image", max_shift, border)
            rest["synthesis"] = added(triple, "l1", "image", "pixel")
            if true is not None:
                judged = judge(triple, distance, "image", support, "auto", quantile, scoring)
                rest = rest.assign({str(name): array for name, array in judged.items()})
                if objects is not None:
                    alone = judge(triple, distance, "image", support, "auto", quantile, scoring, objects)
                    made |= {f"{name}_per_object": array for name, array in alone.items() if name != "threshold"}
        result = rest.assign(made)
        result.attrs = {
            "profile": profile,
            "distances": f"reflectance l1, spectral sad, synthesis l1, correctness {distance}",
            "scale": factor_of(low, fine),
            "border": border,
            "versions": f"xr_sr {__version__}",
        }
        if profile == "opensr-test":
            result.attrs["distances"] = ", ".join(
                f"{name} {options.get(f'{name}_distance', usual)}"
                for name, usual in (
                    ("reflectance", "l1"), ("spectral", "sad"), ("synthesis", "l1"), ("correctness", "nd")
                )
            )  # fmt: skip
        return finished(result, *([low, fine, true] if true else [low, fine]))  # type: ignore[no-any-return]

    return for_each_model(sr, of_one)


def table(evaluation: xr.Dataset) -> pd.DataFrame:
    """Lay out the numbers of `evaluate` as a table: a row per metric and band, a column per model; dates averaged.

    evaluation: as `evaluate` gives it; computed here if it is lazy. Bands are averaged in rows without a band's name.
    """
    import pandas as pd

    known = evaluation.compute()
    rows: dict[str, dict[str, float]] = {}
    for name, array in known.data_vars.items():
        if "object" in array.dims or array.dtype.kind != "f":
            continue
        kept = [dim for dim in array.dims if dim == "model"]
        for label, part in _bands_of(array):
            title = f"{name} {label}".strip()
            value = part.mean([dim for dim in part.dims if dim not in kept])
            names = [str(model) for model in value["model"].values] if kept else ["value"]
            rows[title] = dict(zip(names, value.values.reshape(-1).tolist(), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def _bands_of(array: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """Give the mean over bands, and each band where there are several."""
    band = next((dim for dim in array.dims if dim in array.coords and array[dim].dtype.kind in "OUT"), None)
    band = band if band != "model" else next((dim for dim in array.dims if dim == "band"), None)
    if band is None or array.sizes[band] < 2:
        return [("", array)]
    return [("", array), *((str(label), array.sel({band: label})) for label in array[band].values)]


def _fidelity(
    sr: Scene, hr: Scene, scale: int, peak: float, border: int, objects: xr.DataArray | None
) -> dict[str, xr.DataArray]:
    """Measure SR against HR as they are."""
    sr, hr = together(sr, hr)
    check_same_grid(sr, hr)
    layout = Layout.of(*sr.shape, multiple=scale)
    hr = replace(hr, data=inside(layout.cut(hr.data), border, layout, "SR"))
    made = {}
    for name, metric in _WHOLE.items():
        options = _options(metric, peak, scale)
        made[name] = measure(sr, hr, metric, **options)
        if objects is not None:
            made[f"{name}_per_object"] = measure(sr, hr, metric, objects=objects, **options)
    return made


def _options(metric: Metric, peak: float, scale: int) -> dict[str, Any]:
    return {"psnr": {"peak": peak}, "ssim": {"peak": peak}, "ergas": {"scale": float(scale)}}.get(metric.name, {})
