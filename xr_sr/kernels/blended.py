"""The constraint for models that work on windows: it is put on what the windows were blended to, block by block.

Local models have it inside their kernel, `window`, where the context is computed along with the rest.
"""

from __future__ import annotations

from functools import cache

import torch

from ..runtime.device import settle_threads
from ..spec import LowPass, RadialSigmoid
from .constrain import Constraint, constraint_of
from .protocol import FloatArray
from .window import from_tensor, to_tensor


def constrain_block(low_pass: LowPass | RadialSigmoid, scale: int, fine: FloatArray, coarse: FloatArray) -> FloatArray:
    """Do what `kernels.constrain_blend` says, using up `fine`."""
    settle_threads()
    constraint = _constraint(low_pass, scale)
    with torch.inference_mode():
        upscaled = to_tensor(fine)
        source = to_tensor(coarse).to(upscaled.device, torch.float32)
        n, bands, height, width = upscaled.shape
        margin = 2 * constraint.margin
        out = torch.empty(n, bands, height - margin, width - margin, device=upscaled.device)
        constraint.apply(upscaled, source, out)
        return from_tensor(out, fine)


@cache
def _constraint(low_pass: LowPass | RadialSigmoid, scale: int) -> Constraint:
    return constraint_of(low_pass, scale)
