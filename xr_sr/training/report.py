"""What a training run gave: how close a network is to its teacher, and the curve that led there.

Numbers, tables and pictures; what the numbers must be is not said here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import TrainingError
from ..optional import require
from .journal import OWN_COLUMNS, read_log
from .scenes import FloatArray
from .teacher import Teacher

__all__ = ["apply", "closeness", "plot_log"]

BORDER = 10
"""Input pixels at the edge of a scene that are not measured; more where a teacher or network reaches further."""


def apply(network: nn.Module, lr: FloatArray) -> FloatArray:
    """Run a network without padding over a whole scene: (band, y, x) to (band, (y - 2 consumed) * scale, ...)."""
    with torch.no_grad():
        parameter = next(network.parameters())
        image = torch.from_numpy(np.ascontiguousarray(lr[None], "float32")).to(parameter.device)
        fine: FloatArray = network(image.contiguous(memory_format=torch.channels_last))[0].cpu().numpy()
    return fine


def closeness(
    network: nn.Module, lr: FloatArray, teacher_sr: FloatArray, bicubic: Teacher, bands: slice = slice(None)
) -> float:
    """Measure how far a network is from its teacher, against bicubic: rms(sr - teacher) / rms(bicubic - teacher).

    lr: (band, y, x) reflectance without NaN. teacher_sr: (band, (y - 2 h) scale, ...), what the teacher gives with its
    context of h pixels. Both after their constraints, which for bicubic changes nothing; `BORDER` input pixels are left
    out. bicubic: `Teacher("bicubic", scale=...)`, at the network's scale. bands: which are measured, together. 1 is
    bicubic, 0 the teacher. Raises TrainingError where these two are one, or NaN.
    """
    size = (lr.shape[-2], lr.shape[-1])
    images = (apply(network, lr), teacher_sr, bicubic(lr[None])[0])
    own, wanted, plain = (image[bands] for image in images)
    return distance(own, wanted, plain, size, scale=bicubic.spec.scale)


def distance(
    sr: FloatArray, teacher_sr: FloatArray, bicubic_sr: FloatArray, size: tuple[int, ...], *, scale: int
) -> float:
    """Measure `closeness` of images (band, ...) whose centres are the scene's. size: (y, x) of the scene."""
    images = (sr, teacher_sr, bicubic_sr)
    reach = max((size[0] - image.shape[-2] // scale) // 2 for image in images)
    own, wanted, plain = (_inner(image, size, scale, max(BORDER, reach)) for image in images)
    far = float(np.sqrt(np.square(plain - wanted, dtype="float64").mean()))
    if not far > 0:  # NaN too
        raise TrainingError(
            f"The teacher gives what bicubic gives, {far} apart, so there is nothing to be near to; wanted is a place "
            "with detail, valid everywhere."
        )
    return float(np.sqrt(np.square(own - wanted, dtype="float64").mean())) / far


def _inner(image: FloatArray, size: tuple[int, ...], scale: int, border: int) -> FloatArray:
    """Cut an image whose centre is the scene's down to what is `border` input pixels from the scene's edge."""
    rows, columns = ((length - 2 * border) * scale for length in size)
    top, left = (image.shape[-2] - rows) // 2, (image.shape[-1] - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def plot_log(folder: str | Path, path: str | Path) -> None:
    """Draw the log of a run: loss, and each number that was measured on held-out scenes, over minutes.

    Raises TrainingError where the folder has no log, MissingLibraryError without matplotlib (the extra `train`).
    """
    pyplot = require("matplotlib.pyplot", extra="train")
    rows = read_log(Path(folder) / "log.csv")
    if not rows:
        raise TrainingError(f"{Path(folder) / 'log.csv'} has no row; wanted is the folder of a run that has told one.")
    names = [name for name in rows[0] if name not in OWN_COLUMNS]
    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    minutes = [float(row["seconds"]) / 60 for row in rows]
    axis.plot(minutes, [float(row["loss"]) for row in rows], color="0.75", linewidth=0.8, label="loss")
    for name in names:
        told = [(minute, float(row[name])) for minute, row in zip(minutes, rows, strict=True) if row[name]]
        axis.plot(*zip(*told, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="minutes", yscale="log")
    axis.legend(fontsize="small")
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
