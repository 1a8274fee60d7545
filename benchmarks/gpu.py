"""Measure models on a GPU: megapixels and windows a second, peak memory, half precision, compiled networks, the store.

    python -m benchmarks.gpu [--size 1024] [--dates 4] [--repeat 3] [--device cuda] [--models NAME ...] [--write]

A real scene of float32 reflectance, mirrored and repeated to the size, on several dates, in memory. Each run is a fresh
process: a small part first, for libraries, weights and compilers, then all to blocks that are kept. LDSR-S2 has random
weights of full size and one date of `--windows` windows. Values on the GPU are compared with those on the CPU. The part
of the store: the time of `to_zarr` beside that of the same blocks kept in memory. `--device cpu` runs the same on a
processor, to try it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, Values, by_turns, column, parser

TOLERANCE = 2e-5
"""How far float32 values on a GPU may be from those on the CPU, reflectance."""

CHUNK = 512
COMPARED = 128
"""Input pixels along a side of what is compared with the CPU, of models without windows."""

MEMBERS = 8


@dataclass(frozen=True)
class Case:
    """What is run. how: upscale, interval, ensemble or store. windows: the model computes windows, one date of them."""

    model: str
    how: str = "upscale"
    precision: str = "float32"
    compiled: bool = False
    windows: bool = False
    ten: bool = False

    @property
    def name(self) -> str:
        """As a row is called."""
        parts = [self.model, self.how, self.precision, *(["compiled"] if self.compiled else [])]
        return ", ".join([*parts, *(["ten bands"] if self.ten else [])])


CASES = (
    Case("kriging"),
    Case("kriging", "interval"),
    Case("kriging", "ensemble"),
    Case("sen2sr"),
    Case("sen2sr", ten=True),
    Case("sen2sr", "store"),
    Case("sen2sr-lite"),
    Case("sen2sr-lite", precision="bfloat16"),
    Case("diffusion"),
    Case("diffusion", compiled=True),
    Case("diffusion", "ensemble"),
    Case("diffusion", "ensemble", precision="bfloat16"),
    Case("ldsr-s2", windows=True),
    Case("ldsr-s2", precision="bfloat16", windows=True),
    Case("ldsr-s2", compiled=True, windows=True),
    Case("ldsr-s2", "ensemble", windows=True),
)


def main() -> int:
    """Measure all cases; exit code 1 if values differ from those of the CPU."""
    arguments = parser(__doc__, repeat=3, size=1024)
    arguments.add_argument("--dates", type=int, default=4, help="of the scene (default: %(default)s)")
    arguments.add_argument("--windows", type=int, default=4, help="of LDSR-S2 (default: %(default)s)")
    arguments.add_argument("--device", default="cuda", help="as upscale takes it (default: %(default)s)")
    arguments.add_argument("--models", nargs="+", help="only these (default: all)")
    arguments.add_argument("--folder", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    name = _name_of(given.device)
    chosen = [case for case in CASES if given.models is None or case.model in given.models]
    with tempfile.TemporaryDirectory(prefix="xr-sr-gpu-") as folder, Report("gpu", "On a GPU", given) as report:
        if any(case.windows for case in chosen):
            from benchmarks.harness.diffusers import latent_weights

            latent_weights(Path(folder) / "ldsr.ckpt")
        shared = ("--size", str(given.size), "--dates", str(given.dates), "--windows", str(given.windows))
        shared += ("--device", given.device, "--folder", folder)
        sides = {
            case.name: Side(
                "benchmarks.gpu",
                ("--side", str(CASES.index(case)), *shared),
                env={"XR_SR_COMPILE": "1"} if case.compiled else {},
            )
            for case in chosen
        }
        seen = by_turns(sides, given.repeat)
        report.saw(seen)
        report.text(
            f"{name}. {given.dates} dates of {given.size} x {given.size} pixels at 10 m, blocks of {CHUNK}, four bands "
            f"where no other number is told; ensembles of {MEMBERS} members; {given.repeat} runs in turns, median "
            "[least largest]. A megapixel: of the input, of one date. Windows of LDSR-S2: 128 pixels, three steps, "
            "random weights. Peak memory: of the GPU as torch has it, and of the process. Apart: the largest "
            "difference from the CPU, on a part.",
        )
        report.table(
            ["model, run, precision", "seconds", "megapixels/s", "windows/s", "GPU, MiB", "process, MiB", "apart"],
            [_row(case, seen[case.name]) for case in chosen],
        )
        for case in chosen:
            apart = max(column(seen[case.name], "apart"))
            if case.precision == "float32" and not case.compiled:
                report.target(f"{case.name}: {apart:.1e} from the CPU; at most {TOLERANCE:.0e}", apart <= TOLERANCE)
        if store := seen.get(Case("sen2sr", "store").name):
            kept, written = (
                Spread.of(column(rows, "seconds")).median for rows in (seen["sen2sr, upscale, float32"], store)
            )
            report.text(f"Share of the writer: {1 - kept / written:.0%} of the time to a store of `sen2sr`.")
    return report.exit_code


def _name_of(device: str) -> str:
    """Return the name of the device. Exits with a sentence if there is none."""
    import torch

    if device == "cpu":
        return "The processor, no GPU"
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA GPU here. Run this where one is, or try it by --device cpu --size 256.")
    return torch.cuda.get_device_name(device)


def _row(case: Case, seen: list[Values]) -> tuple[str, ...]:
    seconds = Spread.of(column(seen, "seconds"))
    pixels, windows = seen[0]["megapixels"], seen[0]["windows"]
    rate = f"{windows / seconds.median:.2f}" if windows else ""
    memory = [f"{max(column(seen, key)):.0f}" for key in ("gpu_mib", "peak_mib")]
    return (
        case.name,
        seconds.text(),
        f"{pixels / seconds.median:.3f}",
        rate,
        *memory,
        f"{max(column(seen, 'apart')):.1e}",
    )


def _side(given: argparse.Namespace) -> dict[str, float]:
    import numpy as np
    import torch

    case = CASES[int(given.side)]
    cube = _scene(case, given)
    small = cube.isel(time=slice(1), y=slice(COMPARED), x=slice(COMPARED))
    on_device = _values(_lazy(small, case, given, given.device))
    if given.device == "cpu" or case.windows:  # one window of LDSR-S2 takes minutes there
        apart = 0.0 if given.device == "cpu" else float("nan")
    else:
        apart = max(
            float(np.nanmax(np.abs(one - other)))
            for one, other in zip(on_device, _values(_lazy(small, case, given, "cpu")), strict=True)
        )
    cuda = torch.cuda.is_available() and given.device != "cpu"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    made = _lazy(cube, case, given, given.device)
    if case.how == "store":
        made.sr.to_zarr(Path(given.folder) / f"{time.time_ns()}.zarr", progress=False)
    else:
        made.persist()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "megapixels": cube.sizes["time"] * cube.sizes["y"] * cube.sizes["x"] / 1e6,
        "windows": float(given.windows if case.windows else 0),
        "gpu_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0,
        "peak_mib": peak_memory_mib(),
        "apart": apart,
    }


def _scene(case: Case, given: argparse.Namespace) -> Any:
    """Return (time, band, y, x) reflectance, in blocks of one date."""
    import numpy as np
    import xarray as xr

    from benchmarks.harness import scenes
    from benchmarks.harness.ten_scenes import TEN
    from benchmarks.ten_bands_speed import _scene as ten_bands

    if case.windows:
        height, width, dates = 128, 128 + 112 * (given.windows - 1), 1
        data = scenes.reflectance(width)[:, :height]
    else:
        dates, data = given.dates, ten_bands(given.size) if case.ten else scenes.reflectance(given.size)
    one = scenes.cube(np.ascontiguousarray(data), TEN if case.ten else scenes.RGBN)
    days = np.datetime64("2023-06-01", "ns") + 5 * np.arange(dates) * np.timedelta64(1, "D")
    return xr.concat([one] * dates, xr.Variable("time", days)).chunk(time=1, y=CHUNK, x=CHUNK)


def _lazy(cube: Any, case: Case, given: argparse.Namespace, device: str) -> Any:
    import xr_sr  # noqa: F401  # registers .sr

    options: dict[str, Any] = {"device": device, "offset": 0, "quantification": 1}
    if case.windows:
        options["weights"] = str(Path(given.folder) / "ldsr.ckpt")
    if case.how == "interval":
        return cube.sr.interval(model=case.model, **options)[["estimate", "std"]]
    if case.precision != "float32":
        options["precision"] = case.precision
    if case.how == "ensemble":
        return cube.sr.ensemble(MEMBERS, case.model, **options)[["estimate", "std"]]
    return cube.sr.upscale(case.model, **options)


def _values(lazy: Any) -> list[Any]:
    import numpy as np
    import xarray as xr

    made = lazy.compute()
    return [np.asarray(each.values) for each in (made.data_vars.values() if isinstance(made, xr.Dataset) else [made])]


if __name__ == "__main__":
    sys.exit(main())
