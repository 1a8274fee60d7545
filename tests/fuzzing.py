"""Calls of the public interface with odd cubes and odd options: each ends in a result or in an error of ours.

A short profile runs in `test_fuzzing.py`; the long one by hand: `python -m tests.fuzzing --calls 20000`. It goes on
after a failure, and lists at the end each place that raised, with how often and the smallest call that did.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any
from unittest import mock

import dask
import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st

import xr_sr
from tests.weird import ODD, cubes, plain, scenes, some
from xr_sr.accessor import SuperResolution
from xr_sr.errors import XrSrError, XrSrWarning

PACKAGE = str(Path(xr_sr.__file__).parent)

METHODS = sorted(name for name in vars(SuperResolution) if not name.startswith("_"))

TAKERS = (
    "agreement align areas compare evaluate explain explore flood flood_between fuse index make_pairs mask reflectance "
    "set_radiometry to_cog to_zarr upscale water snap_geobox open_zarr analytics.anomaly analytics.object_series "
    "analytics.otsu analytics.pixel_areas analytics.water_history simulate.degrade simulate.degrade_series "
    "simulate.displace simulate.harmonize simulate.hybrid "
    "metrics.consistency metrics.correctness metrics.ergas metrics.mae metrics.psnr metrics.q_index metrics.rmse "
    "metrics.sam metrics.ssim metrics.synthesis metrics.detection_rate metrics.object_scores metrics.edge_response "
    "metrics.mtf metrics.opensr_test plot.flood_map plot.frequency_map plot.series plot.trust_maps training.scenes_of"
)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: attrgetter(name)(xr_sr) for name in TAKERS.split()},
    "repr": lambda cube: repr(cube.sr),
}
"""The functions that take a cube, by name; each method of the accessor is called too."""

SLOW = (
    "compare",
    "explore",
    "evaluate",
    "align",
    "correctness",
    "synthesis",
    "make_pairs",
    "trust_maps",
    "opensr_test",
)
"""Called a tenth as often as others: each takes seconds where others take milliseconds."""

USUAL: dict[str, tuple[Any, ...]] = {
    "model": (*("bicubic", "nearest", "bilinear", "glp-hpm") * 4, "sen2sr", "sen2sr-fast", "sen2sr-lite", "sen2s"),
    "bands": (None, ["B04"], ["B04", "B08"], "B04", ["red"], ["B01"], []),
    "layout": ("auto", "native", "resampled"),
    "device": ("auto", "cpu"),
    "constraint": ("auto", "lowpass", "none"),
    "offset": ("auto", 0, -1000, [0, -1000], None),
    "quantification": (10_000, 1, 1000.0),
    "nodata": ("auto", 0, None, (0, 65535), -9999),
    "precision": ("float32", "bfloat16"),
    "chunks": (None, 4, (4, 8), {"y": 4}, {"time": 1}, 1),
    "scale": (2, 3, 4, 1),
    "to": (10, None),
    "guide": ("regression", "nearest", "B08"),
    "scl": (None, "SCL"),
    "classes": (None, (0, 3), [8, 9]),
    "reference": ("median", 0, "2023-06", "first"),
    "method": ("phase", "ecc", "histogram", "linear", "moments"),
    "name": ("NDVI", "MNDWI", "EVI", "NDWI", ["NDVI", "NDWI"], "SAVI", "GARI", "VARI", "kNDVI", "cube"),
    "index": ("MNDWI", "NDWI", None, "EVI"),
    "threshold": ("otsu", 0.1, "auto", 0.5),
    "per": ("cube", "date"),
    "grid": (None, "fine", "coarse"),
    "area": ("ellipsoidal", "projected"),
    "before": ("2023-06", slice("2023-06-01", "2023-06-20"), ["2023-06-01"]),
    "after": ("2023-07", slice("2023-07-01", None), "2023-08"),
    "at": ("image", "pixel", 4),
    "window": (64, None, (600_000, 5_799_900, 600_050, 5_800_000), 8),
    "date": (None, 0, "2023-06-01"),
    "packing": ("int16", "float32", "native", {"B04": "float32"}),
    "zarr_format": (3, 2),
    "shards": (None, "block"),
    "pyramid": (0, True, 1),
    "region": (None, 1, 2),
    "overwrite": (False, True),
    "progress": (False,),
    "storage_options": (None, {}),
    "blocksize": (512, 256),
    "level": (0, 1, "all"),
    "factor": (2, 4, 1.5),
    "gsd": (None, 20, 40.0),
    "noise": (None, "sentinel2", 0.01),
    "shifts": (0.5, None, [(0, 0), (0.2, -0.4)], {"B04": (0, 0.2)}),
    "clouds": (0.0, 0.3, [0.1, 0.2], 1),
    "haze": (0.0, 0.03, [0, 0.1]),
    "gains": (0.0, 0.1, [1, 1.1]),
    "change": (0.0, 0.05, 1),
    "dates": (None, 2, "2023-06-01", ["2023-06-01", "2023-07-01"]),
    "mtf": (None, 0.2, {"B04": 0.3}),
    "size": (4, 8),
    "harmonize": ("histogram", "linear", None),
    "distance": ("nd", "l1", "sad", "mtf", "ssim"),
    "profile": ("default", "opensr-test"),
    "sigma": (2.0, None),
    "cutoff": (None, 0.1),
    "by": ("month", None),
    "each": ((), "time"),
    "resolution": (20, 60),
    "dims": (None, ["y", "x"]),
    "border": (0, 2, 16),
    "max_shift": (5.0, 2),
    "upsample": (100, 10),
    "max_pixels": (512, 64),
    "objects": (None, [1, 2]),
}
"""What arguments usually are, by name."""

NOT_ODD = {"weights", "title", "store", "path"}
"""Arguments that get usual values alone: files to be read or to be made."""


OFFLINE = {"XR_SR_HUB": "http://127.0.0.1:9", "XR_SR_CACHE": "/dev/null/none", "XR_SR_WEIGHTS": ""}
"""No call asks a server for weights: nothing listens there."""


@dataclass(frozen=True)
class Call:
    """One call: its name, the cube, and its other arguments by name."""

    name: str
    cube: Any
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({_brief(self.cube)}, {', '.join(f'{k}={_brief(v)}' for k, v in self.options.items())})"

    def run(self, functions: Mapping[str, Callable[..., Any]]) -> Any:
        """Make the call in the current folder; the progress bar is off."""
        if self.name in functions:
            return functions[self.name](self.cube, **self.options)
        return getattr(self.cube.sr, self.name.removeprefix(".sr."))(**self.options)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else f"{text[:1500]} ..."


def _second(name: str, role: str) -> st.SearchStrategy[Any]:
    """Return strategies for second cubes: one of the same ground four times finer, coarser, the same, or any."""
    sizes = {
        "hr": (48, 2.5),
        "sr": (48, 2.5),
        "sr_mask": (48, 2.5),
        "other": (6, 20.0),
        "lr": (12, 10.0),
        "mask": (12, 10.0),
    }
    size, step = sizes.get(role, (12, 10.0))
    good = scenes(size=size, step=step)
    if role in ("mask", "sr_mask", "lr_mask", "scores", "labels", "objects", "scl"):
        good = st.just(plain(["B04"], size, step)["B04"] > 0.2)
    if role in ("labels", "objects"):
        good = st.just((plain(["B04"], size, step)["B04"] * 10).astype("int32"))
    return st.one_of(good, good, cubes())


SECOND = {
    "other",
    "mask",
    "lr",
    "hr",
    "sr",
    "sr_mask",
    "scores",
    "labels",
    "high",
    "layers",
    "evaluation",
    "reference",
    "objects",
}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Choose a call, its cube and a few of its options, usual or odd."""
    names = [*FUNCTIONS, *(f".sr.{name}" for name in METHODS)]
    name = draw(some(*names))
    if name.rpartition(".")[2] in SLOW and draw(st.integers(0, 9)):
        name = draw(some(".sr.upscale", ".sr.to_zarr", "reflectance", ".sr.index", "water", "fuse"))
    short = name.removeprefix(".sr.")
    function = FUNCTIONS.get(name) or getattr(SuperResolution, short)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    cube = _first(draw, short, name)
    options: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        needed = parameter.default is parameter.empty
        if parameter.name in ("model", "progress", "store", "path") or needed or draw(some(*[False] * 5, True)):
            options[parameter.name] = _argument(draw, short, parameter.name, 12 if needed else 3)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters) and draw(some(False, False, True)):
        extra = draw(some("scale", "guide", "mtf", "L", "steps", "offset", "profile", "border", "seed"))
        if extra not in {parameter.name for parameter in parameters}:
            options[extra] = _argument(draw, short, extra, 3)
    return Call(name, cube, options)


def _first(draw: st.DrawFn, name: str, called: str) -> Any:
    """Make the first argument of a call: a cube, or what the call reads instead, now and then something odd."""
    if name == "snap_geobox":
        return draw(st.one_of(st.just(plain(["B04"], 12, 10.0).odc.geobox), st.sampled_from(ODD)))
    if name == "open_zarr":
        return draw(
            st.one_of(
                st.builds(_stored, scenes(), some(0, 1)),
                st.sampled_from([value for value in ODD if not isinstance(value, dict) or value]),
            )
        )
    if draw(some(*[False] * 30, True)) and called in FUNCTIONS and name != "repr":
        return draw(st.sampled_from(ODD))
    role = next(iter(inspect.signature(FUNCTIONS[called]).parameters)) if called in FUNCTIONS else ""
    made = draw(_second(name, role) if role in ("sr", "lr", "lr_mask", "source", "objects", "low") else cubes())
    if name.startswith(("plot.", "analytics.", "agreement")) and draw(st.booleans()):
        made = draw(scenes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if name in ("plot.flood_map", "plot.series"):
                return xr_sr.flood_between(made, made, index="NDWI", threshold=0.1)
            mask = xr_sr.water(made, "NDWI", 0.0)
            return xr_sr.analytics.water_history(mask) if name == "plot.frequency_map" and "time" in mask.dims else mask
    return made


def _stored(cube: Any, pyramid: int) -> dict[str, Any]:
    store: dict[str, Any] = {}
    xr_sr.to_zarr(cube, store, pyramid=pyramid, progress=False)
    return store


def _argument(draw: st.DrawFn, call: str, name: str, usually: int) -> Any:
    """Choose an argument, `usually` times a usual one for one odd one."""
    if name == "store":
        return draw(
            some(*[{}] * 12, "new.zarr", "a/b.zarr", "x" * 300, "file.txt", 3, None, "", "nope://x", np.zeros(2))
        )
    if name == "path":
        return draw(some(*["new.tif"] * 12, "a/b.tif", "x" * 300, "file.txt", ".", 3, None, "", "a\0b"))
    if name == "progress":
        return draw(some(*[False] * 30, "no"))
    if name in SECOND and draw(some(*[True] * 4, False)):
        return draw(_second(call, name))
    usual = USUAL.get(name, (None, 0, 1, 2.0, "auto"))
    if name in NOT_ODD:
        return usual[0] if name in USUAL else None
    return draw(st.sampled_from(ODD) if draw(some(*[False] * usually, True)) else st.sampled_from(usual))


@dataclass
class Finding:
    """A place that raised what is none of ours: how often, and the shortest call that did."""

    what: str
    count: int = 0
    call: str = ""
    trace: str = ""


@dataclass
class Findings:
    """All that went wrong in a run, by place."""

    calls: int = 0
    results: int = 0
    refused: int = 0
    found: dict[str, Finding] = field(default_factory=dict)

    def note(self, place: str, call: Call, trace: str) -> None:
        """Count a failure at a place, and keep the shortest call; a new place is said at once, on stderr."""
        if place not in self.found:
            print(f"call {self.calls}: {place}\n{call}\n{trace}", file=sys.stderr, flush=True)
        finding = self.found.setdefault(place, Finding(place))
        finding.count += 1
        if not finding.call or len(str(call)) < len(finding.call):
            finding.call, finding.trace = str(call), trace

    def __str__(self) -> str:
        ended = f"{self.results} results, {self.refused} errors of ours, {len(self.found)} places failed"
        head = f"{self.calls} calls: {ended}"
        ordered = sorted(self.found.values(), key=lambda finding: -finding.count)
        return "\n\n".join([head, *(f"{each.count} x {each.what}\n{each.call}\n{each.trace}" for each in ordered)])


def attempt(call: Call, findings: Findings, functions: Mapping[str, Callable[..., Any]] = FUNCTIONS) -> None:
    """Make a call, compute what it gives, and note whatever is neither a result nor an error or a warning of ours."""
    findings.calls += 1
    with (
        in_a_folder(),
        mock.patch.dict(os.environ, OFFLINE),
        dask.config.set(scheduler="synchronous"),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        try:
            result = call.run(functions)
            for part in result.subtree if isinstance(result, xr.DataTree) else [result]:
                data = part.to_dataset() if isinstance(part, xr.DataTree) else part
                if isinstance(data, xr.DataArray | xr.Dataset) and len(data.__dask_graph__() or ()) < 400:
                    data.compute()
                    repr(data.sr)
            findings.results += 1
        except XrSrError as error:
            findings.refused += 1
            if len(str(error)) < 15:
                findings.note(f"a message without words: {error!r}", call, "")
        except Exception as error:
            findings.note(
                f"{type(error).__name__} at {_place(error)}", call, "".join(traceback.format_exception(error)[-7:])
            )
    _close_figures()
    for each in caught:
        if not issubclass(each.category, XrSrWarning) and _is_ours(each):
            place = f"{each.category.__name__} at {each.filename.removeprefix(PACKAGE)}:{each.lineno}"
            findings.note(place, call, str(each.message))


def _is_ours(warning: warnings.WarningMessage) -> bool:
    """Return whether a warning counts: not what libraries say to each other about what they will change."""
    coming = issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | FutureWarning)
    return not coming or warning.filename.startswith(PACKAGE)


def _place(error: BaseException) -> str:
    """Name the deepest line of the package in a traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(PACKAGE)]
    return f"{frames[-1].filename.removeprefix(PACKAGE)}:{frames[-1].lineno}" if frames else "no line of the package"


@contextmanager
def in_a_folder() -> Iterator[None]:
    """Work in a fresh folder, which has one file."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file.txt").write_text("text")
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _close_figures() -> None:
    import matplotlib.pyplot as plt

    plt.close("all")


def run(count: int, number: int, seconds: float = float("inf")) -> Findings:
    """Make so many calls, chosen by a seed; the same calls for the same seed and versions of the libraries."""
    findings, end = Findings(), time.monotonic() + seconds

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(calls())
    def each(call: Call) -> None:
        if time.monotonic() > end:
            reject()
        attempt(call, findings)
        if findings.calls % 500 == 0:
            print(f"{findings.calls} calls, {len(findings.found)} places", file=sys.stderr, flush=True)

    each()
    return findings


def main() -> None:
    """Run the long profile and print what was found; exits with 1 where something was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    findings = run(given_.calls, given_.seed)
    print(findings)
    raise SystemExit(1 if findings.found else 0)


if __name__ == "__main__":
    main()
