"""Apply one-dimensional linear operators along rows and columns of regular grids, as small matrix products.

An upsampling, a blur, a sampling of a blurred image, or a chain of them have the same form: each output pixel is a
weighted sum of a few neighboring input pixels, with weights that repeat from one input pixel to the next. A run of
input pixels times one small banded matrix is a run of output pixels; such products run near the peak of a CPU, which a
depthwise convolution does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

RUN_FINE, RUN_COARSE = 32, 16
"""Input pixels per matrix product of a blur and of an upsampling. Longer runs multiply more zeros, shorter ones leave
the processor idle: 32 and 16 took 60 % of the time of 128 and 64 (Zen 3, one thread)."""

TALLEST = 128
"""Rows of output per matrix product: with many for each input pixel, shorter runs are as fast, and multiply less."""

MEANS = 4
"""Means of three pixels along each axis, one after another, that weigh the pixels around a place: a bell of nine."""


@dataclass(frozen=True, eq=False)
class Operator:
    """A banded, periodic, linear map: `out[i] = sum_k taps[i % scale, k] * in[i // scale * stride + first + k]`.

    taps: (scale, reach) float64; scale: output pixels per input pixel; first: offset of the first tap, usually
    negative. stride: input pixels from one output pixel to the next, for a sampling, whose scale is 1.
    """

    taps: NDArray[np.float64]
    first: int
    stride: int = 1

    @property
    def scale(self) -> int:
        """Output pixels per input pixel."""
        return int(self.taps.shape[0])

    @property
    def before(self) -> int:
        """Input pixels needed in front of the first output's own pixel."""
        return max(0, -self.first)

    @property
    def after(self) -> int:
        """Input pixels needed behind the last output's own pixel."""
        return max(0, self.first + int(self.taps.shape[1]) - 1)

    @property
    def margin(self) -> int:
        """The larger of `before` and `after`."""
        return max(self.before, self.after)

    def then(self, blur: Operator) -> Operator:
        """Return the operator that applies this one and then `blur` (of scale 1) on the finer grid."""
        assert blur.scale == blur.stride == self.stride == 1
        scale, reach = self.scale, self.taps.shape[1]
        first_fine, last_fine = blur.first, scale - 1 + blur.first + blur.taps.shape[1] - 1
        first = first_fine // scale + self.first
        taps = np.zeros((scale, last_fine // scale + self.first + reach - first))
        for phase in range(scale):
            for k, weight in enumerate(blur.taps[0]):
                pixel, sub = divmod(phase + blur.first + k, scale)
                start = pixel + self.first - first
                taps[phase, start : start + reach] += weight * self.taps[sub]
        used = np.flatnonzero(taps.any(axis=0))
        return Operator(taps[:, used[0] : used[-1] + 1], first + int(used[0]))

    @cached_property
    def _matrices(self) -> dict[tuple[int, torch.device], Tensor]:
        return {}

    def matrix(self, pixels: int, device: torch.device) -> Tensor:
        """Return the dense block for a run: (pixels * scale, (pixels - 1) * stride + reach) float32."""
        key = (pixels, device)
        if key not in self._matrices:
            scale, reach = self.taps.shape
            block = np.zeros((pixels * scale, (pixels - 1) * self.stride + reach), dtype=np.float32)
            for pixel in range(pixels):
                at = pixel * self.stride
                block[pixel * scale : (pixel + 1) * scale, at : at + reach] = self.taps
            self._matrices[key] = torch.from_numpy(block).to(device)
        return self._matrices[key]

    def _runs(self, pixels: int) -> list[tuple[int, int]]:
        step = RUN_FINE if self.scale == self.stride == 1 else max(1, min(RUN_COARSE, TALLEST // self.scale))
        return [(start, min(step, pixels - start)) for start in range(0, pixels, step)]

    def along_x(self, source: Tensor, origin: int, pixels: int, out: Tensor, *, add: int = 0) -> Tensor:
        """Map the last axis of a matrix: (rows, columns) to (rows, pixels * scale), written to `out`.

        origin: index in `source` of the first output's own pixel, for a sampling in steps of `stride`. add: 0 replaces
        `out`, 1 and -1 add to and subtract from it.
        """
        scale, reach = self.taps.shape
        for start, count in self._runs(pixels):
            at = (origin + start) * self.stride + self.first
            window = source[:, at : at + (count - 1) * self.stride + reach]
            part = out[:, start * scale : (start + count) * scale]
            _multiply(window, self.matrix(count, source.device).t(), part, add)
        return out

    def along_y(self, source: Tensor, origin: int, pixels: int, out: Tensor, *, add: int = 0) -> Tensor:
        """Map the first axis of a matrix: (rows, columns) to (pixels * scale, columns); else as `along_x`."""
        scale, reach = self.taps.shape
        for start, count in self._runs(pixels):
            at = (origin + start) * self.stride + self.first
            window = source[at : at + (count - 1) * self.stride + reach]
            _multiply(self.matrix(count, source.device), window, out[start * scale : (start + count) * scale], add)
        return out


class Products:
    """A sum of products of two one-dimensional filters: a two-dimensional one that is not separable by itself.

    along_y, along_x: (rank, scale, reach), as the taps of an `Operator`: products of pairs are added. The first tap of
    an output pixel lies on its own input pixel. stride: as of `Operator`, for a sampling, whose scale is 1.
    """

    def __init__(self, along_y: NDArray[np.float64], along_x: NDArray[np.float64], stride: int = 1) -> None:
        self.along_y = along_y
        self.rank, self.scale, self.reach = along_y.shape
        self.stride = stride
        self.along_x = [Operator(taps, 0, stride) for taps in along_x]
        self._matrices: dict[tuple[int, torch.device], Tensor] = {}

    @property
    def kernel(self) -> NDArray[np.float64]:
        """The sum of the products, of a filter whose scale is 1: (reach, reach) float64."""
        return np.asarray(self.along_y[:, 0].T @ np.concatenate([operator.taps for operator in self.along_x]))

    def apply(self, source: Tensor, out: Tensor, *, add: int = 0) -> Tensor:
        """Filter an image: ((rows - 1) * stride + reach, ...) of input pixels to (rows * scale, ...), in `out`.

        add: as of `Operator.along_x`.
        """
        rows, columns = out.shape[0] // self.scale, out.shape[1]
        # The products of one row lie together, so a run of rows is one matrix, and their sum one matrix product.
        blurred = source.new_empty((rows - 1) * self.stride + self.reach, self.rank, columns)
        for k, operator in enumerate(self.along_x):
            operator.along_x(source, 0, columns // self.scale, blurred[:, k])
        return self.sum_along_y(blurred, out, add=add)

    def sum_along_y(self, blurred: Tensor, out: Tensor, *, add: int = 0) -> Tensor:
        """Filter what lies in (row, rank, columns) along y, and add what belongs together, in `out`."""
        rows, columns = out.shape[0] // self.scale, out.shape[1]
        step = RUN_FINE if self.scale == self.stride == 1 else RUN_COARSE
        for start in range(0, rows, step):
            count = min(step, rows - start)
            at = start * self.stride
            window = blurred[at : at + (count - 1) * self.stride + self.reach].view(-1, columns)
            part = out[start * self.scale : (start + count) * self.scale]
            _multiply(self._matrix(count, blurred.device), window, part, add)
        return out

    def _matrix(self, count: int, device: torch.device) -> Tensor:
        """Return the dense block for a run of rows: (count * scale, ((count - 1) * stride + reach) * rank) float32."""
        key = (count, device)
        if key not in self._matrices:
            block = np.zeros((count, self.scale, (count - 1) * self.stride + self.reach, self.rank), np.float32)
            taps = self.along_y.transpose(1, 2, 0)
            for row in range(count):
                block[row, :, row * self.stride : row * self.stride + self.reach] = taps
            self._matrices[key] = torch.from_numpy(block.reshape(count * self.scale, -1)).to(device)
        return self._matrices[key]


class Across:
    """A sum of filters along x, one for each of `rank` rows that lie one after another, as one convolution.

    taps: (rank, scale, reach), as of `Products`. The channels of the convolution are a few neighboring pixels, so that
    its output lies in memory as the pixels of a row do; a third of the time of matrix products that write a few
    columns each.
    """

    def __init__(self, taps: NDArray[np.float64]) -> None:
        self.rank, self.scale = taps.shape[:2]
        reach = int(taps.shape[2])
        self.group = 4 if self.scale % 2 == 0 else 8  # pixels, as many as make eight numbers of output or a multiple
        self.span = -(-(self.group + reach - 1) // self.group)
        weights = np.zeros((self.group, self.scale, self.span * self.group, self.rank))
        for pixel in range(self.group):
            weights[pixel, :, pixel : pixel + reach] = taps.transpose(1, 2, 0)
        weights = weights.reshape(self.group * self.scale, self.span, self.group, self.rank)
        self._weights = torch.from_numpy(weights.transpose(0, 2, 3, 1).astype(np.float32))
        self._on: dict[torch.device, Tensor] = {}

    def width(self, pixels: int) -> int:
        """Return the columns that rows must have for as many output pixels; the last may hold any number but NaN."""
        return (-(-pixels // self.group) + self.span - 1) * self.group

    def apply(self, rows: Tensor, pixels: int) -> Tensor:
        """Filter (rows * rank, width(pixels)) to (rows, pixels * scale), a view of new memory."""
        weights = self._on.get(rows.device)
        if weights is None:
            if rows.is_cuda:  # float32 with the mantissa of float32; see `predictors.NetworkPredictor`
                torch.backends.cudnn.allow_tf32 = False
            weights = self._weights.to(rows.device).contiguous(memory_format=torch.channels_last)
            self._on[rows.device] = weights
        image = rows.view(len(rows), -1, self.group).permute(2, 0, 1)[None]
        out = functional.conv2d(image, weights, stride=(self.rank, 1))[0].permute(1, 2, 0)
        return out.reshape(len(out), -1)[:, : pixels * self.scale]


class Upsampling:
    """A sum of products of two one-dimensional filters with several phases, as `Products`; faster if they are few.

    along_y, along_x: (rank, scale, reach). The first tap of an output pixel lies on its own input pixel.
    """

    def __init__(self, along_y: NDArray[np.float64], along_x: NDArray[np.float64]) -> None:
        self.scale, self.reach = along_y.shape[1:]
        # All products of an output row lie together, as `Across` reads them.
        self.along_y = Operator(along_y.transpose(1, 0, 2).reshape(-1, self.reach), 0)
        self.across = Across(along_x)

    def apply(self, source: Tensor) -> Tensor:
        """Filter (rows + reach - 1, columns + reach - 1) to (rows * scale, columns * scale)."""
        rows, columns = (side - self.reach + 1 for side in source.shape)
        stacked = source.new_empty(rows * self.along_y.scale, self.across.width(columns))
        stacked[:, source.shape[1] :] = 0
        self.along_y.along_y(source, 0, rows, stacked[:, : source.shape[1]])
        return self.across.apply(stacked, columns)


class Bank:
    """Several two-dimensional filters of one image, which need not be separable.

    kernels: (filter, side, side). Pixels of a row at the same distance on both sides are added first, if all filters
    are even along x.
    """

    def __init__(self, kernels: NDArray[np.float64]) -> None:
        self.count, self.side = kernels.shape[:2]
        middle = self.side // 2
        self.even = np.allclose(kernels, kernels[..., ::-1], rtol=0, atol=1e-9)
        columns = kernels[..., middle:] if self.even else kernels
        # As one filter along y for each column of the kernels, the output rows of all filters together.
        self.columns = columns.shape[-1]
        self._products = Products(columns.transpose(2, 0, 1), np.ones((self.columns, 1, 1)))

    def apply(self, image: Tensor) -> Tensor:
        """Filter (rows + side - 1, columns + side - 1) to (rows, filter, columns)."""
        rows, columns = (side - self.side + 1 for side in image.shape)
        middle = self.side // 2
        stacked = image.new_empty(len(image), self.columns, columns)
        for place in range(self.columns):
            if self.even and place:
                sides = (image[:, start : start + columns] for start in (middle - place, middle + place))
                torch.add(*sides, out=stacked[:, place])
            else:
                start = middle if self.even else place
                stacked[:, place] = image[:, start : start + columns]
        out = image.new_empty(rows * self.count, columns)
        self._products.sum_along_y(stacked, out)
        return out.view(rows, self.count, columns)


def products_of(kernel: NDArray[np.float64], rank: int, stride: int = 1) -> Products:
    """Return the products that approximate a blur best, from its eigenvectors.

    kernel: (reach, reach), symmetric as a matrix. rank: number of products.
    """
    values, vectors = np.linalg.eigh(kernel)
    largest = np.argsort(-np.abs(values))[:rank]
    along_x = vectors[:, largest].T[:, None]
    return Products(along_x * values[largest][:, None, None], along_x, stride)


def _multiply(left: Tensor, right: Tensor, out: Tensor, add: int) -> None:
    if add:
        out.addmm_(left, right, alpha=add)
    else:
        torch.mm(left, right, out=out)


def gaussian(sigma: float, radius: int) -> Operator:
    """Return the blur by a Gaussian of standard deviation `sigma` pixels, cut at `radius` pixels, with a sum of one."""
    offsets = np.arange(-radius, radius + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return Operator((weights / weights.sum())[None], -radius)


def sampled_gaussian(sigma: float, reach: int, stride: int) -> Products:
    """Return every `stride`-th pixel of a blur by a Gaussian of `sigma` pixels, cut to `reach` pixels, with sum one.

    The samples lie in the middle of `stride` pixels, where `reach` is an odd number of these.
    """
    weights = np.exp(-0.5 * ((np.arange(reach) - (reach - 1) / 2) / sigma) ** 2)
    weights /= weights.sum()
    return products_of(weights[:, None] * weights, 1, stride)


@cache
def radial_sigmoid(cutoff: float, sharpness: float, reach: int, rank: int, stride: int = 1) -> Products:
    """Return the blur of gain 1 / (1 + exp((f - cutoff) / sharpness)) at f cycles per pixel, cut to `reach` pixels.

    stride: of the output pixels, each in the middle of as many, if `reach` is even.
    """
    size = 512  # samples of the gain: its spatial tail is gone long before half of them
    frequency = np.fft.fftfreq(size)
    distance = np.hypot(frequency[:, None], frequency)
    between = np.exp(1j * np.pi * frequency * (1 - reach % 2))  # half a pixel on, for a center between two pixels
    kernel = np.fft.ifft2(between[:, None] * between / (1 + np.exp((distance - cutoff) / sharpness))).real
    places = np.arange(reach) - reach // 2
    return products_of(kernel[np.ix_(places, places)], rank, stride)


def weights(taps: Sequence[float]) -> Operator:
    """Return the blur by an odd number of weights, centered. They are taken as they are."""
    assert len(taps) % 2 == 1
    return Operator(np.array([taps], dtype=np.float64), -(len(taps) // 2))


def nearest(scale: int) -> Operator:
    """Return the upsampling that repeats each pixel `scale` times."""
    return Operator(np.ones((scale, 1)), 0)


def bilinear(scale: int) -> Operator:
    """Return linear interpolation between pixel centers (corners not aligned)."""
    return _upsampling(scale, 1, lambda distance: np.maximum(0.0, 1.0 - distance))


def bicubic(scale: int, a: float = -0.5) -> Operator:
    """Return cubic convolution between pixel centers (corners not aligned).

    a = -0.5 is Keys' own choice, third-order exact, and what Pillow and torch (`antialias=True`) use; torch without
    antialiasing and OpenCV take -0.75. Source: R. Keys, IEEE TASSP 29 (1981), 1153.
    """

    def weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
        far = a * (((distance - 5) * distance + 8) * distance - 4)
        inner: NDArray[np.float64] = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        return inner

    return _upsampling(scale, 2, weight)


def sinc(scale: int) -> Operator:
    """Return band-limited interpolation between pixel centers: a sinc in a Kaiser window of seven pixels, beta 2."""

    def weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.clip(1 - (distance / 3.5) ** 2, 0, None)
        windowed: NDArray[np.float64] = np.sinc(distance) * np.i0(2 * np.sqrt(inside)) / np.i0(2.0)
        return windowed

    return _upsampling(scale, 3, weight)


def _upsampling(scale: int, support: int, weight: object) -> Operator:
    """Sample a kernel of half width `support` at the phases of an upsampling by `scale`."""
    assert callable(weight)
    offsets = np.arange(-support, support + 1)
    phases = (np.arange(scale) + 0.5) / scale - 0.5
    taps = np.asarray(weight(np.abs(offsets[None] - phases[:, None])), dtype=np.float64)
    taps /= taps.sum(axis=1, keepdims=True)
    used = np.flatnonzero((taps != 0).any(axis=0))
    return Operator(taps[:, used[0] : used[-1] + 1], int(offsets[used[0]]))


def local_mean(image: Tensor, times: int) -> Tensor:
    """Average three pixels along y and x, `times` in turn: (..., y, x) to `times` less on each side."""
    for axis in (-2, -1):
        for _ in range(times):
            # Three terms in a fixed order: a matrix product might add them in another in another block.
            side = image.shape[axis] - 2
            image = (image.narrow(axis, 0, side) + image.narrow(axis, 1, side)).add_(image.narrow(axis, 2, side))
    return image.div_(3 ** (2 * times))


def local_moments(image: Tensor, times: int = MEANS) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and variance around each pixel: (..., y, x) to `times` less on each side."""
    mean, square = local_mean(torch.stack([image, image.square()]), times)
    return mean, square - mean.square()
