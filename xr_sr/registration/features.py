"""Estimate the shift between two images from matched points: DISK keypoints, matched by LightGlue, both of kornia.

For images that differ too much for correlation. Weights are files that the user names; nothing is downloaded here.
Sources: Tyszkiewicz et al. 2020, arXiv:2006.13566 (DISK); Lindenberger et al. 2023, arXiv:2306.13643 (LightGlue).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..arguments import check_path
from ..catalog.states import read_tensors
from ..errors import WeightsFormatError, WeightsNotFoundError
from ..optional import require
from .warping import FloatArray

Weights: TypeAlias = "Mapping[str, str | PathLike[str]]"

NAMES = ("disk", "lightglue")
LEAST_MATCHES = 8
INLIER = 1.5
"""Pixels from the median within which a match counts."""


def shift_by_features(moving: FloatArray, reference: FloatArray, weights: Weights | None) -> tuple[float, float]:
    """Find the shift (dy, dx) in pixels that most matched points agree on; NaN, NaN where fewer than 8 do.

    moving, reference: (band, y, x), NaN where nothing is known. weights: files of state dicts, {"disk": path,
    "lightglue": path}, such as the authors' depth-save.pth and disk_lightglue.pth, or safetensors.
    Raises MissingLibraryError without kornia; WeightsNotFoundError, WeightsFormatError.
    """
    paths = checked_paths(weights)
    require("kornia", extra="align")
    features = import_module("kornia.feature")
    detector, matcher = _networks(features, *paths)
    here, there = _matches(detector, matcher, picture(moving), picture(reference))
    return agreed_shift(here, there)


def checked_paths(weights: Weights | None) -> tuple[str, str]:
    """Return the files of DISK and LightGlue; raises WeightsNotFoundError if one is not named or not there."""
    named = {name: check_path("weights", path, WeightsNotFoundError) for name, path in dict(weights or {}).items()}
    missing = [name for name in NAMES if name not in named or not named[name].is_file()]
    if missing or set(named) - set(NAMES):
        raise WeightsNotFoundError(
            "method='features' reads two files of weights, weights={'disk': path, 'lightglue': path}; found were "
            f"{ {name: str(path) for name, path in named.items()} }, so {' and '.join(missing or ['another name'])} "
            "is missing or no file. They are published as depth-save.pth (DISK) and disk_lightglue.pth (LightGlue); "
            "method='phase' needs none."
        )
    disk, lightglue = (str(named[name].resolve()) for name in NAMES)
    return disk, lightglue


def picture(image: FloatArray) -> NDArray[np.float32]:
    """Make three channels (channel, y, x) between 0 and 1 of an image (band, y, x), as the networks have learned them.

    The mean of the bands, its 2nd to 98th percentile stretched, three times; NaN becomes the median.
    """
    mean = np.asarray(image, np.float64).mean(axis=0)
    known = mean[np.isfinite(mean)]
    if not known.size:
        return np.zeros((3, *mean.shape), np.float32)
    low, middle, high = np.percentile(known, [2, 50, 98])
    filled = np.where(np.isfinite(mean), mean, middle)
    stretched = np.clip((filled - low) / max(high - low, 1e-12), 0, 1).astype(np.float32)
    return np.repeat(stretched[None], 3, axis=0)


def agreed_shift(here: NDArray[np.floating[Any]], there: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return the shift (dy, dx) that most pairs of points (point, yx) agree on: the mean of those near the median."""
    steps = np.asarray(there, np.float64) - np.asarray(here, np.float64)
    if len(steps) < LEAST_MATCHES:
        return math.nan, math.nan
    near = np.linalg.norm(steps - np.median(steps, axis=0), axis=1) <= INLIER
    if near.sum() < LEAST_MATCHES:
        return math.nan, math.nan
    dy, dx = steps[near].mean(axis=0)
    return float(dy), float(dx)


@lru_cache(maxsize=2)
def _networks(features: Any, disk_path: str, lightglue_path: str) -> tuple[Any, Any]:
    detector, matcher = features.DISK(), features.LightGlue(None, input_dim=128)
    state = _state(disk_path)
    _load(detector, state.get("extractor", state), disk_path)
    # The authors' file numbers its layers another way round than kornia's module, and has no thresholds for stopping
    renamed = {_renamed(name): value for name, value in _state(lightglue_path).items()}
    kept = {name: value for name, value in matcher.state_dict().items() if name == "confidence_thresholds"}
    _load(matcher, kept | renamed, lightglue_path)
    return detector.eval(), matcher.eval()


def _renamed(name: str) -> str:
    """Convert "self_attn.3.Wqkv.weight" into "transformers.3.self_attn.Wqkv.weight"."""
    kind, _, rest = name.partition(".")
    if kind not in ("self_attn", "cross_attn"):
        return name
    number, _, rest = rest.partition(".")
    return f"transformers.{number}.{kind}.{rest}"


def _state(path: str) -> dict[str, Any]:
    """Read a state dict without running anything that is in the file."""
    suffix = Path(path).suffix
    try:
        state = read_tensors(Path(path).read_bytes(), suffix if suffix == ".safetensors" else ".pth")
    except (OSError, ValueError) as error:
        raise WeightsFormatError(f"{path} is not a weight file that can be read safely: {error}.") from None
    if not isinstance(state, Mapping):
        raise WeightsFormatError(f"{path} holds no state dict: expected names with tensors.")
    return dict(state)


def _load(network: Any, state: Mapping[str, Any], path: str) -> None:
    """Load the weights of a network, none more and none less."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise WeightsFormatError(f"{path} holds another network than {type(network).__name__}: {error}") from error


def _matches(
    detector: Any, matcher: Any, moving: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matched points of two pictures as (point, yx)."""
    import torch

    with torch.inference_mode():
        images = torch.from_numpy(np.stack([moving, reference]))
        one, other = detector(images, n=2048, pad_if_not_divisible=True)
        size = torch.tensor([[images.shape[-1], images.shape[-2]]])
        found = matcher(
            {
                name: {
                    "keypoints": points.keypoints[None],
                    "descriptors": points.descriptors[None],
                    "image_size": size,
                }
                for name, points in (("image0", one), ("image1", other))
            }
        )
        pairs = found["matches"][0]
        here, there = one.keypoints[pairs[:, 0]], other.keypoints[pairs[:, 1]]
    return here.flip(-1).double().numpy(), there.flip(-1).double().numpy()  # (x, y) to (y, x)
