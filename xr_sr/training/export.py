"""From a trained network to a file of weights that says what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from ..errors import OptionError
from .journal import replace_file

__all__ = ["save_weights"]


def save_weights(network: nn.Module, path: str | Path, card: Mapping[str, Any]) -> Path:
    """Write the weights of a network as safetensors, with a card that says how they came to be, atomically.

    card: whatever JSON can hold, such as data, licences, seed, steps, commit, and what it must not be used for. Equal
    weights and cards give equal bytes. Read it with `safetensors.safe_open(path, "pt").metadata()["card"]`. Folders are
    made; tensors that the network holds twice are written twice. Raises OptionError for the suffix of another format
    and for a card that JSON cannot hold.
    """
    path = Path(path)
    if path.suffix in (".pt", ".pth", ".ckpt"):
        raise OptionError(
            f"{path.name!r} would be read as a file of torch, and is safetensors; wanted is "
            f"{path.with_suffix('.safetensors').name!r}."
        )
    try:
        told = json.dumps(card, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"card= holds what JSON cannot: {error}. Wanted are texts, numbers, lists and dicts."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    # One entry: several would stand in no particular order, and the same weights would have another hash.
    replace_file(path, save(tensors, {"card": told}))
    return path
