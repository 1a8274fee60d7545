"""Initialize a network of more channels with the function of one of fewer.

Source: T. Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer" (ICLR 2016), in its simplest
form: new channels read the image from the first step, and no known channel reads a new one.
"""

from __future__ import annotations

from typing import TypeVar

import torch

from xr_sr.errors import ModelError
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanCoarse

Network = TypeVar("Network", bound=LeanSPAN | LeanCoarse)


def widened(narrow: LeanSPAN | LeanCoarse, wide: Network) -> Network:
    """Initialize `wide` in place, so that it computes what `narrow` does, which has as many channels or fewer.

    Its other channels keep their initial weights; only the weights by which known channels read them
    become zero, so that they learn from the first step on. Raises ModelError for networks that do not fit.
    """
    old, new = narrow.features.out_channels, wide.features.out_channels
    if old > new or type(narrow) is not type(wide):
        raise ModelError(
            f"the initial weights are of a {type(narrow).__name__} of {old} channels; expected a {type(wide).__name__} "
            f"of at most {new}. Pass other weights, or train {old} channels."
        )
    found, wanted = _form(narrow), _form(wide)
    if found != wanted:
        raise ModelError(
            f"the initial weights map {found[0]} bands to {found[1]}, {found[2]} times finer; expected {wanted[0]} "
            f"bands to {wanted[1]}, {wanted[2]} times finer. Pass other weights."
        )
    known = narrow.state_dict()
    with torch.no_grad():
        for key, mine in wide.state_dict().items():
            theirs = known[key]
            if theirs.ndim == 1:  # a bias
                mine[: len(theirs)] = theirs
            elif key == "features.weight":  # reads bands
                mine[:old] = theirs
            else:  # reads channels: `gather` of four images one after the other, the others of one
                read, images = mine.unflatten(1, (-1, new)), theirs.unflatten(1, (-1, old))
                read[: len(theirs), :, old:] = 0
                read[: len(theirs), :, :old] = images
    return wide


def _form(network: LeanSPAN | LeanCoarse) -> tuple[int, int, int]:
    """Return how many bands a network reads and returns, and its scale."""
    return network.features.in_channels, network.tail.out_channels // network.upscale**2, network.upscale
