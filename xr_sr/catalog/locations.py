"""Where weights may lie on this machine, and where they come from. Looks for files, reads none."""

from __future__ import annotations

import os
from pathlib import Path

from ..spec import WeightsFile

__all__ = ["cache_folder", "find_file", "hub_url", "sent_file", "user_folders"]

HUB = "https://huggingface.co/tacofoundation/SEN2SR/resolve/main"
"""The authors' own place; `XR_SR_HUB` names another one with the same layout, such as a mirror inside a cluster."""


def user_folders() -> tuple[Path, ...]:
    """Return the folders of `XR_SR_WEIGHTS`, in order; several are separated as in PATH."""
    named = os.environ.get("XR_SR_WEIGHTS", "").split(os.pathsep)
    return tuple(Path(folder).expanduser() for folder in named if folder)


def cache_folder() -> Path:
    """Get the folder that downloads go to: `XR_SR_CACHE`, else the user's cache on this system. It need not exist."""
    if named := os.environ.get("XR_SR_CACHE"):
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("xr_sr"))


def sent_file(sha256: str, suffix: str) -> Path:
    """Return the place in the cache of a file that a client sent to this worker and that no catalogue knows."""
    return cache_folder() / "sent" / f"{sha256}{suffix}"


def hub_url() -> str:
    """Return the base URL of downloads: `XR_SR_HUB`, else the authors' hub."""
    return (os.environ.get("XR_SR_HUB") or HUB).rstrip("/")


def find_file(weights: WeightsFile) -> tuple[Path, str] | None:
    """Return the first file of this path, and what led to it, such as "XR_SR_WEIGHTS" or "cache"; None without one.

    By name only: whether it is the right file is for `fetch.locate` to say, which takes its hash. Weights of the
    package are in the package ("package"), and nothing else stands in for them. A user's own file is where he
    registered it ("file"), or lies by its bare name in a folder of `XR_SR_WEIGHTS`.
    """
    if weights.home == "package":
        path = Path(__file__).with_name(weights.path)
        return (path, "package") if path.is_file() else None
    if weights.home == "user":
        own = Path(weights.path)
        places = [(own, "file"), *((folder / own.name, "XR_SR_WEIGHTS") for folder in user_folders())]
        return next(((path, origin) for path, origin in places if path.is_file()), None)
    for folder in user_folders():
        if (path := folder / weights.path).is_file():
            return path, "XR_SR_WEIGHTS"
    path = cache_folder() / weights.path
    return (path, "cache") if path.is_file() else None
