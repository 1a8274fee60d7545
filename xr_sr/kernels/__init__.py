"""The one bridge to torch: `build` gives a kernel, a function from a block with context to a finer block.

Nothing here is imported with torch until a kernel is built, which happens inside a task, once per process.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine import resolve_device
from ..errors import OptionError
from ..spec import LowPass, ModelSpec

if TYPE_CHECKING:
    from .protocol import Kernel

__all__ = ["KernelRef", "build", "constraint_for", "halo_for"]

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class KernelRef:
    """All that makes a kernel, small enough to travel in a graph: the weights themselves stay in their file.

    weights: where the client found them; a process that does not see this path looks in its own folders, so the path
        is no part of what the kernel is.
    device: "auto", "cpu", "cuda", "cuda:1"; "auto" is resolved where the kernel runs.
    """

    spec: ModelSpec
    weights: str = field(default="", compare=False)
    sha256: str = ""
    device: str = "auto"
    precision: str = "float32"
    low_pass: LowPass | None = None


def constraint_for(spec: ModelSpec, constraint: str) -> LowPass | None:
    """Give the low-pass that `constraint` means for a model: "auto" its own, "lowpass" one for any model, "none" none.

    The one for any model is the Gaussian of SEN2SR's RGBN model, on the grid of this scale.
    """
    if constraint == "auto":
        return spec.low_pass
    if constraint == "none":
        return None
    if constraint == "lowpass":
        sigma = 512 / (2 * math.pi * 35) / 4 * spec.scale
        return spec.low_pass or LowPass(sigma, math.ceil(2.5 * spec.scale))
    raise OptionError(f"constraint={constraint!r}: wanted 'auto', 'lowpass' or 'none'.")


def halo_for(spec: ModelSpec, low_pass: LowPass | None) -> int:
    """Give the input pixels of context that a model with this constraint depends on, an even number."""
    halo = spec.halo
    if low_pass is not None and low_pass != spec.low_pass:
        halo += math.ceil(low_pass.radius / spec.scale)
    return halo + halo % 2


def build(ref: KernelRef) -> Kernel:
    """Give the kernel, made once per process and device, however many threads ask for it.

    Raises WeightsError if this process cannot find or read the weights.
    """
    key = (ref, resolve_device(ref.device))
    with _lock:
        if key not in _kernels:
            _kernels[key] = _make(*key)
        return _kernels[key]


_lock = threading.Lock()
_kernels: dict[tuple[KernelRef, str], Kernel] = {}


def _make(ref: KernelRef, device: str) -> Kernel:
    from .constrain import LowPassConstraint
    from .interpolate import Interpolator
    from .network import NetworkPredictor, load_network
    from .protocol import Predictor
    from .window import WindowKernel

    spec = ref.spec
    predictor: Predictor
    if spec.architecture:
        path = Path(ref.weights)
        if not path.is_file():
            from ..weights import fetch, folders

            sent = folders.sent_file(ref.sha256, path.suffix)
            path = sent if sent.is_file() else fetch.locate(spec, download=False).path
        predictor = NetworkPredictor(spec, load_network(spec, path, ref.sha256), device=device, precision=ref.precision)
    else:
        predictor = Interpolator(spec.name, spec.scale)
    return WindowKernel(
        predictor,
        LowPassConstraint(ref.low_pass, spec.scale) if ref.low_pass else None,
        scale=spec.scale,
        halo=halo_for(spec, ref.low_pass),
        bands_out=len(spec.bands_out) or None,
        device=device,
    )
