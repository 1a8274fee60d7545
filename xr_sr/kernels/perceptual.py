"""Compare pictures by networks, built once per process: LPIPS, and the image encoders of open_clip.

A comparer returns the distance of each pair of two stacks of pictures. Weights are read from files of the user without
executing anything in them. Cubes, patches and laziness are handled in `metrics.perceptual`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..errors import OptionError
from ..networks.detect import load_strict
from ..networks.lpips import LPIPS
from ..optional import require
from ..runtime.device import resolve_device, settle_threads
from .predictors import read_state

if TYPE_CHECKING:
    from ..networks.lpips import Net

Pictures = NDArray[np.float32]
"""(n, 3, y, x) red, green, blue; 0 is black, 1 is white, NaN is nodata."""


class Comparer(Protocol):
    """A deterministic function of two stacks of pictures, safe to call from several threads."""

    def __call__(self, a: Pictures, b: Pictures) -> NDArray[np.float64]:
        """Return the distances (n,); NaN for a pair that shares no valid pixel."""


def build(kind: str, name: str, files: Sequence[tuple[str, str]], device: str = "auto") -> Comparer:
    """Return a comparer, built once per process and device.

    kind: "lpips", with name "squeeze", "alex" or "vgg"; "clip-l1" or "clip-cosine", with the name of a model of
    open_clip. files: paths and their sha256.
    Raises WeightsError if a file cannot be read or holds another network.
    """
    settle_threads()
    key = (kind, name, tuple(files), resolve_device(device))
    if key[3].startswith("cuda"):
        # TF32, cuDNN's default for float32, keeps 10 bits of the mantissa, and these are differences.
        torch.backends.cudnn.allow_tf32 = False
    with _lock:
        if key not in _comparers:
            make = _Lpips if kind == "lpips" else _Clip
            _comparers[key] = make(kind, name, key[2], key[3])
        return _comparers[key]


_lock = threading.Lock()
_comparers: dict[tuple[Any, ...], Comparer] = {}


class _Lpips:
    def __init__(self, kind: str, name: str, files: Sequence[tuple[str, str]], device: str) -> None:
        self.device = device
        network = LPIPS(cast("Net", name))
        # The scaling is made of constants, which files of heads alone leave out.
        state = {key: value for key, value in network.state_dict().items() if key.startswith("scaling_layer.")}
        for path, sha256 in files:
            state |= _authors_names(read_state(Path(path), sha256), network)
        self.network = _loaded(network, state, files, f"LPIPS with net={name!r}").to(device)

    def __call__(self, a: Pictures, b: Pictures) -> NDArray[np.float64]:
        one, other, valid = _tensors(a, b, self.device)
        # Nodata in one of the two: both are set equal, so that nothing differs there.
        one, other = (torch.where(valid, x, torch.full_like(x, 0.5)) * 2 - 1 for x in (one, other))
        weight = None if valid.all() else valid.to(one.dtype)
        with torch.no_grad():
            return self.network(one, other, weight).double().cpu().numpy()  # type: ignore[no-any-return]


class _Clip:
    def __init__(self, kind: str, name: str, files: Sequence[tuple[str, str]], device: str) -> None:
        open_clip: Any = require("open_clip", extra="clip")
        if name not in open_clip.list_models():
            raise OptionError(f"model={name!r}: open_clip has no such model; see open_clip.list_models().")
        self.device, self.cosine = device, kind == "clip-cosine"
        network: nn.Module = open_clip.create_model(name, pretrained=None)
        state: dict[str, Tensor] = {}
        for path, sha256 in files:
            found = read_state(Path(path), sha256)
            state |= {key.removeprefix("module."): value for key, value in found.items()}
        self.network: Any = _loaded(network, state, files, f"open_clip's {name!r}").to(device)
        visual: Any = network.visual
        side = visual.image_size
        self.size = (side, side) if isinstance(side, int) else tuple(side)
        self.mean, self.std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in _colors(visual))

    def __call__(self, a: Pictures, b: Pictures) -> NDArray[np.float64]:
        one, other, valid = _tensors(a, b, self.device)
        with torch.no_grad():
            first, second = (self._embedded(torch.where(valid, x, self.mean)) for x in (one, other))
        if self.cosine:
            distance = 1 - functional.cosine_similarity(first, second, dim=-1)
        else:
            distance = (first - second).abs().mean(dim=-1)
        distance[~valid.flatten(1).any(dim=1)] = torch.nan
        return distance.cpu().numpy()

    def _embedded(self, x: Tensor) -> Tensor:
        """Return the embeddings (n, channels) of pictures resampled to the size that the encoder reads."""
        x = x.clamp(0, 1)
        if x.shape[-2:] != self.size:
            x = functional.interpolate(x, size=self.size, mode="bilinear", antialias=True)
        embedded: Tensor = self.network.encode_image((x - self.mean) / self.std)
        return embedded.double()


def _tensors(a: Pictures, b: Pictures, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return both as tensors, and where both are valid (n, 1, y, x)."""
    one, other = (torch.from_numpy(np.ascontiguousarray(x, dtype="float32")).to(device) for x in (a, b))
    valid = (torch.isfinite(one) & torch.isfinite(other)).all(dim=1, keepdim=True)
    return one, other, valid


def _colors(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and standard deviation of the colors that an encoder was trained on."""
    mean, std = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    return mean or (0.48145466, 0.4578275, 0.40821073), std or (0.26862954, 0.26130258, 0.27577711)


def _authors_names(state: dict[str, Tensor], network: LPIPS) -> dict[str, Tensor]:
    """Rename the keys of torchvision's classifiers to those of LPIPS, and leave out what LPIPS does not read."""
    renamed = {}
    for key, value in state.items():
        layer = ".".join(key.split(".")[:2])
        if layer in network.net.names:
            key = f"net.{network.net.names[layer]}{key.removeprefix(layer)}"
        # `lins` repeats the heads under a second name; the classifier comes after the features.
        if not key.startswith(("lins.", "classifier.")):
            renamed[key] = value
    return renamed


def _loaded(network: nn.Module, state: dict[str, Tensor], files: Sequence[tuple[str, str]], what: str) -> nn.Module:
    """Load a state dict with no key missing or left over."""
    problem = f"{[path for path, _ in files]} do not hold {what}"
    load_strict(network, state, problem, "Pass the files of this network.")
    return network.eval().requires_grad_(False)
