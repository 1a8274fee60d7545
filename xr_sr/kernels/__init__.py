"""The one bridge to torch: `build` gives a kernel, a function from a block with context to a finer block.

Nothing here is imported with torch until a kernel is built, which happens inside a task, once per process.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import is_one_of, shown
from ..errors import OptionError
from ..runtime.device import resolve_device
from ..spec import LowPass, ModelSpec, RadialSigmoid, Tile
from .protocol import Guidance, guidance_halo

if TYPE_CHECKING:
    from .predictors import NetworkPredictor
    from .protocol import FloatArray, Kernel

__all__ = [
    "Guidance",
    "KernelRef",
    "build",
    "constrain_blend",
    "constraint_for",
    "constraint_reach",
    "guidance_halo",
    "halo_for",
    "sharpen",
]

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class KernelRef:
    """All that makes a kernel, small enough to travel in a graph: the weights themselves stay in their file.

    weights: where the client found them; a process that does not see this path looks in its own folders, so the path
        is no part of what the kernel is.
    device: "auto", "cpu", "cuda", "cuda:1"; "auto" is resolved where the kernel runs.
    parts: of a model made of several, these by their part in it; bands: those that it is to give.
    """

    spec: ModelSpec
    weights: str = field(default="", compare=False)
    sha256: str = ""
    device: str = "auto"
    precision: str = "float32"
    low_pass: LowPass | RadialSigmoid | None = None
    parts: tuple[tuple[str, KernelRef], ...] = ()
    bands: tuple[str, ...] = ()

    @property
    def constraints(self) -> str:
        """What constraints there are, for people: "" without any."""
        if not self.parts:
            said = ["inside the network, on the input's grid"] if self.spec.constrained else []
            said += [f"low-pass, {self.low_pass}"] if self.low_pass is not None else []
            return " and ".join(said)
        return "; ".join(f"{role}: {ref.constraints}" for role, ref in self.parts if ref.constraints)


def sharpen(fine: FloatArray, coarse: FloatArray, at: tuple[int, int], tile: Tile, guidance: Guidance) -> FloatArray:
    """Bring coarser bands to the grid of finer ones; see `guided.sharpen`."""
    from . import guided

    return guided.sharpen(fine, coarse, at, tile, guidance)


def constraint_for(spec: ModelSpec, constraint: str) -> LowPass | RadialSigmoid | None:
    """Get the low-pass that `constraint` means for a model: "auto" its own, "lowpass" one for any model, "none" none.

    The one for any model is the Gaussian of SEN2SR's RGBN model, on the grid of this scale.
    Raises OptionError for another word, and for "none" where the network holds its constraint inside.
    """
    if not is_one_of(constraint, ("auto", "lowpass", "none")):
        raise OptionError(f"constraint={shown(constraint)}: wanted 'auto', 'lowpass' or 'none'.")
    if constraint == "auto":
        return spec.low_pass
    if constraint == "none":
        if spec.constrained:
            raise OptionError(
                f"constraint='none': {spec.name!r} holds its constraint inside its network, and was trained with it; "
                "it cannot be taken off. Leave constraint= out."
            )
        return None
    sigma = 512 / (2 * math.pi * 35) / 4 * spec.scale
    return spec.low_pass or LowPass(sigma, math.ceil(2.5 * spec.scale))


def halo_for(spec: ModelSpec, low_pass: LowPass | RadialSigmoid | None) -> int:
    """Return the input pixels of context that a model with this constraint depends on, an even number."""
    halo = 0 if spec.window else spec.halo
    if low_pass is not None:
        if low_pass != spec.low_pass and not spec.window:
            halo += math.ceil(low_pass.radius / spec.scale)
        halo = max(halo, constraint_reach(low_pass, spec.scale))
    return halo + halo % 2


def constraint_reach(low_pass: LowPass | RadialSigmoid, scale: int) -> int:
    """Return the input pixels on each side that the constraint reads: its Gaussian's, and those of bicubic below."""
    if scale == 1:  # bicubic changes nothing there
        return low_pass.radius
    if isinstance(low_pass, RadialSigmoid):  # the bicubic image is made in whole input pixels
        return -(-low_pass.radius // scale) + 2
    pixel, phase = divmod(-low_pass.radius, scale)
    return (2 if 2 * phase + 1 < scale else 1) - pixel


def build(ref: KernelRef) -> Kernel:
    """Return the kernel, made once per process and device, however many threads ask for it.

    Raises WeightsError if this process cannot find or read the weights.
    """
    key = (ref, resolve_device(ref.device))
    with _lock:
        if key not in _kernels:
            _kernels[key] = _make(*key)
        return _kernels[key]


def constrain_blend(ref: KernelRef, fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Put the constraint on what windows were blended to: (n, band, height * scale, width * scale).

    fine: (n, band, ...), with `ref.low_pass.radius` output pixels of context on each side. coarse: what it was made
    of, the same bands, with `constraint_reach` input pixels or more. Reflectance without NaN. Computed where `fine` is.
    """
    from .window import constrain_block

    assert ref.low_pass is not None
    return constrain_block(ref.low_pass, ref.spec.scale, fine, coarse)


_lock = threading.Lock()
_kernels: dict[tuple[KernelRef, str], Kernel] = {}


def _make(ref: KernelRef, device: str) -> Kernel:
    from .constrain import constraint_of
    from .fusion import FusionKernel, Part
    from .predictors import Interpolator
    from .window import WindowKernel

    spec = ref.spec
    if ref.parts:
        parts = {
            # On the output's grid the last part works already; what it gives is held to bands of the input's.
            role: Part(_predictor(part, device), constraint_of(part.low_pass, scale) if part.low_pass else None)
            for role, part in ref.parts
            for scale in [spec.scale if role == "x4" else part.spec.scale]
        }
        return FusionKernel(spec, parts, ref.bands, halo=halo_for(spec, None), device=device)
    predictor = _predictor(ref, device) if spec.architecture else Interpolator(spec.name, spec.scale)
    return WindowKernel(
        predictor,
        # The constraint is put on what the windows of a windowed model are blended to: see `constrain_blend`.
        constraint_of(ref.low_pass, spec.scale) if ref.low_pass and not spec.window else None,
        scale=spec.scale,
        halo=halo_for(spec, ref.low_pass),
        whole=spec.window > 0,
        bands_out=len(spec.bands_out) or None,
        sources=_sources(spec),
        device=device,
    )


def _predictor(ref: KernelRef, device: str) -> NetworkPredictor:
    """Load a network, from where the client found its weights, or from where this process finds them."""
    from .predictors import NetworkPredictor, load_network

    path = Path(ref.weights) if ref.sha256 else None
    if path is not None and not path.is_file():
        from ..catalog import fetch

        sent = fetch.sent_file(ref.sha256, path.suffix)
        path = sent if sent.is_file() else fetch.locate(ref.spec, download=False).path
    network = load_network(ref.spec, path, ref.sha256)
    return NetworkPredictor(ref.spec, network, device=device, precision=ref.precision)


def _sources(spec: ModelSpec) -> list[int] | None:
    """Return the place of each band out among the bands in, if they are not the same."""
    if spec.bands_out in ((), spec.bands):
        return None
    return [spec.bands.index(band) for band in spec.bands_out]
