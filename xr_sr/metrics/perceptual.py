"""Perceptual distances between two cubes, LPIPS and CLIP, for whole images or patch by patch.

The networks are behind a door of `kernels`, their weights in files that the user names; nothing is downloaded. Both
were trained on photographs of everyday things: they rank what looks alike, and are no measure of reflectance. LPIPS is
our own since `lpips` and torchmetrics both need torchvision (the first at import, the second when called).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..arguments import check_path, renamed
from ..catalog.fetch import sha256_of
from ..cube.grid import coords
from ..cube.select import AnyCube, Cube, pick, recognise
from ..errors import CubeError, GeoreferenceWarning, GridError, OptionError, RadiometryError, WeightsNotFoundError
from ..runtime.device import check_device

__all__ = ["clip_distance", "lpips"]

Weights: TypeAlias = "str | Path | Sequence[str | Path] | None"
At: TypeAlias = "Literal['image'] | int"

TRUE_COLOUR = ("B04", "B03", "B02")

LEAST_PATCH = 16
"""Smallest patch in pixels: below, nothing of a picture is left to be perceived."""

BLOCK = 512
"""Side in pixels of what one task does, where patches are smaller."""

BATCH_PIXELS = 2**20
"""Pixels that go through the network at once, where a patch is smaller."""


@renamed(a="sr", b="hr")
def lpips(
    sr: AnyCube,
    hr: AnyCube,
    *,
    weights: Weights = None,
    net: Literal["squeeze", "alex", "vgg"] = "alex",
    bands: Sequence[str] = TRUE_COLOUR,
    limits: tuple[float, float] = (0.0, 1.0),
    at: At = "image",
    device: str = "auto",
) -> xr.DataArray:
    """Measure the learned perceptual distance (LPIPS) between two cubes on one grid; 0 for equal pictures.

    sr, hr: reflectance, NaN where nothing was measured; other dimensions than band, y and x are kept.
    weights: the file of the network, as its authors name the tensors; or two files, the backbone as torchvision
        publishes it and the heads as the authors of LPIPS do (such as "alexnet-owt-7be5be79.pth" and "alex.pth").
    net: the backbone that the files hold. bands: shown as red, green and blue.
    limits: reflectance of black and of white. 0 and 1 as in opensr-test; (0, 0.3) is what eyes are shown.
    at: "image" for one number per image, or the side of square patches in pixels, at least 16, counted from the first
        pixel; the last ones may reach beyond the cube. Images and patches of less than 64 pixels are enlarged to that.

    Returns (..., ) or (..., y, x) float64, lazy where one of the cubes is, the same for any chunking. Places count by
    the share of them that was measured in both; NaN where nothing was. An image goes through the network as a whole:
    prefer patches for scenes (about 1 GB per 4096 x 4096 pixels with alex, four times that with vgg).
    Raises WeightsNotFoundError without weights; GridError for two grids; RadiometryError for integers; OptionError.
    Source: R. Zhang et al. (CVPR 2018), version 0.1.
    """
    if net not in ("squeeze", "alex", "vgg"):
        raise OptionError(f"net={net!r}: wanted 'squeeze', 'alex' or 'vgg'.")
    files = _named(weights, "LPIPS", "its authors' file, or [torchvision's backbone, the authors' heads]")
    return _compared(sr, hr, ("lpips", net, files, device), "lpips", bands, limits, at)


@renamed(a="sr", b="hr")
def clip_distance(
    sr: AnyCube,
    hr: AnyCube,
    *,
    weights: Weights = None,
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
    what was not measured in both is shown in the mean colour.
    Raises MissingLibraryError without open_clip, and as `lpips` does.
    Sources: A. Radford et al. (ICML 2021); X. Zhai et al. (ICCV 2023); F. Liu et al., RemoteCLIP (TGRS 2024).
    """
    if distance not in ("l1", "cosine"):
        raise OptionError(f"distance={distance!r}: wanted 'l1' or 'cosine'.")
    files = _named(weights, "CLIP", f"a checkpoint of open_clip for {model!r}")
    return _compared(sr, hr, (f"clip-{distance}", model, files, device), "clip", bands, limits, at)


Network: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...], str]
"""The arguments of `kernels.perceptual.build`: kind, name, files with hashes, device."""


def _named(weights: Weights, what: str, files: str) -> tuple[tuple[str, str], ...]:
    """Return paths and hashes of the files that the user names."""
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
    a: AnyCube, b: AnyCube, network: Network, name: str, bands: Sequence[str], limits: tuple[float, float], at: At
) -> xr.DataArray:
    """Run a comparer over images or patches, lazily where one of the cubes is lazy."""
    check_device(network[3])
    _check(bands, limits, at)
    (one, cube), (other, second) = (_picture(obj, bands, name) for obj in (a, b))
    _check_grids(cube, second)
    y, x = cube.y, cube.x
    other = other.rename({second.y: y, second.x: x}).drop_vars([y, x], errors="ignore")
    places = [coord for coord in (*cube.source.coords, y, x) if coord in one.coords and {y, x} & set(one[coord].dims)]
    one = one.drop_vars(places)
    lead = [dim for dim in dict.fromkeys((*one.dims, *other.dims)) if dim not in ("rgb", y, x)]
    try:
        one, other = xr.broadcast(*xr.align(one, other, join="exact"))
    except ValueError as error:
        raise CubeError(
            f"{name}: the two cubes differ along other dimensions: {error} Select the same first."
        ) from error
    one, other = (array.transpose(*lead, "rgb", y, x) for array in (one, other))
    height, width = one.shape[-2:]
    side = (height, width) if at == "image" else (int(at), int(at))

    values = _values(one.data, other.data, side, limits, network)
    kept = {key: coord for key, coord in one.coords.items() if "rgb" not in coord.dims}
    attrs = {
        "long_name": f"{name} distance, 0 for equal pictures",
        "xr_sr:network": network[1],
        "xr_sr:weights_sha256": " ".join(sha256 for _, sha256 in network[2]),
        "xr_sr:bands": list(bands),
        "xr_sr:limits": list(limits),
    }
    if at == "image":
        return xr.DataArray(values[..., 0, 0], kept, lead, name, attrs)
    affine = cube.geobox.affine @ Affine.scale(side[1], side[0])
    geobox = GeoBox(values.shape[-2:], affine, cube.geobox.crs)
    kept |= dict(coords(geobox, cube.crs_name, dims=(y, x)))
    return xr.DataArray(values, kept, (*lead, y, x), name, attrs)


def _check(bands: Sequence[str], limits: tuple[float, float], at: At) -> None:
    if isinstance(bands, str) or len(bands) != 3:
        raise OptionError(f"bands={bands!r}: wanted three, to be shown as red, green and blue.")
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise OptionError(f"limits={limits!r}: wanted the reflectance of black and that of white, which is larger.")
    if at != "image" and (isinstance(at, bool) or not isinstance(at, int | np.integer) or at < LEAST_PATCH):
        raise OptionError(f"at={at!r}: wanted 'image', or the side of patches in pixels, at least {LEAST_PATCH}.")


def _picture(obj: AnyCube, bands: Sequence[str], reader: str) -> tuple[xr.DataArray, Cube]:
    """Return (..., rgb, y, x) reflectance of three bands, and the cube that they are from."""
    with warnings.catch_warnings():
        # Two arrays can be compared wherever they lie.
        warnings.simplefilter("ignore", GeoreferenceWarning)
        cube = recognise(obj)
    planes = pick(cube, bands, reader=reader)
    cuts = [
        plane.array if plane.index is None else plane.array.isel({cube.band_dim: plane.index}, drop=True)
        for plane in planes
    ]
    if kinds := {str(cut.dtype) for cut in cuts if cut.dtype.kind != "f"}:
        raise RadiometryError(
            f"{reader} reads reflectance; the cube holds {sorted(kinds)}. Convert it first: xr_sr.reflectance(cube)."
        )
    picture = xr.concat(cuts, dim="rgb", coords="minimal", compat="override", join="exact", combine_attrs="drop")
    return picture.transpose(*cube.lead, "rgb", cube.y, cube.x), cube


def _check_grids(one: Cube, other: Cube) -> None:
    """Raise GridError unless two cubes lie on one grid, to a hundredth of a pixel."""
    strays = ~one.geobox.affine @ other.geobox.affine
    same = one.geobox.shape == other.geobox.shape and one.geobox.crs == other.geobox.crs
    if not same or not strays.almost_equals(Affine.identity(), 1e-2):
        raise GridError(
            f"the two cubes must lie on one grid; they have {one.geobox.shape} and {other.geobox.shape} pixels, "
            f"{one.geobox.crs} and {other.geobox.crs}. Reproject one to the grid of the "
            "other: hr.odc.reproject(sr.odc.geobox)."
        )


def _values(a: Any, b: Any, side: tuple[int, int], limits: tuple[float, float], network: Network) -> Any:
    """Compare (..., 3, y, x) with (..., 3, y, x), block by block where one is of dask: (..., patches, patches)."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return compare_block(a, b, side, limits, network)
    import dask.array as da

    shape = a.shape
    cuts = [_cuts(length, part) for length, part in zip(shape[-2:], side, strict=True)]
    ones = [(1,) * length for length in shape[:-3]]
    a, b = (da.asarray(array).rechunk((*ones, (3,), *cuts)) for array in (a, b))
    counts = [tuple(math.ceil(cut / part) for cut in axis) for axis, part in zip(cuts, side, strict=True)]
    return da.map_blocks(
        compare_block,
        a,
        b,
        side,
        limits,
        network,
        dtype="float64",
        chunks=(*ones, *counts),
        drop_axis=len(shape) - 3,
        meta=np.empty((0,) * (len(shape) - 1), "float64"),
    )


def _cuts(length: int, side: int) -> tuple[int, ...]:
    """Cut an axis into blocks of whole patches."""
    step = side * max(1, BLOCK // side)
    return tuple(min(step, length - start) for start in range(0, length, step))


def compare_block(
    a: NDArray[Any], b: NDArray[Any], side: tuple[int, int], limits: tuple[float, float], network: Network
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
