"""All metrics of a super-resolved cube in one call: one tidy Dataset, and a table of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import xarray as xr

from .._version import __version__
from ..arguments import check_flag, check_whole, is_one_of, renamed
from ..errors import OptionError, warns_once
from .agreement import added, agree, mean_added, on_lr_grid
from .fidelity import check_peak, for_each_model, measure
from .improvement import Scoring, check_judging, check_support, judge, judged_by
from .inputs import Image, ImageSeries, check_same_grid, read, scale_of, together, with_reflectance
from .matching import Spectral
from .published import OpenSRTest, OpenSRTestOption, configured, measured
from .records import METRICS, PER_OBJECT, Formula, Metric, Reference, record_of
from .reduce import Layout, Level
from .seen import BandPsf, NyquistMtf, ObservationOperator, SeenBy, check_operator
from .several import measure_several
from .triples import bring_together, check_border, distances, inside

if TYPE_CHECKING:
    import pandas as pd

ProfileName: TypeAlias = Literal["default", "opensr-test"]

_OWN_NAMES = {
    "distance": "correctness_distance",
    "support": "agg_method and patch_size",
    "harmonize": "harm_apply_spectral",
    "align": "harm_apply_spatial",
    "max_shift": "spatial_threshold_distance",
    "border": "border_mask",
    "quantile": "gradient_threshold",
    "scoring": "correctness_norm, correctness_temperature, im_score, om_score and ha_score",
}
"""Names of the options of the default profile in that of opensr-test."""


@renamed(harmonise="harmonize")
@warns_once
def evaluate(
    lr: Image,
    sr: Image | Mapping[str, Image],
    hr: Image | None = None,
    *,
    profile: ProfileName = "default",
    distance: str = "nd",
    support: Level | None = None,
    harmonize: Spectral = "histogram",
    align: bool = True,
    max_shift: float = 5.0,
    border: int = 16,
    quantile: float = 0.75,
    scoring: Scoring | None = None,
    peak: float = 1.0,
    objects: xr.DataArray | None = None,
    operator: SeenBy = "psf",
    mtf: NyquistMtf = None,
    psf: BandPsf = None,
    **options: OpenSRTestOption,
) -> xr.Dataset:
    """Compute all metrics that the given references allow.

    lr, sr, hr: (time?, band, y, x) reflectance, NaN is nodata, as in `correctness`; of lr DN too, as in `consistency`.
        hr: the reference; without it only consistency and synthesis are computed. sr: one cube, or several by name, for
        a dimension `model`.
    profile: "default", or "opensr-test" for the published numbers of that tool, whose options are then `options`.
    distance, support, harmonize, align, max_shift, quantile, scoring: as in `correctness`; those and border are of the
        default profile, the other one has options of its own. peak: as in `psnr`.
    border: SR pixels at the edges that no metric counts. objects: (y, x) integers on the grid of SR, 0 for none: adds
        `<name>_per_object` for all but consistency and synthesis, along `object`.
    operator, mtf, psf: as in `consistency`; opensr-test averages over pixels.

    Returns a Dataset of numbers, lazy if an input is, with the dimensions `model`, time and band as they apply:
        rmse, mae, psnr (dB), ssim, q_index per band; sam (degrees), ergas; all of SR against HR without harmonization;
        reflectance, spectral, spatial of LR against SR seen by its sensor; synthesis;
        improvement, omission, hallucination. sam and spectral need two bands. Attributes name profile, scale,
        version and every option that the values depend on.
    Raises GridError, CubeError, MissingBandError, OptionError; RadiometryError for integers, of lr where their offset
    is not known, and, when it is computed, where a block has a median above 3, as DN have. Warns ReferenceWarning where
    a model computed hr, by its attributes, and none sr.
    """
    if not is_one_of(profile, ("default", "opensr-test")):
        raise OptionError(f"profile={profile!r}: expected 'default' or 'opensr-test'.")
    check_flag("align", align)
    if options and profile == "default":
        raise _unknown_options(options)
    if hr is None and (objects is not None or profile == "opensr-test"):
        raise OptionError("objects= and profile='opensr-test' need hr=, a reference image; pass it.")
    peak = check_peak(peak)
    config = None
    if profile == "opensr-test":
        _check_own_names(
            {
                "distance": distance, "support": support, "harmonize": harmonize, "align": align,
                "max_shift": max_shift, "border": border, "quantile": quantile, "scoring": scoring,
            }
        )  # fmt: skip
        config = configured(options)
        border = config.border_mask
    seen = check_operator(operator, mtf, psf)
    if profile == "opensr-test":
        if operator != "psf" or mtf is not None or psf is not None:
            raise OptionError(
                "operator=, mtf=, psf=: of profile='default'; opensr-test averages pixels. Leave them out."
            )
        seen = ObservationOperator("block")
    support = check_support("image", support, distance)
    scoring = Scoring() if scoring is None else scoring
    check_judging("auto", quantile, scoring)
    border = check_whole("border", border, least=0, unit="pixels")
    low, true = with_reflectance(read(lr, "LR")), None if hr is None else with_reflectance(read(hr, "HR"))

    def of_one(fine: ImageSeries) -> xr.Dataset:
        fine = with_reflectance(fine)
        scale = scale_of(low, fine, true)
        if config is not None:
            assert true is not None, "checked above"
            rest = measured(low, fine, true, config, maps=False)
        else:
            triple = bring_together(
                low, fine, true, harmonize=harmonize, align=align, max_shift=max_shift, border=border
            )
            rest = agree(low, fine, "l1", "sad", "image", max_shift, border, seen)
            wanted = judged_by(distance) if true is not None else ()
            if wanted and support == "pixel":  # one task for all
                found, layout = distances(triple, (*wanted, ("l1", "om")), "pixel")
                rest["synthesis"] = mean_added(triple, found[:, -1:], "image")
                found = found[:, :-1]
            else:
                rest["synthesis"] = added(triple, "l1", "image", "pixel")
                if wanted:
                    found, layout = distances(triple, wanted, support)
        made = _by_formula(low, fine, true, {"peak": peak, "scale": float(scale)}, border, objects, seen)
        if true is not None and profile == "default":
            judged = judge(triple, found, layout, distance, "image", support, "auto", quantile, scoring)
            rest = rest.assign({str(name): array for name, array in judged.items()})
            if objects is not None:
                alone = judge(triple, found, layout, distance, "image", support, "auto", quantile, scoring, objects)
                made |= {f"{name}{PER_OBJECT}": array for name, array in alone.items() if name != "threshold"}
        result = rest.assign(made)
        for name, array in result.data_vars.items():
            array.attrs = record_of(str(name)).attrs | array.attrs
        result.attrs = {"profile": profile, "scale": scale, "border": border, "versions": f"xr_sr {__version__}"}
        result.attrs["operator"] = seen.kind
        if config is not None:
            result.attrs |= _as_default_attrs(config) | {"peak": peak}
        elif true is None:
            result.attrs |= {"distances": "reflectance l1, spectral sad, synthesis l1", "max_shift": float(max_shift)}
        else:
            result.attrs |= {
                "distances": f"reflectance l1, spectral sad, synthesis l1, correctness {distance}",
                "support": str(support),
                "harmonize": harmonize or "none",
                "align": str(bool(align)).lower(),
                "max_shift": float(max_shift),
                "quantile": float(quantile),
                "scoring": _in_words(scoring),
                "peak": peak,
            }
        return result

    return for_each_model(sr, of_one, low, true)


def _unknown_options(options: Mapping[str, Any]) -> OptionError:
    """Return the error for options that the default profile does not have, with what they may have meant."""
    names = ", ".join(f"{name}=" for name in options)
    if "at" in options:
        return OptionError(
            "at=: evaluate computes numbers for whole images. Maps and patches are computed by single metrics, such as "
            "metrics.rmse(sr, hr, at=32), metrics.consistency(lr, sr, at=32) or metrics.correctness(lr, sr, hr, at=32)."
        )
    if set(options) <= set(OpenSRTest.__dataclass_fields__):
        return OptionError(f"{names}: of profile='opensr-test', and the profile is 'default'. Pass profile= too.")
    own = [name for name in inspect.signature(evaluate).parameters if name not in ("lr", "sr", "hr", "options")]
    return OptionError(f"{names}: evaluate has no such argument; it has {', '.join(own)}.")


def _check_own_names(given: Mapping[str, Any]) -> None:
    """Raise OptionError for an option of the default profile that is not as by default; opensr-test has its own."""
    usual = inspect.signature(evaluate).parameters
    for name, value in given.items():
        default = usual[name].default
        if value is not default and (default is None or value != default):
            raise OptionError(
                f"{name}={value!r} is of profile='default', and profile='opensr-test' would ignore it. "
                f"Its name there is {_OWN_NAMES[name]}; or pass profile='default'."
            )


def _as_default_attrs(config: OpenSRTest) -> dict[str, Any]:
    kinds = ("reflectance", "spectral", "synthesis", "correctness")
    scores = (config.im_score, config.om_score, config.ha_score)
    return {
        "distances": ", ".join(f"{kind} {getattr(config, f'{kind}_distance')}" for kind in kinds),
        "support": f"patch {config.patch_size}" if config.agg_method == "patch" else config.agg_method,
        "harmonize": "histogram" if config.harm_apply_spectral else "none",
        "align": str(bool(config.harm_apply_spatial)).lower(),
        "max_shift": float(config.spatial_threshold_distance),
        "gradient_threshold": config.gradient_threshold,
        "scoring": _in_words(Scoring(config.correctness_norm, config.correctness_temperature, *scores)),
    }


def _in_words(scoring: Scoring) -> str:
    scores = f"im {scoring.im_score:g}, om {scoring.om_score:g}, ha {scoring.ha_score:g}"
    return f"{scoring.norm}, temperature {scoring.temperature:g}, scores {scores}"


def table(evaluation: xr.Dataset, *, describe: bool = False) -> pd.DataFrame:
    """Return the values of `evaluate` as a table: a row per metric and band, a column per model; dates averaged.

    evaluation: as `evaluate` returns it; computed here if it is lazy. Bands are averaged in rows without a band's name.
    describe: add the columns "label", "unit" and "better" ("higher", "lower", "nearest 1", or empty) in front.
    """
    import pandas as pd

    check_flag("describe", describe)
    known = evaluation.compute()
    rows: dict[str, dict[str, Any]] = {}
    for name, array in known.data_vars.items():
        if "object" in array.dims or array.dtype.kind != "f":
            continue
        kept = [dim for dim in array.dims if dim == "model"]
        metric = record_of(str(name))
        about = {"label": metric.label, "unit": metric.unit, "better": metric.better} if describe else {}
        for label, part in _bands_of(array):
            value = part.mean([dim for dim in part.dims if dim not in kept])
            names = [str(model) for model in value["model"].values] if kept else ["value"]
            rows[f"{name} {label}".strip()] = about | dict(zip(names, value.values.reshape(-1).tolist(), strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def _bands_of(array: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """Return the mean over bands, and each band where there are several."""
    band = next((dim for dim in array.dims if dim in array.coords and array[dim].dtype.kind in "OUT"), None)
    band = band if band != "model" else next((dim for dim in array.dims if dim == "band"), None)
    if band is None or array.sizes[band] < 2:
        return [("", array)]
    return [("", array), *((str(label), array.sel({band: label})) for label in array[band].values)]


def _by_formula(
    lr: ImageSeries,
    sr: ImageSeries,
    hr: ImageSeries | None,
    options: dict[str, float],
    border: int,
    objects: xr.DataArray | None,
    seen: ObservationOperator,
) -> dict[str, xr.DataArray]:
    """Compute the metrics that have a formula and whose cubes are given."""
    given = {"lr": lr, "sr": sr} | ({"hr": hr} if hr is not None else {})
    groups: dict[tuple[Reference, ...], dict[str, Metric]] = {}
    for name, metric in METRICS.items():
        if not isinstance(metric.formula, str) and set(metric.needs) <= given.keys():
            groups.setdefault(metric.needs, {})[name] = metric
    made: dict[str, xr.DataArray] = {}
    for needs, metrics in groups.items():
        if needs == ("lr", "sr"):
            named, layout, *images = on_lr_grid(lr, sr, "image", border, seen)
            made |= measure_several(named, images, layout, _with_options(metrics, named, options))
            continue
        scenes = together(*(given[role] for role in needs))
        check_same_grid(scenes[0], scenes[-1])
        chosen = _with_options(metrics, scenes[0], options)
        layout = Layout.of(*sr.shape, multiple=int(options["scale"]))
        check_border(border, layout.shape, "SR")
        made |= measure_several(scenes[0], [scene.data for scene in scenes], layout.inside(border), chosen)
        if objects is not None:
            last = scenes[-1]
            bounded = (*scenes[:-1], replace(last, data=inside(layout.cut(last.data), border, layout, "SR")))
            for name, (metric, own) in chosen.items():
                made[f"{name}{PER_OBJECT}"] = measure(bounded, metric, objects=objects, **own)
    return {name: made[name] for known in METRICS for name in (known, f"{known}{PER_OBJECT}") if name in made}


def _with_options(
    metrics: Mapping[str, Metric], scene: ImageSeries, options: Mapping[str, float]
) -> dict[str, tuple[Metric, dict[str, Any]]]:
    """Return the metrics for which a scene has enough bands, each with the options that it takes."""
    chosen: dict[str, tuple[Metric, dict[str, Any]]] = {}
    for name, metric in metrics.items():
        formula = metric.formula
        assert isinstance(formula, Formula)
        if len(scene.keys) >= formula.least_bands:
            chosen[name] = (metric, {option: options[option] for option in formula.options})
    return chosen
