"""Probe a network by running it: its receptive field, its independence of place, and its low-frequency constraint.

Two methods find the receptive field, and the larger answer counts. Gradients: the input pixels with any part in a row
of the output. Changes: half of the image is replaced, and rows of the output that change by a bit depended on it; this
sees rounding and other steps without gradient. Both run in double precision on the CPU, where unread pixels have a part
of exactly zero. A constraint keeps what is coarser than the input's pixels, so only even and slowly varying images are
compared with bicubic interpolation.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..arguments import count_of
from ..catalog.models import Network
from ..errors import ModelError
from ..spec import ReceptiveField
from .predictors import Interpolator, NetworkPredictor

LENGTHS = (48, 112, 240)
"""Sides of the images that are tried, in input pixels, until the field ends inside: 119 pixels at most."""

STRIPS = (16, 64)
"""Their other side; the second if a network does not accept narrow images."""

MOST_BANDS = range(1, 17)
"""Numbers of bands that are tried if the network does not accept the given one."""

LEVELS = ((0.0, 0.6), (-0.05, 1.6), (0.9, 1.6), (0.0, 0.05))
"""Ranges of reflectance of random images: ground, all that occurs, cloud and snow, water. A network may have paths that
only some of these open."""

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


class Probe:
    """Run a network on random images.

    network: is copied. label: its name in messages. bands, bands_out: their number; None is any. dates: number that a
    network of several dates reads, as `dates.DatesAsChannels`. scale: output pixels per input pixel; None is any.
    shift, width: normalization of reflectance. step: pixels at whose multiples an image may begin and end.
    """

    def __init__(
        self,
        network: nn.Module,
        label: str,
        *,
        bands: int,
        bands_out: int | None = None,
        scale: int | None = None,
        shift: float | Tensor = 0.0,
        width: float | Tensor = 1.0,
        step: int = 1,
        dates: int = 0,
    ) -> None:
        self.network = copy.deepcopy(network).cpu().eval()
        self.label = label
        self.bands, self.bands_out, self.scale, self.dates = bands * max(1, dates), bands_out, scale, dates
        self.shift, self.width, self.step = shift, width, step
        self.consumed = getattr(network, "consumed", 0)
        if type(self.consumed) is not int or self.consumed < 0:
            raise ModelError(
                f"{label} has an attribute consumed={self.consumed!r}: expected a whole number, the input pixels "
                "that it loses on each side."
            )
        self.dtype = torch.float64
        self.random = torch.Generator().manual_seed(20)

    def field(self) -> ReceptiveField:
        """Measure the receptive field, and check that it is the same everywhere.

        Raises ModelError for a network that depends on all of its input, that is another function at another place or
        in another batch, that returns another shape than its record has, or that cannot be run.
        """
        with self._few_threads():
            self._settle_precision()
            for levels in LEVELS[:2]:
                self._check_company(LENGTHS[0] + 2 * self.consumed, levels)
            top, bottom = self._extent(along=-2)
            left, right = self._extent(along=-1)
            found = ReceptiveField(top, bottom, left, right)
            for levels in LEVELS[:2]:
                self._check_places(found, levels)
        return found

    def check_window(self, side: int) -> None:
        """Run the network on a window of the size that it will get. Raises ModelError as `field` does."""
        with self._few_threads():
            self._settle_precision(side)
            for levels in LEVELS[:2]:
                self._check_company(side, levels)

    def image(self, height: int, width: int, count: int = 1, levels: tuple[float, float] = LEVELS[0]) -> Tensor:
        """Draw random reflectance in a range: (count, band, height, width)."""
        low, high = levels
        drawn = torch.rand(count, self.bands, height, width, dtype=self.dtype, generator=self.random)
        return low + drawn * (high - low)

    def run(self, image: Tensor) -> Tensor:
        """Return the output for an image: (n, band, y, x) to (n, band_out, y * scale, x * scale), less `consumed`.

        Raises ModelError for another shape or data type.
        """
        shown = ((image - self.shift) / self.width).to(self.dtype)
        try:
            fine = self.network(shown)
        except Exception as error:  # whatever a network of the user's raises
            raise ModelError(
                f"{self.label} cannot be run on a tensor {self._shape(image)} of {_short(self.dtype)}: "
                f"{type(error).__name__}: {error}. A model with a halo gets windows of any size; one that needs a "
                "certain size has window= in its record."
            ) from error
        if not isinstance(fine, Tensor) or not fine.is_floating_point():
            kind = _short(fine.dtype) if isinstance(fine, Tensor) else type(fine).__name__
            raise ModelError(f"{self.label} returns {kind}; expected one tensor of floating-point numbers.")
        n, _, height, width = image.shape
        height, width = height - 2 * self.consumed, width - 2 * self.consumed
        if self.scale is None and fine.ndim == 4:
            self.scale = max(1, fine.shape[-2] // height)
        scale, bands = self.scale or 1, self.bands_out or (fine.shape[1] if fine.ndim == 4 else 1)
        wanted = (n, bands, height * scale, width * scale)
        if tuple(fine.shape) != wanted:
            raise ModelError(
                f"{self.label} turns {self._shape(image)} into {tuple(fine.shape)}; by its record it should be "
                f"{wanted}: {bands} bands, {scale} times finer. Correct bands_out= or scale=. A network without "
                "padding declares by an attribute `consumed` how many input pixels it loses on each side."
            )
        if not torch.isfinite(fine).all():
            low, high = float(image.min()), float(image.max())
            raise ModelError(
                f"{self.label} returns values that are not finite for reflectance between {low:.2f} and {high:.2f}, "
                "which occurs: a little below 0 over dark water, above 1 on snow and cloud. Clamp its input."
            )
        return fine

    def _shape(self, image: Tensor) -> tuple[int, ...]:
        """Return the shape of an image as the network gets it."""
        return tuple(image.unflatten(1, (self.dates, -1)).shape if self.dates else image.shape)

    @contextmanager
    def _few_threads(self) -> Iterator[None]:
        """Use one thread for a small network: several were 2 to 50 times slower."""
        threads = torch.get_num_threads()
        if sum(weight.numel() for weight in self.network.parameters()) < 1_000_000:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    def _settle_precision(self, side: int = 0) -> None:
        """Use double precision, or single if the network needs it."""
        side = side or LENGTHS[0] + 2 * self.consumed
        try:
            self.network.double()
            with torch.no_grad():
                self.run(self.image(side, side))
        except ModelError:
            self.dtype = torch.float32
            self.network.float()
            try:
                with torch.no_grad():
                    self.run(self.image(side, side))
            except ModelError as error:
                if (count := self._bands_taken(side)) is None:
                    raise
                raise ModelError(
                    f"{self.label} cannot be run on {count_of(self.bands // (self.dates or 1), 'band')}, and can be "
                    f"on {count}. List in bands= those that it reads, in its order; for measure_halo pass their "
                    f"number, bands={count}."
                ) from error

    def _bands_taken(self, side: int) -> int | None:
        """Find another number of bands that the network accepts; None if it accepts the given one, or no other."""

        def runs(count: int) -> bool:
            try:
                self.network(torch.zeros(1, count * (self.dates or 1), side, side))
            except Exception:  # whatever a network of the user's raises
                return False
            return True

        with torch.no_grad():
            if runs(self.bands // (self.dates or 1)):
                return None
            return next((count for count in MOST_BANDS if runs(count)), None)

    def _check_company(self, side: int, levels: tuple[float, float]) -> None:
        """Check that a window's output is the same twice, and the same in another batch."""
        image = self.image(side, side, count=2, levels=levels)
        with torch.no_grad():
            one, again, both = self.run(image[:1]), self.run(image[:1]), self.run(image)
        if not torch.equal(one, again):
            raise ModelError(
                f"{self.label} returns two results for one input, {_far(one, again):.2g} apart: something in it is "
                "random. Results must depend on the input alone; turn it off in eval(), or fix its seed."
            )
        if _far(one, both[:1]) > self._tolerance(one):
            raise ModelError(
                f"{self.label} differs by {_far(one, both[:1]):.2g} if another image stands beside in the batch. "
                "Its normalization reads the batch: use running statistics, as BatchNorm does in eval()."
            )

    def _extent(self, along: int) -> tuple[int, int]:
        """Measure how many pixels before and behind its own an output depends on, along an axis."""
        for length in LENGTHS:
            size = length + 2 * self.consumed
            ends: list[tuple[int, int]] = []
            for levels in LEVELS:
                image = self._strip(size, along, levels)
                ends += [self._by_changes(image, along, levels), self._by_gradient(image, along)]
            before, behind = max(end[0] for end in ends), max(end[1] for end in ends)
            inside = max(before, behind) < size // 2 - self.consumed
            if inside and (length == LENGTHS[-1] or self._nothing_beyond(before, behind, along)):
                return before, behind
            if length > LENGTHS[0] and image.shape.numel() > self.bands * size * (STRIPS[0] + 2 * self.consumed):
                break  # attention over a wide strip of full length could take all memory
        raise ModelError(
            f"{self.label} depends on all of its input, or on more than {length // 2 - 1} pixels around (measured "
            f"on {length} {'rows' if along == -2 else 'columns'}): attention, a norm or a mean over the whole image, a "
            "recurrence, or a very deep network. No halo is sufficient; it is a windowed model: its record needs "
            "window=, the side that it was trained on, and overlap=, such as a quarter of it, instead of halo=."
        )

    def _nothing_beyond(self, before: int, behind: int, along: int) -> bool:
        """Return whether the longest image shows no larger field: a dilated kernel may have skipped a shorter one."""
        image = self._strip(LENGTHS[-1] + 2 * self.consumed, along, LEVELS[0])
        far = self._by_changes(image, along, LEVELS[0])
        return far[0] <= before and far[1] <= behind

    def _strip(self, length: int, along: int, levels: tuple[float, float]) -> Tensor:
        """Draw an image that is long along one axis, and as narrow along the other as the network accepts."""
        for strip in STRIPS:
            other = strip + 2 * self.consumed
            height, width = (length, other) if along == -2 else (other, length)
            image = self.image(height, width, levels=levels)
            try:
                with torch.no_grad():
                    self.run(image)
            except ModelError:
                if strip == STRIPS[-1]:
                    raise
                continue
            break
        return image

    def _by_changes(self, image: Tensor, along: int, levels: tuple[float, float]) -> tuple[int, int]:
        """Replace one half, then the other, and return how far the change reaches into the kept half."""
        length = image.shape[along]
        center = length // 2
        last = length - 2 * self.consumed - 1
        reached = []
        with torch.no_grad():
            plain = self.run(image)
            for start, count in ((0, center + 1), (center, length - center)):
                other = image.clone()
                part = other.narrow(along, start, count)
                part.copy_(self.image(part.shape[-2], part.shape[-1], levels=levels))
                reached.append(self._pixels(self.run(other) != plain, along))
        upper, lower = reached
        before = length if upper and upper[-1] == last else (upper[-1] + self.consumed - center if upper else 0)
        behind = length if lower and lower[0] == 0 else (center - lower[0] - self.consumed if lower else 0)
        return max(0, before), max(0, behind)

    def _by_gradient(self, image: Tensor, along: int) -> tuple[int, int]:
        """Return how far input pixels with a gradient are before and behind an output pixel; (0, 0) without any."""
        center = image.shape[along] // 2
        scale = self.scale or 1
        source = image.clone().requires_grad_()
        row = self.run(source).narrow(along, (center - self.consumed) * scale, scale)
        if not row.requires_grad:
            return 0, 0
        try:
            weights = torch.rand(row.shape, dtype=self.dtype, generator=self.random).to(row)
            (slope,) = torch.autograd.grad((row * weights).sum(), source, allow_unused=True)
        except (RuntimeError, NotImplementedError):  # a step without gradient: changes must do
            return 0, 0
        if slope is None or slope.isnan().any():
            return 0, 0
        other = -1 if along == -2 else -2
        parts = torch.nonzero((slope != 0).any(dim=other).flatten(0, 1).any(dim=0)).flatten().tolist()
        return (center - parts[0], parts[-1] - center) if parts else (0, 0)

    def _pixels(self, changed: Tensor, along: int) -> list[int]:
        """Return the input pixels along an axis at which anything changed."""
        other = -1 if along == -2 else -2
        fine = torch.nonzero(changed.any(dim=other).flatten(0, 1).any(dim=0)).flatten().tolist()
        return [place // (self.scale or 1) for place in fine]

    def _check_places(self, field: ReceptiveField, levels: tuple[float, float]) -> None:
        """Check that an image shifted by a step, or a larger crop, has the same output in the common interior."""
        step, scale, lost = self.step, self.scale or 1, self.consumed
        halo = -(-max(field.halo, lost) // step) * step
        side = 2 * halo + 21 * step  # at a step of one odd, and of no use to a network that halves
        image = self.image(side + 3 * step, side + 3 * step, levels=levels)

        def inside(top: int, left: int, size: int) -> Tensor:
            """Return the output for a crop in the interior of all crops."""
            with torch.no_grad():
                fine = self.run(image[..., top : top + size, left : left + size])
            y, x = ((step + halo - start - lost) * scale for start in (top, left))
            kept = (side - step - 2 * halo) * scale
            return fine[..., y : y + kept, x : x + kept]

        plain, far = inside(0, 0, side), "one pixel" if step == 1 else f"{step} pixels"
        others = {
            f"moved down by {far}": inside(step, 0, side),
            f"moved to the right by {far}": inside(0, step, side),
            "with more rows and columns": inside(0, 0, side + 3 * step),
        }
        for what, other in others.items():
            if _far(plain, other) > self._tolerance(plain):
                raise ModelError(
                    f"{self.label} returns another result for the same pixels {what}: {_far(plain, other):.2g} apart, "
                    f"although it reads no further than {halo} pixels. It works on a grid of its own (strides, "
                    "pooling, attention in windows) or on coordinates, so values would depend on how a scene is cut. "
                    "It is a windowed model: its record needs window= and overlap= instead of halo=. Windows are at "
                    "fixed positions of the map, the same for every cut."
                )

    def _tolerance(self, values: Tensor) -> float:
        return _TOLERANCE[self.dtype] * max(1.0, float(values.abs().max()))


def _far(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


SMOOTH_SIDE = 48
"""Side of the tested images in input pixels, for a model without windows."""

WAVES = (math.inf, 32.0)
"""Wavelengths in input pixels: even ground, and one that every constraint keeps."""

GREYS = (0.05, 0.3, 0.9)
"""Mean reflectance of the waves."""

SHARE, LEAST = 0.5, 5e-4
"""Allowed difference of means over input pixels from those of bicubic: a share of what the network adds, or the
rounding of a few DN. Measured: ours 0.24 on waves and 0 on even ground, the official network without its constraint 1.2
to 1.9.
"""


def check_constrained(spec: Network, predictor: NetworkPredictor) -> None:
    """Compare the means of a network's output over input pixels with those of bicubic interpolation.

    Raises ModelError if they differ, on even ground or on slow waves, by more than a constraint lets pass.
    """
    bicubic = Interpolator("bicubic", spec.scale)
    side = spec.window or SMOOTH_SIDE + 2 * max(predictor.reach, bicubic.reach)
    half = (spec.window or SMOOTH_SIDE) // 2
    kept = half + (side - half) % 2  # in the middle, by whole input pixels
    blocks = spec.scale if spec.scale > 1 else 4  # at the scale of one a pixel is its own mean
    gives = [spec.bands.index(band) for band in spec.bands_out or spec.bands]
    for level in GREYS:
        for wave in WAVES:
            image = _swinging(len(spec.bands), side, level, wave)
            with torch.no_grad():
                fine = predictor.predict(image, 0)
                plain = bicubic.predict(image[:, gives], 0)
            added = _middle(fine, kept * spec.scale) - _middle(plain, kept * spec.scale)
            means = torch.nn.functional.avg_pool2d(added, blocks)
            off, allowed = float(means.abs().max()), max(LEAST, SHARE * float(added.square().mean().sqrt()))
            if not off <= allowed:  # NaN too
                ground = "even ground" if math.isinf(wave) else f"a wave of {wave:.0f} pixels"
                raise ModelError(
                    f"{spec.name!r} has constrained=True, but over {ground} of reflectance {level} its means over an "
                    f"input pixel differ by up to {off:.2g} from bicubic's; at most {allowed:.2g} is allowed. Remove "
                    "low frequencies from what the network adds, or write low_pass=LowPass(...) instead of "
                    "constrained=True, which is applied to its output."
                )


def _swinging(bands: int, side: int, level: float, wave: float) -> Tensor:
    """Return waves along y and x around a level, each band with another phase: (1, band, y, x)."""
    places = torch.arange(side, dtype=torch.float32) * (2 * math.pi / wave)
    phases = torch.arange(bands, dtype=torch.float32)[:, None]
    rows, columns = torch.sin(places + phases), torch.cos(places + 2 * phases)
    return (level * (1 + 0.3 * rows[:, :, None] * columns[:, None, :]))[None]


def _middle(fine: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in fine.shape[-2:])
    return fine[..., top : top + side, left : left + side]
