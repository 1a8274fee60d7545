"""Where work runs: device, threads, batches and what to do when a GPU's memory is full.

torch is looked at inside functions only, so that a client that merely builds graphs never loads it.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from ..errors import OptionError

Item = TypeVar("Item")
P = ParamSpec("P")
R = TypeVar("R")


def check_device(device: str) -> None:
    """Check the spelling of a device; the process that runs the task checks whether it exists.

    Raises OptionError.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(device)):
        raise OptionError(f"device={device!r}: expected 'auto', 'cpu', 'cuda' or 'cuda:N'.")


def resolve_device(device: str) -> str:
    """Return the device that "auto" means: "cuda" where this process sees a GPU, else "cpu".

    Raises OptionError for a device that is none, or that this process does not have.
    """
    import torch

    check_device(device)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise OptionError(f"device={device!r}: this process sees no GPU. Use device='auto' or 'cpu'.")
    return device


_settled = threading.local()


def settle_threads() -> None:
    """Share the processors between the threads of dask's pool: at a thread's first task, and never in the main thread.

    Torch would otherwise start as many threads as there are processors from each of dask's threads, or (in a worker,
    where OMP_NUM_THREADS is 1) one in all.
    """
    if getattr(_settled, "done", False) or threading.current_thread() is threading.main_thread():
        return
    import torch

    torch.set_num_threads(torch_threads())
    _settled.done = True


_asked: list[int] = []


def ask_threads(number: int | None) -> None:
    """Fix the threads of torch per task in this process, for executor threads that have not run one yet."""
    _asked[:] = [] if number is None else [number]


def torch_threads() -> int:
    """Return the threads of a task: the requested number, else the processors divided by the concurrent tasks."""
    return _asked[0] if _asked else max(1, _processors() // _tasks_at_once())


def _processors() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def _tasks_at_once() -> int:
    """Count the tasks that may run at once on this machine, as far as this process can know."""
    try:
        from distributed import get_worker

        return int(get_worker().state.nthreads) * _sibling_workers()
    except (ImportError, ValueError, AttributeError):
        import dask

        pool = dask.config.get("pool", None)
        known = getattr(pool, "_max_workers", None) or dask.config.get("num_workers", None)
        return int(known or _processors())


def _sibling_workers() -> int:
    """Count the worker processes that one LocalCluster or `dask worker --nworkers` has started, this one included.

    They are the spawned children of one parent; without this, n of them would start n times n threads.
    """
    import psutil

    try:
        family = psutil.Process().parent()
        spawned = ["spawn_main" in " ".join(child.cmdline()) for child in family.children()] if family else []
    except psutil.Error:
        return 1
    return max(1, sum(spawned))


def in_batches(run: Callable[[list[Item]], None], items: Sequence[Item], *, size: int) -> None:
    """Run over all items, `size` at a time, and half as many whenever a GPU's memory does not suffice.

    run: does its work for a list of items, or raises torch.cuda.OutOfMemoryError having done nothing that cannot be
    done again. A single item that does not fit raises MemoryError, which says what to do.
    """
    import torch

    start = 0
    while start < len(items):
        batch = list(items[start : start + size])
        try:
            run(batch)
        except torch.cuda.OutOfMemoryError as error:
            if len(batch) == 1:
                raise MemoryError(
                    "one window does not fit into the GPU's memory. Free it, use smaller chunks=, or device='cpu'."
                ) from error
            size = max(1, len(batch) // 2)
            error.__traceback__ = None  # it holds the tensors that should be freed
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        start += len(batch)


def keep_float32_exact(device: str, precision: str) -> None:
    """Compute convolutions of a GPU in full float32 where that is asked for.

    TF32, cuDNN's default for float32, keeps 10 bits of the mantissa: 1e-3 instead of 1e-5. The switch is global;
    turning it back after each task would race with the next thread.
    """
    if precision == "float32" and device.startswith("cuda"):
        import torch

        torch.backends.cudnn.allow_tf32 = False


_compiling: list[bool] = []


def ask_compiling(on: bool) -> None:
    """Compile networks that draw in this process, from the next one that is built on."""
    _compiling[:] = [on]


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function of tensors compiled by torch, if that was asked for here or by XR_SR_COMPILE=1.

    The first call of each shape takes up to minutes; values are equal but for rounding.
    """
    asked = _compiling[0] if _compiling else os.environ.get("XR_SR_COMPILE", "") == "1"
    if not asked:
        return function
    import torch

    made: Callable[P, R] = torch.compile(function, dynamic=False)
    return made


def keep_freed_memory() -> bool:
    """Ask the C library to keep freed buffers for the next task; opt-in, Linux with glibc only.

    Saves page faults (a tenth of the time here) and costs up to a working set per process. Returns whether it was done.
    """
    import ctypes

    if os.name != "posix":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    settings = ((mmap_threshold, 1 << 30), (trim_threshold, 1 << 30), (top_pad, 64 << 20))
    return all(mallopt(key, value) == 1 for key, value in settings)
