"""The only access to torch: `build` returns a kernel, a function from a block with context to a finer block.

torch is not imported until a kernel is built, which happens inside a task, once per process.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..arguments import check_choice
from ..catalog.generative import Diffusion
from ..catalog.models import Cascade, Interpolation, Kriging, Model, Network
from ..errors import OptionError
from ..runtime.device import resolve_device
from ..spec import LowPass, RadialSigmoid, Tile
from .protocol import (
    SERIES_REACH,
    UPDATE_RADIUS,
    BandSensor,
    DiffusionSamples,
    Draws,
    Guidance,
    LeadKeys,
    SeriesDate,
    SeriesResult,
    Spread,
    guidance_halo,
    measured_reach,
    simulation_halo,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from .kriging_filters import Observation
    from .predictors import NetworkPredictor
    from .protocol import FloatArray, Kernel, SeriesKernel

__all__ = [
    "Guidance",
    "KernelRef",
    "BandSensor",
    "DiffusionSamples",
    "Draws",
    "LeadKeys",
    "SERIES_REACH",
    "SeriesDate",
    "SeriesResult",
    "Spread",
    "UPDATE_RADIUS",
    "agree",
    "back_projected",
    "build",
    "build_series",
    "constrain_blend",
    "constraint_for",
    "constraint_reach",
    "guidance_halo",
    "guide_bands",
    "guided_reach",
    "halo_for",
    "join_dates",
    "measured_reach",
    "sharpen",
    "simulation_halo",
]

_CORRECTIONS = {
    "back_projection": "back-projection, block means of the input",
    "histogram": "values of the input's distribution, by date and band",
    "none": "",
}

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class KernelRef:
    """All that defines a kernel, small enough for a graph: weights stay in their file.

    weights: where the client found them; a process without this path searches its own folders, so the path is not part
        of the identity of the kernel.
    device: "auto", "cpu", "cuda", "cuda:1"; "auto" is resolved where the kernel runs.
    parts: of a cascade, by role; bands: those that it returns. sensors: for kriging, how each band was observed.
    spread: what is returned beside the estimates; None is nothing. draws: members of an ensemble that are.
    samples: of diffusion, those that are drawn.
    """

    spec: Model
    weights: str = field(default="", compare=False)
    sha256: str = ""
    device: str = "auto"
    precision: str = "float32"
    low_pass: LowPass | RadialSigmoid | None = None
    parts: tuple[tuple[str, KernelRef], ...] = ()
    bands: tuple[str, ...] = ()
    sensors: tuple[BandSensor, ...] = ()
    spread: Spread | None = None
    draws: Draws | None = None
    samples: DiffusionSamples | None = None

    @property
    def constraints(self) -> str:
        """The constraints as text; "" without any."""
        if not self.parts:
            texts = ["inside the network, on the input's grid"] if self.spec.constrained else []
            texts += [f"low-pass, {self.low_pass}"] if self.low_pass is not None else []
            texts += [_CORRECTIONS[self.spec.correction]] if isinstance(self.spec, Diffusion) else []
            return " and ".join(filter(None, texts))
        return "; ".join(f"{role}: {ref.constraints}" for role, ref in self.parts if ref.constraints)


def sharpen(fine: FloatArray, coarse: FloatArray, at: tuple[int, int], tile: Tile, guidance: Guidance) -> FloatArray:
    """Sharpen coarse bands to the grid of finer ones; see `guided.sharpen`."""
    from . import guided

    return guided.sharpen(fine, coarse, at, tile, guidance)


def agree(
    fine: FloatArray,
    measured: Sequence[FloatArray | None],
    at: Sequence[tuple[int, int]],
    observations: Sequence[Observation | None],
    context: int,
) -> FloatArray:
    """Make bands agree with what their sensor measured; see `measured.agree`."""
    from . import measured as module

    return module.agree(fine, measured, at, observations, context)


def join_dates(
    made_of: tuple[tuple[BandSensor, ...], tuple[SeriesDate, ...], tuple[tuple[float, float, float], ...], str],
    reference: FloatArray,
    others: FloatArray,
    valid: FloatArray,
    spare: int = 0,
) -> SeriesResult:
    """Join dates of the same ground by kriging; see `multiframe.SeriesKriger.join`.

    made_of: how the bands were observed, the other dates, factors of deviations, and the device. reference: (band, y,
    x); others: (date, band, y, x); both without NaN. valid: (date, y, x), boolean. others may be overwritten. spare:
    planes of the result that are left empty.
    """
    from .multiframe import joined

    return joined(*made_of, reference, others, valid, spare)


def guide_bands(
    made_of: tuple[tuple[BandSensor, ...], tuple[BandSensor, ...], tuple[tuple[float, float, float], ...], int, str],
    coarse: FloatArray,
    measured: FloatArray,
    fine: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Upscale coarse bands, with pixels twice as wide, by regression kriging; see `regression_kriging`.

    made_of: sensors of the coarse bands and of their guides, factors of deviations, output pixels per pixel of the
    guides, and the device. Others: as of `RegressionKriger.apply`. Returns estimates and deviations.
    """
    from .multiframe import guided

    return guided(*made_of, coarse, measured, fine)


def guided_reach(sensors: tuple[BandSensor, ...], scale: int) -> tuple[int, int]:
    """Return the input pixels around a block on which `guide_bands` reads upscaled guides, and measured ones."""
    from .multiframe import regression_of

    kriger = regression_of(sensors, (), None, scale)
    return kriger.around, kriger.consumed


def constraint_for(spec: Model, constraint: str) -> LowPass | RadialSigmoid | None:
    """Return the low-pass filter of a constraint: "auto" is the model's own, "lowpass" one for any model, "none" none.

    "measured" is the model's own too: what it adds comes after the kernel (`agree`).
    The one for any model is the Gaussian of SEN2SR's RGBN model, on the grid of this scale.
    Raises OptionError for another word, and for "none" if the network contains its constraint.
    """
    check_choice("constraint", constraint, ("auto", "measured", "lowpass", "none"))
    if constraint in ("auto", "measured"):
        return spec.low_pass
    if constraint == "none":
        if spec.constrained:
            raise OptionError(
                f"constraint='none': the constraint of {spec.name!r} is inside its network, which was trained with it; "
                "it cannot be turned off. Leave constraint= out."
            )
        return None
    sigma = 512 / (2 * math.pi * 35) / 4 * spec.scale
    return spec.low_pass or LowPass(sigma, math.ceil(2.5 * spec.scale))


def halo_for(spec: Model, low_pass: LowPass | RadialSigmoid | None) -> int:
    """Return the input pixels of context that a model with this constraint depends on, an even number."""
    halo = 0 if spec.window else spec.halo
    if low_pass is not None:
        if low_pass != spec.low_pass and not spec.window:
            halo += math.ceil(low_pass.radius / spec.scale)
        halo = max(halo, constraint_reach(low_pass, spec.scale))
    return halo + halo % 2


def constraint_reach(low_pass: LowPass | RadialSigmoid, scale: int) -> int:
    """Return the input pixels that the constraint reads on each side: its filter after bicubic interpolation."""
    if scale == 1:  # bicubic changes nothing there
        return low_pass.radius
    if isinstance(low_pass, RadialSigmoid):  # the bicubic image is made in whole input pixels
        return -(-low_pass.radius // scale) + 2
    pixel, phase = divmod(-low_pass.radius, scale)
    return (2 if 2 * phase + 1 < scale else 1) - pixel


def build(ref: KernelRef) -> Kernel:
    """Return the kernel, built once per process and device, however many threads request it.

    Raises WeightsError if this process cannot find or read the weights.
    """
    key = (ref, resolve_device(ref.device))
    with _lock:
        if key not in _kernels:
            _kernels[key] = _make(*key)
        return _kernels[key]


def build_series(ref: KernelRef) -> SeriesKernel:
    """Return the kernel of a network that reads several dates; as `build`."""
    from .dates import DatesKernel

    assert ref.spec.dates
    return DatesKernel(build(ref), ref.spec.dates)


def constrain_blend(ref: KernelRef, fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Apply the constraint to blended windows: (n, band, height * scale, width * scale).

    fine: (n, band, ...), with `ref.low_pass.radius` output pixels of context on each side. coarse: the input of the
    same bands, with `constraint_reach` input pixels or more. Reflectance without NaN. Computed where `fine` is.
    """
    from .window import constrain_block

    assert ref.low_pass is not None
    return constrain_block(ref.low_pass, ref.spec.scale, fine, coarse)


def back_projected(fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Make the block means of fine images the pixels of coarse ones; see `back_projection.back_project`."""
    from .back_projection import back_project
    from .window import from_tensor, to_tensor

    return from_tensor(back_project(to_tensor(fine), to_tensor(coarse), iterations=1), fine)


_lock = threading.Lock()
_kernels: dict[tuple[KernelRef, str], Kernel] = {}


def _make(ref: KernelRef, device: str) -> Kernel:
    from .constrain import constraint_of
    from .fusion import FusionKernel, Part
    from .predictors import Interpolator
    from .window import WindowKernel

    spec = ref.spec
    if isinstance(spec, Diffusion):
        from .latent import LatentKernel

        assert ref.samples is not None
        path = _weights_of(ref)
        return LatentKernel(spec, path, ref.sha256, ref.samples, device=device, precision=ref.precision)
    if isinstance(spec, Kriging):
        from .kriging import Kriger

        if ref.draws is not None:
            from .simulation import SimulationKernel

            return SimulationKernel(ref.sensors, ref.draws, device)
        kriger = Kriger(ref.sensors, spec.strength, ref.spread)
        constraint = constraint_of(ref.low_pass, kriger.scale) if ref.low_pass else None
        planes, halo = kriger.planes * len(ref.sensors), halo_for(spec, ref.low_pass)
        return WindowKernel(kriger, constraint, scale=kriger.scale, halo=halo, bands_out=planes, device=device)
    if isinstance(spec, Cascade):
        parts = {
            # The last part works on the output's grid already; its output is constrained by bands of the input's.
            role: Part(_predictor(part, device), constraint_of(part.low_pass, scale) if part.low_pass else None)
            for role, part in ref.parts
            for scale in [spec.scale if role == "x4" else part.spec.scale]
        }
        return FusionKernel(spec, parts, ref.bands, halo=halo_for(spec, None), device=device)
    if ref.draws is not None and isinstance(spec, Network):
        from .flow import FlowKernel
        from .flow_network import FlowNetwork

        network = _loaded(ref)
        assert isinstance(network, FlowNetwork)
        return FlowKernel(network, ref.draws, device, ref.precision)
    assert isinstance(spec, Interpolation | Network), f"{spec.name!r} is computed by `sharpen`"
    predictor = Interpolator(spec.method, spec.scale) if isinstance(spec, Interpolation) else _predictor(ref, device)
    return WindowKernel(
        predictor,
        # Windows are constrained after they are blended: see `constrain_blend`.
        constraint_of(ref.low_pass, spec.scale) if ref.low_pass and not spec.window else None,
        scale=spec.scale,
        halo=halo_for(spec, ref.low_pass),
        whole=spec.window > 0,
        step=spec.step if isinstance(spec, Network) else 1,
        # Those of a network of several dates are fewer than the planes that it reads.
        bands_out=(ref.spread.planes if ref.spread else 1) * len(spec.bands_out or spec.bands * bool(spec.dates))
        or None,
        sources=_sources(spec),
        device=device,
    )


def _predictor(ref: KernelRef, device: str) -> NetworkPredictor:
    from .predictors import NetworkPredictor

    assert isinstance(ref.spec, Network)
    return NetworkPredictor(ref.spec, _loaded(ref), device=device, precision=ref.precision, spread=ref.spread)


def _loaded(ref: KernelRef) -> nn.Module:
    """Load a network."""
    from .predictors import load_network

    assert isinstance(ref.spec, Network)
    return load_network(ref.spec, _weights_of(ref) if ref.sha256 else None, ref.sha256)


def _weights_of(ref: KernelRef) -> Path:
    """Return the file of weights, where the client found it, or where this process finds it."""
    path = Path(ref.weights)
    if path.is_file():
        return path
    from ..catalog import fetch

    sent = fetch.sent_file(ref.sha256, path.suffix)
    return sent if sent.is_file() else fetch.locate(ref.spec, download=False).path


def _sources(spec: Model) -> list[int] | None:
    """Return the index of each output band among the input bands, if they are not the same."""
    if spec.bands_out in ((), spec.bands):
        return None
    return [spec.bands.index(band) for band in spec.bands_out]
