"""Measure latent diffusion beside opensr-model, its members and memory, and how long a tile takes by each sampler.

    python -m benchmarks.peer_env                      # once: the peer's environment
    python -m benchmarks.ldsr_speed [--threads 2] [--repeat 1] [--part peer|parts] [--write]

Networks of full size with the same random weights on both sides, on a real scene; each run in a fresh process, which
has no warm-up: a member takes a minute. The peer: one window of 128 pixels, its defaults, 3 steps of DPM-Solver++ and
back-projection, against the kernel of `ldsr-s2` on the same pixels; then four members, and `upscale` of a scene of 192
x 320 pixels, which 12 windows touch. Parts: encoder, decoder and one step of the U-Net of latents, and one of a U-Net
of pixels (64 to 512 channels); from these the time of a tile follows, by as many steps as each sampler is asked for.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.against_peer import peer_folder, peer_python, require_peer
from benchmarks.harness.machine import peak_memory_mib
from benchmarks.harness.report import Report
from benchmarks.harness.runs import Side, Spread, by_turns, column, parser, ratios, run
from benchmarks.peer_env import DIFFUSION_CHECK, diffusion_folder

WINDOW, SCALE, STEPS = 128, 4, 3
MEMBERS = 4
WIDE = (192, 320)
TIMES_AS_FAST, MORE, MOST_GB = 2.0, 0.05, 8.0
TILE = 10_980
"""Side of a Sentinel-2 tile in pixels of 10 m."""

PUBLISHED = {"pixel DDPM": "1656:50", "pixel DDIM": "96:35", "latent DDPM": "6:20", "latent DDIM": "0:22"}
"""Hours and minutes for a tile, as the tutorial that this project grew from tells them, on a GPU."""

STEPS_OF = {"DDPM": 1000, "DDIM": 100}


def main() -> int:
    """Measure all; exit code 1 if a target is missed."""
    arguments = parser(__doc__, repeat=1)
    arguments.add_argument("--threads", type=int, default=2, help="of each side (default: %(default)s)")
    arguments.add_argument("--part", choices=["peer", "parts"], help="only one (default: both)")
    arguments.add_argument("--window", type=int, default=WINDOW, help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.side:
        print(json.dumps(_side(given)))
        return 0
    threads = (given.threads,)
    with (
        tempfile.TemporaryDirectory(prefix="xr-sr-ldsr-") as folder,
        Report("ldsr_speed", "Latent diffusion", given, threads=threads) as report,
    ):
        shared = ("--folder", folder, "--threads", str(given.threads), "--window", str(given.window))
        run(Side("benchmarks.ldsr_speed", ("--side", "make", *shared)))
        parts = run(_ours("parts", shared, given))
        if given.part != "parts":
            _beside_peer(report, Path(folder), shared, given, parts)
        if given.part != "peer":
            _times(report, parts)
    return report.exit_code


def _ours(side: str, shared: tuple[str, ...], given: argparse.Namespace) -> Side:
    threads = {"OMP_NUM_THREADS": str(given.threads)}
    return Side("benchmarks.ldsr_speed", ("--side", side, *shared), cores=given.threads, env=threads)


def _beside_peer(
    report: Report, folder: Path, shared: tuple[str, ...], given: argparse.Namespace, parts: dict[str, Any]
) -> None:
    require_peer()
    python = peer_python(diffusion_folder(peer_folder()))
    found = subprocess.run([python, "-c", DIFFUSION_CHECK], capture_output=True, text=True)
    if found.returncode:
        raise SystemExit("The peer's environment has no opensr-model: run `python -m benchmarks.peer_env`.")
    peer = f"opensr-model {found.stdout.split()[-2]}"
    read = ("--weights", str(folder / "latent.ckpt"), "--inputs", str(folder / "window.npy"))
    threads = ("--threads", str(given.threads))
    sides = {
        peer: Side("benchmarks.ldsr_peer", (*read, *threads), python=python, cores=given.threads),
        "one member": _ours("one", shared, given),
    }
    seen = by_turns(sides, given.repeat)
    seen |= {"four members": [run(_ours("four", shared, given))], "192 x 320 px": [run(_ours("wide", shared, given))]}
    report.saw(seen)
    report.text(
        f"Windows of {WINDOW} px, {STEPS} steps, networks of full size with random weights; {given.threads} threads; "
        f"{given.repeat} runs of the first two in turns, median [least largest].",
    )
    ratio, pairs = ratios(column(seen[peer], "seconds"), column(seen["one member"], "seconds"))
    rows = []
    for name, values in seen.items():
        said = f"**{ratio:.2f}**; pairs {pairs.text()}" if name == "one member" else ""
        peak = Spread.of(column(values, "peak_mib")).largest
        rows.append((name, Spread.of(column(values, "seconds")).text(".1f"), said, f"{peak:.0f}"))
    report.table(["run", "seconds", "times as fast as the peer", "peak MiB"], rows)
    report.target(
        f"one member: {ratio:.2f} times as fast as {peer}; at least {TIMES_AS_FAST:g}", ratio >= TIMES_AS_FAST
    )
    four = seen["four members"][0]["seconds"]
    allowed = parts["encode"] + MEMBERS * (STEPS * parts["latent step"] + parts["decode"])
    claim = f"{MEMBERS} members: {four:.1f} s, of one encoding and {MEMBERS} times steps and decoding {allowed:.1f} s"
    report.target(f"{claim}, at most {MORE:.0%} more", four <= (1 + MORE) * allowed)
    peak = seen["192 x 320 px"][0]["peak_mib"] * 2**20 / 1e9
    report.target(f"{WIDE[0]} x {WIDE[1]} px: {peak:.1f} GB; at most {MOST_GB:g}", peak <= MOST_GB)
    report.text()


def _times(report: Report, parts: dict[str, Any]) -> None:
    windows = parts["windows"]
    report.text(
        "## A tile",
        "",
        "Seconds of each part, of one window. Time of a window: encoder, steps and decoder; DDPM takes "
        f"{STEPS_OF['DDPM']} steps, DDIM {STEPS_OF['DDIM']}. A tile of {TILE} px has {windows:.0f} windows of {WINDOW} "
        "px with the overlap of `ldsr-s2`. Published: by the tutorial that this project grew from, on a GPU, with "
        "networks and steps that it does not tell; the order is what can be compared.",
    )
    keys = ("encode", "latent step", "decode", "pixel step")
    report.table(keys, [[f"{parts[key]:.2f}" for key in keys]])
    rows = []
    for kind in ("pixel", "latent"):
        around = parts["encode"] + parts["decode"] if kind == "latent" else 0.0
        for sampler, steps in STEPS_OF.items():
            seconds = around + steps * parts[f"{kind} step"]
            name = f"{kind} {sampler}"
            rows.append((name, steps, f"{seconds:.0f}", _clock(seconds * windows), PUBLISHED[name]))
    seconds = parts["encode"] + parts["decode"] + STEPS * parts["latent step"]
    rows.append(("latent DPM-Solver++, `ldsr-s2`", STEPS, f"{seconds:.0f}", _clock(seconds * windows), ""))
    report.table(["sampler", "steps", "s per window", "tile here, hh:mm", "published, hh:mm"], rows)


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _side(given: argparse.Namespace) -> dict[str, float]:
    import numpy as np

    from benchmarks.harness import diffusers, scenes

    if given.side == "make":
        diffusers.latent_weights(given.folder / "latent.ckpt")
        diffusers.pixel_weights(given.folder / "pixel.ckpt")
        np.save(given.folder / "window.npy", np.ascontiguousarray(scenes.reflectance(given.window)))
        return {"files": 3}
    import torch

    torch.set_num_threads(given.threads)
    if given.side == "parts":
        return _parts(given)
    found = _wide(given) if given.side == "wide" else _window(given, MEMBERS if given.side == "four" else 1)
    return found | {"peak_mib": peak_memory_mib()}


def _window(given: argparse.Namespace, count: int) -> dict[str, float]:
    """Draw samples of one window, and correct them: what the task of a window and its blocks compute."""
    import numpy as np

    from benchmarks.harness import scenes
    from xr_sr import kernels
    from xr_sr.pipeline.draws import samples_of
    from xr_sr.pipeline.planning import plan
    from xr_sr.pipeline.request import Request
    from xr_sr.spec import Tile

    data = np.load(given.folder / "window.npy")
    request = Request("ldsr-s2", weights=given.folder / "latent.ckpt", device="cpu", offset=0, quantification=1)
    made = plan(scenes.cube(data), request)
    samples = samples_of(made.cube, count=count, kept=count > 1, same_ground=True)
    kernel = kernels.build(replace(made.steps[0].recipe.kernel, samples=samples))
    start = time.perf_counter()
    fine = kernel(data[None], Tile((0, given.window), (0, given.window)))
    fine = fine.reshape(count, len(data), *fine.shape[-2:])
    fine = kernels.back_projected(fine, data[None].repeat(count, axis=0))
    return {"seconds": time.perf_counter() - start, "mean": float(fine.mean())}


def _wide(given: argparse.Namespace) -> dict[str, float]:
    """Upscale a scene that begins where the overlap of two windows ends, so that few windows touch it."""
    import dask
    import numpy as np
    from odc.geo.geobox import GeoBox

    import xr_sr  # noqa: F401  # registers .sr
    from benchmarks.harness import scenes
    from xr_sr.catalog import registry
    from xr_sr.cube.grid import place_of
    from xr_sr.cube.select import recognize
    from xr_sr.tiling.lattice import Lattice

    spec = registry.get("ldsr-s2")
    height, width = (side * given.window // WINDOW for side in WIDE)
    cube = scenes.cube(np.ascontiguousarray(scenes.reflectance(width)[:, :height]))
    row, column = place_of(recognize(cube).grid)
    step = spec.window - spec.overlap
    down, right = (spec.overlap - first % step for first in (row, column))
    moved: GeoBox = cube.odc.geobox.translate_pix(right, down)
    cube = cube.assign_coords({name: coord.values for name, coord in moved.coordinates.items()})
    lattice = Lattice(spec.window, spec.overlap, row + down, column + right)
    start = time.perf_counter()
    with dask.config.set(scheduler="threads", num_workers=1):
        options = {"weights": str(given.folder / "latent.ckpt"), "device": "cpu", "offset": 0, "quantification": 1}
        mean = float(cube.sr.upscale("ldsr-s2", **options).compute().mean())
    windows = lattice.touching((0, height), (0, width))
    return {"seconds": time.perf_counter() - start, "mean": mean, "windows": float(len(windows))}


def _parts(given: argparse.Namespace) -> dict[str, float]:
    """Time each part of both networks on one window."""
    import numpy as np
    import torch

    from xr_sr.catalog import registry
    from xr_sr.networks import from_state_dict

    spec = registry.get("ldsr-s2")
    step = WINDOW - spec.overlap
    found = {"windows": float(math.ceil((TILE - spec.overlap) / step) ** 2)}

    def load(name: str) -> Any:
        network, _ = from_state_dict(torch.load(given.folder / name, weights_only=True)["state_dict"])
        return network.requires_grad_(False)

    def timed(key: str, call: Any, times: int = 1) -> Any:
        start = time.perf_counter()
        for _ in range(times):
            made = call()
        found[key] = (time.perf_counter() - start) / times
        return made

    with torch.inference_mode():
        seen = torch.from_numpy(np.load(given.folder / "window.npy"))[None]
        wide = torch.nn.functional.interpolate(seen, scale_factor=SCALE, mode="bilinear")
        network, at = load("latent.ckpt"), torch.zeros(1)
        mean, _ = timed("encode", lambda: network.posterior(wide))
        timed("latent step", lambda: network(mean, mean, at), times=2)
        timed("decode", lambda: network.image_of(mean))
        network = load("pixel.ckpt")
        condition, _ = network.posterior(wide)
        timed("pixel step", lambda: network(condition, condition, at))
    return found


if __name__ == "__main__":
    sys.exit(main())
