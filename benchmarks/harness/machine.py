"""Describe this machine: hardware, load, and the speed of its convolutions, the reference for every time.

Uses the standard library; torch comes in only in the process that convolves.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("torch", "xarray", "dask", "zarr", "numpy", "odc-geo", "rioxarray")
"""Whose versions a result names."""

LAYERS = ((24, 48), (48, 48))
"""Channels in and out of the convolutions that are timed: the widths of the network."""

SIDES = (64, 128, 176, 256)
"""Sides in pixels of what they are timed on; the largest leave the cache."""


def cores() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> list[str]:
    """Return one line each about processor, memory, system and libraries."""
    lines = [f"{_processor()}{_width()}; {cores()} cores; {_total_memory()} of memory"]
    system = f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}"
    lines.append(f"{system}, Python {platform.python_version()}")
    lines.append(", ".join(f"{name} {_version(name)}" for name in LIBRARIES))
    return lines


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _width() -> str:
    """Name the widest instructions that convolutions can use, for half precision too."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f" ({', '.join(known)})" if known else ""


def _total_memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError):
        return "unknown amount"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def load_average() -> float | None:
    """Return the load average of the last minute; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def busy_seconds() -> float | None:
    """Return the seconds that all processors were not idle since the start, steal included; None without /proc."""
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    ticks = [int(field) for field in stat.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def busy_share(seconds: float = 3.0) -> float | None:
    """Watch for a few seconds which share of all processors is busy, 0 to 1."""
    before = busy_seconds()
    if before is None:
        return None
    start = time.perf_counter()
    time.sleep(seconds)
    after = busy_seconds()
    assert after is not None
    return (after - before) / ((time.perf_counter() - start) * (os.cpu_count() or 1))


def peak_memory_mib() -> float:
    """Return the largest resident size of this process so far, in MiB.

    Not getrusage's: that one is inherited, so a child of a large parent starts with the parent's.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def forget_peak_memory() -> None:
    """Let the peak of this process begin anew at its present size; on Linux only, elsewhere it stays."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def touch_memory(gib: float = 2.0) -> None:
    """Let another process allocate and release that much memory, just before a run is timed.

    A virtual machine that returns free memory to its host gets it back at the first touch, at seconds per GiB
    (`first_touch`): without this, whoever comes first pays that, and a run measures the host in place of the work.
    """
    code = f"import numpy; numpy.empty(int({gib} * 2**30), 'u1').fill(1)"
    subprocess.run([sys.executable, "-c", code], check=True)


def first_touch(mib: int = 512) -> dict[str, float]:
    """Time in s per GiB how long NumPy waits for memory that the machine may first have to get, and for it again."""
    import numpy as np

    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        np.empty(mib * 2**20, "u1").fill(1)
        seconds.append((time.perf_counter() - start) * 1024 / mib)
    return {"first": round(seconds[0], 2), "again": round(seconds[1], 2)}


def convolve(threads: int, seconds: float = 0.12) -> dict[str, float]:
    """Time 3x3 float32 convolutions in channels-last layout with torch, in this process: GFLOP/s by "in->out @ side".

    Each is the best of three spells of `seconds`: what the machine can do, not what it does on average.
    """
    import torch
    from torch.nn.functional import conv2d

    torch.set_num_threads(threads)
    rates = {}
    with torch.inference_mode():
        for channels_in, channels_out in LAYERS:
            weight = torch.randn(channels_out, channels_in, 3, 3).to(memory_format=torch.channels_last)
            bias = torch.randn(channels_out)
            for side in SIDES:
                image = torch.randn(1, channels_in, side, side).to(memory_format=torch.channels_last)
                flop = 2 * 9 * channels_in * channels_out * (side - 2) ** 2
                best = 0.0
                for spell in range(4):
                    count, start = 0, time.perf_counter()
                    while (spent := time.perf_counter() - start) < seconds:
                        conv2d(image, weight, bias)
                        count += 1
                    if spell:
                        best = max(best, count * flop / spent / 1e9)
                rates[f"{channels_in}->{channels_out} @ {side}"] = round(best, 1)
    return rates
