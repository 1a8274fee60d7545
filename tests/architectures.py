"""Small networks for tests, with a receptive field that is known, or with one of the ways not to have one."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Plain(nn.Module):
    """`depth` convolutions of 3 x 3: a field of `depth` pixels."""

    def __init__(self, bands: int = 2, bands_out: int = 0, depth: int = 3, scale: int = 2, width: int = 8) -> None:
        super().__init__()
        sides = [bands, *[width] * (depth - 1), (bands_out or bands) * scale**2]
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(sides):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.SiLU()]
        self.body = nn.Sequential(*layers[:-1], nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Valid(Plain):
    """The same without padding."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__(depth=depth)
        self.consumed = depth
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                layer.padding = (0, 0)


class Oblique(nn.Module):
    """Reads 4 rows above, 1 below, 2 columns to the left and none to the right, and has no weights."""

    def forward(self, x: Tensor) -> Tensor:
        wide = functional.pad(x, (2, 0, 4, 1))
        height, width = x.shape[-2:]
        out = wide[..., :height, :width] + wide[..., 5:, 2:].round(decimals=1)
        return out.repeat_interleave(2, -1).repeat_interleave(2, -2)


class Jumping(nn.Module):
    """One convolution at each dilation, beside each other."""

    def __init__(self, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=far, dilation=far) for far in dilations])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = sum(layer(x) for layer in self.layers)  # type: ignore[assignment]
        return out


class Rounded(Plain):
    """A step without gradient in between."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 8).round())


class InstanceNorm(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return functional.instance_norm(super().forward(x))


class Attention(nn.Module):
    """Each pixel looks at all others."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(2, 6, 1)
        self.tail = nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        query, key, value = self.look(x).flatten(2).chunk(3, dim=1)
        seen = torch.softmax(query.transpose(1, 2) @ key, dim=-1) @ value.transpose(1, 2)
        mixed = x + seen.transpose(1, 2).reshape(n, 2, height, width)
        return functional.pixel_shuffle(self.tail(mixed), 2)


class Strided(nn.Module):
    """Halves the image first: another function at odd places."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 8, 3, stride=2, padding=1)
        self.up = nn.Conv2d(8, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.pixel_shuffle(self.up(self.down(x)), 4)
        return out[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class Columns(Plain):
    """Knows where in the image it is."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out + torch.linspace(0, 1, out.shape[-1], dtype=x.dtype)


class Eights(Plain):
    """Takes sizes that are multiples of eight."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pixel_shuffle(functional.pixel_unshuffle(x, 8), 8))


class Wide(Plain):
    """Mirrors 20 pixels, so it takes no image that is narrower."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (20, 20, 20, 20), mode="reflect"))[..., 40:-40, 40:-40]


class Random(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(())


class BatchStatistics(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(dim=0, keepdim=True) * 0.5)


class Single(Plain):
    """Insists on single precision."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(functional.conv2d(x, torch.ones(8, 2, 5, 5), padding=2), 2)


class Hazy(Plain):
    """Looks 15 pixels far, for what is brighter than most ground."""

    level = 0.7

    def __init__(self) -> None:
        super().__init__(depth=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - functional.avg_pool2d(functional.relu(x - self.level), 31, 1, 15))


class Snowy(Hazy):
    level = 1.3


class Murky(Hazy):
    """Looks far where its surroundings are dark."""

    def forward(self, x: Tensor) -> Tensor:
        return Plain.forward(self, x - functional.relu(0.06 - functional.avg_pool2d(x, 31, 1, 15)))


class Rooted(Plain):
    """Takes no reflectance below zero."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sqrt())


class Transposed(nn.Module):
    """Begins with a transposed convolution, whose weights name the channels that it reads first."""

    def __init__(self, bands: int = 3) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(bands, 8, 2, stride=2)
        self.tail = nn.Conv2d(8, bands, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail(self.up(x))
        return out


class Depthwise(nn.Module):
    """Begins with each band by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.tail = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tail(self.each(x))
        return out


class FoldedFlag(Plain):
    """Has something else under the name of the faster form."""

    folded = True


class FoldedBare(Plain):
    def folded(self) -> Plain:
        return self


class MeanOfDates(nn.Module):
    """The mean of all dates, each pixel repeated `scale` times: (n, date, band, y, x)."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1).repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)


class PlainOfDates(nn.Module):
    """`Plain` over dates and bands as one axis; views, as published networks have them."""

    def __init__(self, bands: int = 2, dates: int = 3, depth: int = 1, scale: int = 2) -> None:
        super().__init__()
        self.bands, self.dates = bands, dates
        self.inner = Plain(bands * dates, bands, depth, scale)

    def forward(self, x: Tensor) -> Tensor:
        n, dates, bands, height, width = x.shape
        if (dates, bands) != (self.dates, self.bands):
            raise ValueError(f"{dates} dates of {bands} bands")
        each = x.view(n * dates, bands, height, width)
        out: Tensor = self.inner(each.view(n, dates * bands, height, width))
        return out
