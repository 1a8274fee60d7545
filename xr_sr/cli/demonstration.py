"""`xr-sr demo`: the sample scene, upscaled, stored, and drawn beside its input."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..catalog import registry
from ..datasets.scenes import sample
from ..errors import MissingLibraryError, StoreError
from ..io.zarr import open_zarr, to_zarr
from ..pipeline.api import upscale
from ..plot import compare
from .run import describe

MODEL = "sen2sr"

WINDOW = (344_020, 5_819_760, 345_300, 5_821_040)
"""The part that is drawn, (left, bottom, right, top) in EPSG:32633: a village, the end of a lake, fields."""


def run_demo(folder: Path, *, progress: bool | None, say: Callable[[str], object]) -> None:
    """Write `havel.zarr` and `havel.png` to a folder, and say what was done.

    Raises StoreError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}.") from error
    scene = sample("havel")["r10m"]
    say(f"Model: {registry.get(MODEL).name}, weights inside the package")
    begin = time.perf_counter()
    fine = upscale(scene, MODEL)
    store = folder / "havel.zarr"
    to_zarr(fine, str(store), overwrite=True, progress=progress)
    say(f"{store}: {describe(fine)}; {time.perf_counter() - begin:.1f} s")
    try:
        figure = compare(open_zarr(str(store)), scene, window=WINDOW, difference="consistency")
    except MissingLibraryError as error:
        say(f"No picture: {error}.")
        return
    picture = folder / "havel.png"
    try:
        figure.savefig(picture)
    except OSError as error:
        raise StoreError(f"{picture} cannot be written: {error.strerror}.") from error
    say(f"{picture}: LR, bicubic and SR of a part of it, and what each says when averaged back to 10 m")
