"""Predict fine pixels before any constraint: by interpolation, or by a network whose weights are loaded and folded.

Interpolation is the baseline of every comparison. Pixel centers keep their places (`align_corners=False`); bicubic is
Keys' a = -0.5, as in torch and Pillow with antialiasing, and as SEN2SR's constraint uses it. A network is any torch
module (n, band, y, x) to (n, band_out, y * scale, x * scale). If it has `folded()`, the folded module is used, which
also clamps at zero where asked. `consumed` are input pixels that it loses on each side because it does not pad.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from ..catalog.models import Network
from ..catalog.states import read_tensors
from ..errors import ModelError, WeightsFormatError, WeightsHashError
from ..networks import separable
from ..networks.detect import load_strict, unwrapped
from ..runtime.device import keep_float32_exact
from .dates import DatesAsChannels
from .protocol import Spread
from .strata import by_stratum, strata_of

OPERATORS = {"nearest": separable.nearest, "bilinear": separable.bilinear, "bicubic": separable.bicubic}


class Interpolator:
    """Each band by itself, by one separable operator."""

    side_cpu = 0

    def __init__(self, method: str, scale: int) -> None:
        self.operator = OPERATORS[method](scale)
        self.scale = scale
        self.reach = self.operator.margin

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """See `protocol.Predictor`."""
        extra = -(-margin // self.scale)
        n, bands, height, width = window.shape
        rows, columns = height - 2 * self.reach, width - 2 * self.reach
        tall = window.new_empty(n * bands, rows * self.scale, width)
        planes = window.reshape(n * bands, height, width)
        for plane, out in zip(planes, tall, strict=True):
            self.operator.along_y(plane, self.reach, rows, out)
        fine = window.new_empty(n * bands * rows * self.scale, columns * self.scale)
        self.operator.along_x(tall.view(-1, width), self.reach, columns, fine)
        fine = fine.view(n, bands, rows * self.scale, columns * self.scale)
        cut = extra * self.scale - margin
        return fine[..., cut : fine.shape[-2] - cut, cut : fine.shape[-1] - cut]


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class NetworkPredictor:
    """A network on normalized reflectance in channels-last layout, at the requested precision.

    A network may have `side_cpu`, as of `protocol.Predictor`, and `write(window, out)` for what `forward` returns.
    spread: what is returned beside the estimates.
    """

    def __init__(
        self, spec: Network, network: nn.Module, *, device: str, precision: str, spread: Spread | None = None
    ) -> None:
        self.spec, self.spread = spec, spread
        self.dtype = DTYPES[precision]
        keep_float32_exact(device, precision)
        self.network = network.eval().to(device=device, dtype=self.dtype)
        for value in (*self.network.parameters(), *self.network.buffers()):
            if value.ndim == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        self.consumed = int(getattr(network, "consumed", 0))
        self.side_cpu = int(getattr(network, "side_cpu", 0))
        self.reach = reach_of(spec, network)
        self.clamps = spec.non_negative and not getattr(network, "clamps_itself", False)
        norm, gives = spec.normalization, spec.bands_out or spec.bands
        reads = spec.bands * max(1, spec.dates)  # date by date
        self.normalizes = norm.shift != 0.0 or norm.scale != 1.0
        self.shift, self.scale = (_of_bands(value, spec.bands, reads, device) for value in (norm.shift, norm.scale))
        self.shift_out, self.scale_out = (
            _of_bands(value, spec.bands, gives, device) for value in (norm.shift, norm.scale)
        )

    def predict(self, window: Tensor, margin: int) -> Tensor:
        """See `protocol.Predictor`."""
        if self.normalizes:
            window = (window - self.shift) / self.scale
        seen = window if getattr(self.network, "takes_float32", False) else window.to(self.dtype)
        if self.spread is not None and self._writes_judged is not None:
            fine = window.new_empty(len(window), *self._shape_judged(window, self.spread))
            self._writes_judged(seen, fine, self.spread)
        else:
            run = self.network if self.spread is None else self.network.with_scale
            fine = run(seen.contiguous(memory_format=torch.channels_last)).float()  # type: ignore[operator]
            if self.spread is not None:
                fine = self._judged(fine, window, self.spread)
        extra = -(-margin // self.spec.scale)
        cut = (self.reach - self.consumed + extra) * self.spec.scale - margin
        fine = fine[..., cut : fine.shape[-2] - cut, cut : fine.shape[-1] - cut]
        if self.normalizes:
            fine = fine * self.scale_out + self.shift_out
        # Folded networks clamp inside their last convolution; for others this is a cheap pass.
        return fine.clamp_(min=0) if self.clamps else fine

    def predict_into(self, window: Tensor, out: Tensor) -> None:
        """See `protocol.PredictorInto`."""
        write: Callable[[Tensor, Tensor], None] | None = getattr(self.network, "write", None)
        as_is = not self.normalizes and not self.clamps and self.reach == self.consumed
        if as_is and self.spread is None and write is not None:
            write(window, out)
        elif as_is and self.spread is not None and self._writes_judged is not None:
            self._writes_judged(window, out, self.spread)
        else:
            out.copy_(self.predict(window, 0))

    @property
    def _writes_judged(self) -> Callable[[Tensor, Tensor, Spread], None] | None:
        """The method of our networks that writes the planes of a spread, with factors and strata."""
        return getattr(self.network, "write_judged", None)

    def _shape_judged(self, window: Tensor, spread: Spread) -> tuple[int, int, int]:
        rows, columns = ((side - 2 * self.consumed) * self.spec.scale for side in window.shape[-2:])
        return spread.planes * len(self.spec.bands_out or self.spec.bands), rows, columns

    def _judged(self, fine: Tensor, window: Tensor, spread: Spread) -> Tensor:
        """Multiply error scales, the second half of the planes, by the factors of their strata, or add these."""
        scale, count, cut = self.spec.scale, fine.shape[1] // 2, self.consumed * self.spec.scale
        gives = self.spec.bands_out or self.spec.bands

        def on_fine(band: int, values: Sequence[float]) -> Tensor:
            ratio = 2 if gives[band] in self.spec.coarse else 1  # repeated pixels count once
            own = window[:, [self.spec.bands.index(gives[band])], ::ratio, ::ratio]
            near = torch.nn.functional.pad(own, (1, 1, 1, 1), mode="replicate")
            numbers = by_stratum(values, strata_of(*separable.local_moments(near, 1)))[:, 0]
            wide = numbers.repeat_interleave(ratio * scale, -2).repeat_interleave(ratio * scale, -1)
            return wide[:, cut : cut + fine.shape[-2], cut : cut + fine.shape[-1]]

        if spread.factors:
            for band, factors in enumerate(spread.factors):
                fine[:, count + band] *= on_fine(band, factors)
            return fine
        return torch.cat([fine, torch.stack([on_fine(band, (0, 1, 2)) for band in range(count)], 1)], 1)


def reach_of(spec: Network, network: nn.Module) -> int:
    """Return the input pixels of context that a network gets on each side; 0 for one that works on windows.

    An attribute of the network has priority; else it is the halo of the record without that of the constraint.
    """
    if spec.window:
        return 0
    constraint = math.ceil(spec.low_pass.radius / spec.scale) if spec.low_pass else 0
    reach = getattr(network, "consumed", getattr(network, "receptive_radius", spec.halo - constraint))
    return max(0, int(reach))


def _of_bands(
    value: float | tuple[float, ...], reads: Sequence[str], bands: Sequence[str], device: str
) -> float | Tensor:
    """Return one number for all bands, or (1, band, 1, 1) float32 with those of the given bands."""
    if not isinstance(value, tuple):
        return value
    return torch.tensor([value[reads.index(band)] for band in bands], device=device).view(1, -1, 1, 1)


_OLD_NAME = re.compile(r"^xr_sr\.models\.")
"""Former place of the architectures, which records of users may still name."""


def load_network(spec: Network, path: Path | None, sha256: str) -> nn.Module:
    """Build the architecture and load its weights, with no key missing or left over; folded if it can be.

    path: None for a network without tensors. A network of several dates reads (n, date * band, y, x) then.
    Raises ModelError if there is no such architecture, or it needs other arguments, or a file of weights;
    WeightsHashError if the file has changed, WeightsFormatError if it holds something else.
    """
    module, _, attribute = spec.architecture.partition(":")
    module = _OLD_NAME.sub("xr_sr.networks.", module)
    try:
        architecture = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{spec.name!r} names the architecture {spec.architecture!r}, which cannot be imported: {error}. "
            "Expected 'module:attribute', of a module that this process can import; workers of a cluster get a file "
            "by client.upload_file(...)."
        ) from error
    try:
        network: nn.Module = architecture(**dict(spec.config))
    except TypeError as error:
        raise ModelError(
            f"{spec.name!r}: {spec.architecture} cannot be built with config={dict(spec.config)}: {error}."
        ) from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{spec.name!r}: {spec.architecture} returns a {type(network).__name__}, not a torch module.")
    if path is None and (wanted := network.state_dict()):
        raise ModelError(
            f"{spec.name!r} has {len(wanted)} tensors of weights, such as {next(iter(wanted))!r}, and no file: "
            "every process would draw its own. Save them with safetensors.torch.save_file, and pass weights=."
        )
    state = {} if path is None else read_state(path, sha256)
    load_strict(
        network,
        state,
        f"{path} does not hold {spec.name!r}",
        "Pass the weights of this model, or register a model for them.",
    )
    if broken := [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise WeightsFormatError(f"{path} has values that are not finite, in {broken[0]!r}: fetch it again.")
    network = _folded(spec, network.eval())
    return DatesAsChannels(network, spec.dates).eval() if spec.dates else network


def _folded(spec: Network, network: nn.Module) -> nn.Module:
    """Return the faster form of a network, if it has one."""
    fold: Callable[..., nn.Module] | None = getattr(network, "folded", None)
    if fold is None:
        return network
    try:
        with torch.no_grad():
            folded = fold(non_negative=spec.non_negative, **_selection(spec))
    except TypeError as error:
        raise ModelError(
            f"{spec.name!r}: `folded` of {spec.architecture} cannot be called with non_negative={spec.non_negative} "
            f"({error}). Expected a method folded(*, non_negative) that returns a faster torch module, or none."
        ) from error
    if not isinstance(folded, nn.Module):
        raise ModelError(f"{spec.name!r}: `folded` of {spec.architecture} returns {folded!r:.60}, not a torch module.")
    folded.clamps_itself = True  # type: ignore[assignment]  # modules take any attribute
    return folded.eval()


def _selection(spec: Network) -> dict[str, list[int]]:
    """Return the indices of the output bands of a network that can leave out others."""
    return {"gives": [spec.bands.index(band) for band in spec.bands_out or spec.bands]} if spec.selects else {}


def hashed_bytes(path: Path, sha256: str) -> bytes:
    """Return the bytes of a file. Raises WeightsHashError if they have another hash; "" is any."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if sha256 and found != sha256:
        raise WeightsHashError(
            f"{path} should have sha256 {sha256}, and has {found}. It changed or is damaged: fetch it again."
        )
    return data


def read_state(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read a state dict without executing anything in the file: safetensors, or torch's weights-only unpickler.

    The hash is computed from the bytes that are read. Wrappers `state_dict`, `params_ema` and `params` are opened.
    """
    try:
        state = read_tensors(hashed_bytes(path, sha256), path.suffix)
    except ValueError as error:
        # Not `from error`: torch's message recommends loading the file unsafely.
        raise WeightsFormatError(
            f"{path} cannot be read as weights: {error}. Fetch it again, or save its tensors alone: "
            "torch.save(model.state_dict(), file)."
        ) from None
    try:
        return unwrapped(state)
    except WeightsFormatError as error:
        raise WeightsFormatError(f"{path}: {error}") from None
