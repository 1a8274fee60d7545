"""Perceptual distances between two cubes, LPIPS and CLIP, for whole images or patch by patch.

The networks are behind a door of `kernels`, their weights in files that the user names; nothing is downloaded. Both
were trained on photographs of everyday things: they rank what looks alike, and are no measure of reflectance. LPIPS is
our own since `lpips` and torchmetrics both need torchvision (the first at import, the second when called).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..arguments import check_path, renamed
from ..bands import find_band
from ..catalog.fetch import sha256_of
from ..cube.names import listed
from ..errors import MissingBandError, OptionError, WeightsNotFoundError
from ..runtime.device import check_device
from .inputs import Image, check_reference, finished, read, together
from .reduce import Layout, map_images

WeightPaths: TypeAlias = "str | Path | Sequence[str | Path] | None"
At: TypeAlias = "Literal['image'] | int"

TRUE_COLOUR = ("B04", "B03", "B02")

LEAST_PATCH = 16
"""Smallest patch in pixels: below, nothing of a picture is left to be perceived."""

BATCH_PIXELS = 2**20
"""Pixels that go through the network at once, where a patch is smaller."""


@renamed(a="sr", b="hr")
def lpips(
    sr: Image,
    hr: Image,
    *,
    weights: WeightPaths = None,
    net: Literal["squeeze", "alex", "vgg"] = "alex",
    bands: Sequence[str] = TRUE_COLOUR,
    limits: tuple[float, float] = (0.0, 1.0),
    at: At = "image",
    device: str = "auto",
) -> xr.DataArray:
    """Measure the learned perceptual distance (LPIPS) between two cubes on one grid; 0 for equal pictures.

    sr, hr: (time?, band, y, x) reflectance, NaN where not valid, as in `rmse`.
    weights: the file of the network, as its authors name the tensors; or two files, the backbone as torchvision
        publishes it and the heads as the authors of LPIPS do (such as "alexnet-owt-7be5be79.pth" and "alex.pth").
    net: the backbone that the files hold. bands: shown as red, green and blue.
    limits: reflectance of black and of white. 0 and 1 as in opensr-test; (0, 0.3) is what eyes are shown.
    at: "image" for one number per image, or the side of square patches in pixels, at least 16, counted from the first
        pixel; the last ones may reach beyond the cube. Images and patches of less than 64 pixels are enlarged to that.

    Returns (time?) or (time?, y, x) float64, lazy where one of the cubes is, the same for any chunking. Places count by
    the share of them that was measured in both; NaN where nothing was. An image goes through the network as a whole:
    prefer patches for scenes (about 1 GB per 4096 x 4096 pixels with alex, four times that with vgg).
    Raises WeightsNotFoundError without weights; GridError, CubeError, MissingBandError, RadiometryError,
    OptionError.
    Source: R. Zhang et al. (CVPR 2018), version 0.1.
    """
    if net not in ("squeeze", "alex", "vgg"):
        raise OptionError(f"net={net!r}: expected 'squeeze', 'alex' or 'vgg'.")
    files = _named(weights, "LPIPS", "its authors' file, or [torchvision's backbone, the authors' heads]")
    return _compared(sr, hr, ("lpips", net, files, device), "lpips", bands, limits, at)


@renamed(a="sr", b="hr")
def clip_distance(
    sr: Image,
    hr: Image,
    *,
    weights: WeightPaths = None,
    model: str = "ViT-B-16-SigLIP-256",
    distance: Literal["l1", "cosine"] = "l1",
    bands: Sequence[str] = TRUE_COLOUR,
    limits: tuple[float, float] = (0.0, 1.0),
    at: At = "image",
    device: str = "auto",
) -> xr.DataArray:
    """Measure the distance of two cubes on one grid in the embeddings of a CLIP image encoder; 0 for equal pictures.

    weights: a checkpoint of open_clip for `model` (safetensors, or a state dict of torch). model: a name of open_clip,
        such as "ViT-B-16-SigLIP-256", or "RN50" and "ViT-B-32" for RemoteCLIP.
    distance: "l1", the mean absolute difference of the embeddings, as in opensr-test; "cosine", 1 minus their cosine.
    sr, hr, bands, limits, at and what comes back: as in `lpips`. Pictures are resized to the input of the encoder;
    what was not measured in both is shown in the mean color.
    Raises MissingLibraryError without open_clip, and as `lpips` does.
    Sources: A. Radford et al. (ICML 2021); X. Zhai et al. (ICCV 2023); F. Liu et al., RemoteCLIP (TGRS 2024).
    """
    if distance not in ("l1", "cosine"):
        raise OptionError(f"distance={distance!r}: expected 'l1' or 'cosine'.")
    files = _named(weights, "CLIP", f"a checkpoint of open_clip for {model!r}")
    return _compared(sr, hr, (f"clip-{distance}", model, files, device), "clip", bands, limits, at)


PerceptualNetwork: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...], str]
"""The arguments of `kernels.perceptual.build`: kind, name, files with hashes, device."""


def _named(weights: WeightPaths, what: str, files: str) -> tuple[tuple[str, str], ...]:
    if weights is None:
        raise WeightsNotFoundError(
            f"{what} needs weights, and none come with this package: pass weights=, {files}. Nothing is downloaded."
        )
    named = [weights] if isinstance(weights, str | Path) else list(weights)
    paths = [check_path("weights", path, WeightsNotFoundError) for path in named]
    if absent := [str(path) for path in paths if not path.is_file()]:
        raise WeightsNotFoundError(
            f"{what} needs the weights that you name, and {absent} is not a file. Expected: {files}."
        )
    return tuple((str(path.resolve()), sha256_of(path)) for path in paths)


def _compared(
    sr: Image,
    hr: Image,
    network: PerceptualNetwork,
    name: str,
    bands: Sequence[str],
    limits: tuple[float, float],
    at: At,
) -> xr.DataArray:
    check_device(network[3])
    _check(bands, limits, at)
    scenes = together(read(sr, "SR"), read(hr, "HR"))
    check_reference(*scenes)
    shown = [found.name if (found := find_band(band)) else band for band in bands]
    if missing := [band for band in shown if band not in scenes[0].keys]:
        raise MissingBandError(
            f"{name} shows {listed(shown)}; SR and HR share {listed(scenes[0].keys)}, so {listed(missing)} are absent. "
            "Load them, or pass bands= that are there."
        )
    one, other = (scene.select(shown) for scene in scenes)
    height, width = one.shape
    whole = at == "image"
    patch = 0 if whole else int(at)
    layout = Layout((height,), (width,)) if whole else Layout.of(height, width, multiple=patch)
    values = map_images(
        compare_block, [(layout.cut(scene.data), "tbyx") for scene in (one, other)], "tyx",
        Layout((1,), (1,)) if whole else layout.coarser(patch),
        side=(height, width) if whole else (patch, patch), limits=limits, network=network,
    )  # fmt: skip
    attrs = {
        "long_name": f"{name} distance, 0 for equal pictures",
        "xr_sr:network": network[1],
        "xr_sr:weights_sha256": " ".join(sha256 for _, sha256 in network[2]),
        "xr_sr:bands": list(bands),
        "xr_sr:limits": list(limits),
    }
    dims = ("time",) if whole else ("time", "y", "x")
    made = one.wrap(values[:, 0, 0] if whole else values, dims, name=name, at="image" if whole else patch, attrs=attrs)
    return finished(made, one, other)


def _check(bands: Sequence[str], limits: tuple[float, float], at: At) -> None:
    if isinstance(bands, str) or len(bands) != 3:
        raise OptionError(f"bands={bands!r}: expected three, to be shown as red, green and blue.")
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise OptionError(f"limits={limits!r}: expected the reflectance of black and that of white, which is larger.")
    if at != "image" and (isinstance(at, bool) or not isinstance(at, int | np.integer) or at < LEAST_PATCH):
        raise OptionError(f"at={at!r}: expected 'image', or the side of patches in pixels, at least {LEAST_PATCH}.")


def compare_block(
    a: NDArray[Any], b: NDArray[Any], side: tuple[int, int], limits: tuple[float, float], network: PerceptualNetwork
) -> NDArray[np.float64]:
    """Compare the patches of (..., 3, y, x) reflectance: (..., patches along y, along x)."""
    from ..kernels.perceptual import build

    compare = build(*network)
    lead, (height, width) = a.shape[:-3], a.shape[-2:]
    rows, columns = math.ceil(height / side[0]), math.ceil(width / side[1])
    widths = [(0, 0)] * (len(lead) + 1) + [(0, rows * side[0] - height), (0, columns * side[1] - width)]
    stacks = []
    for array in (a, b):
        # What reaches beyond the cube was not measured.
        shown = np.pad((array.astype("float32") - limits[0]) / (limits[1] - limits[0]), widths, constant_values=np.nan)
        cut = shown.reshape(-1, 3, rows, side[0], columns, side[1])
        stacks.append(cut.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 3, *side).astype("float32", copy=False))
    step = max(1, BATCH_PIXELS // (side[0] * side[1]))
    parts = [compare(*(s[start : start + step] for s in stacks)) for start in range(0, len(stacks[0]), step)]
    return np.concatenate(parts).reshape(*lead, rows, columns).astype("float64", copy=False)
