"""From a model to a file of weights whose hash is known: the user's own, one on this machine, or one from the hub.

Reads bytes to hash them and never opens what is in them. Downloads happen in here only, when asked for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..arguments import check_path
from ..errors import ModelError, WeightsError, WeightsHashError, WeightsNotFoundError
from ..spec import ModelSpec, WeightsFile
from . import registry
from .download import BrokenDownload, ResumingDownloader
from .locations import cache_folder, find_file, hub_url, user_folders

__all__ = ["Located", "fetch", "fetch_all", "locate", "sha256_of"]


@dataclass(frozen=True)
class Located:
    """A file of weights on this machine, and the hash of what is in it."""

    path: Path
    sha256: str


def fetch(name: str) -> Located:
    """Bring the weights of a model, by full name or family, to this machine, unless they are here. See `locate`."""
    return fetch_all(name)[0]


def fetch_all(name: str) -> tuple[Located, ...]:
    """Do what `fetch` does for a model of any number of files, and give all of them."""
    spec = registry.get(name)
    return tuple(locate(part) for _, part in spec.parts) or (locate(spec),)


def locate(spec: ModelSpec, weights: str | Path | None = None, *, download: bool = True) -> Located:
    """Find the weights of a model and verify their hash.

    weights: a file, taken as it is, since a fine-tuned network has a hash of its own, which is returned; a folder to
    look in instead of all others; or the name of a model of the catalogue, to take the weights of.
    None: the package, for models whose weights are in it; else the folders of `XR_SR_WEIGHTS`, then the cache, then, if
    `download`, the hub. What is damaged in the cache is downloaded again; a damaged file of the user's is not passed
    over in silence.
    Raises WeightsNotFoundError; WeightsHashError for a file that is not the one that the catalogue names; ModelError if
    the model has no weights; WeightsError if the cache cannot be written.
    """
    if isinstance(weights, str) and weights in (*registry.FAMILIES, *registry.names()):
        spec, weights = registry.get(weights), None
    wanted = spec.weights
    if wanted is None:
        networks = [name for name in registry.names() if registry.get(name).files]
        raise ModelError(f"{spec.name!r} works without weights, so there are none to find. Those of {networks} can be.")
    if weights is not None:
        given = check_path("weights", weights, WeightsNotFoundError)
        if given.is_file():
            return Located(given.resolve(), sha256_of(given))
        return _verified(_search(given, wanted), wanted)

    path, origin = find_file(wanted) or (None, "")
    if path and (origin != "cache" or not download or sha256_of(path) == wanted.sha256):
        return _verified(path, wanted)
    if wanted.home == "package":
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r} are part of the package, and are not there: {wanted.path} beside "
            f"{registry.__file__}. Install the package again."
        )
    if wanted.home == "user":
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r} are not where they were registered, {wanted.path}, nor in a folder of "
            "XR_SR_WEIGHTS. Give the file as weights=, register the model again, or on a cluster bring it to the "
            f"workers: xr_sr.configure(client, models=[{spec.name!r}])."
        )
    if not download:
        raise WeightsNotFoundError(_ways_out(spec, wanted, "it was not asked"))
    return _download(spec, wanted)


def sha256_of(path: Path) -> str:
    """Get the sha256 of a file, as hex; remembered until the size of the file or the time of its change is another."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    if key not in _hashes:
        with path.open("rb") as file:
            _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[key]


_hashes: dict[tuple[str, int, int], str] = {}


def _search(folder: Path, wanted: WeightsFile) -> Path:
    """Look below a folder for the path of a file, or the end of that path: any level of the tree may be given."""
    if not folder.is_dir():
        raise WeightsNotFoundError(
            f"weights={str(folder)!r} is no file, no folder and no model of the catalogue, {list(registry.names())}."
        )
    parts = PurePosixPath(wanted.path).parts
    for start in range(len(parts)):
        if (path := folder.joinpath(*parts[start:])).is_file():
            return path
    raise WeightsNotFoundError(
        f"The folder weights={str(folder)!r} does not hold {wanted.path}. Name the file itself, or another folder."
    )


def _verified(path: Path, wanted: WeightsFile) -> Located:
    found = sha256_of(path)
    if found != wanted.sha256 and wanted.home == "user":
        raise WeightsHashError(
            f"{path} should have sha256 {wanted.sha256}, as it was registered, and has {found}. If it was trained on "
            "since, register it again: xr_sr.register_model(..., replace=True)."
        )
    if found != wanted.sha256:
        raise WeightsHashError(
            f"{path} should have sha256 {wanted.sha256} ({wanted.size} bytes), "
            f"and has {found} ({path.stat().st_size} bytes). If it is damaged, copy it again or remove it; "
            f"if it is a network of your own, name the file itself: weights={str(path)!r}."
        )
    return Located(path.resolve(), found)


def _download(spec: ModelSpec, wanted: WeightsFile) -> Located:
    import pooch
    import requests
    from filelock import FileLock

    cache, hub = cache_folder(), hub_url()
    path = cache / wanted.path
    # The name carries the hash: what is left of another version is never taken for the beginning of this one.
    part = path.with_name(f"{path.name}.{wanted.sha256[:12]}.part")
    source = pooch.create(cache, f"{hub}/", registry={wanted.path: f"sha256:{wanted.sha256}"})
    bring = ResumingDownloader(part, wanted.size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Many processes may start at once on an empty cache: one downloads, the others wait and find its file.
        with FileLock(path.with_name(f"{path.name}.lock")):
            resumed = part.exists()
            try:
                source.fetch(wanted.path, downloader=bring)
            except ValueError:
                if not resumed:
                    raise
                # Another hash, says pooch, and keeps nothing: a damaged beginning cannot spoil the second try.
                source.fetch(wanted.path, downloader=bring)
    except (BrokenDownload, requests.RequestException) as error:
        raise WeightsNotFoundError(_ways_out(spec, wanted, _reason(error))) from error
    except ValueError as error:
        raise WeightsHashError(
            f"{hub}/{wanted.path} is not the file that the catalogue names: {error} "
            "Try later, set XR_SR_HUB to another hub, or give the file as weights=."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"The cache {cache} cannot be written ({error}). Make room, or set XR_SR_CACHE to another folder."
        ) from error
    return _verified(path, wanted)


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "it does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return f"there is no connection: {type(error).__name__}"
    return str(error)


def _ways_out(spec: ModelSpec, wanted: WeightsFile, reason: str) -> str:
    folders = ", ".join(map(str, (*user_folders(), cache_folder())))
    return (
        f"The weights of {spec.name!r} ({wanted.path}) are not in {folders}, nor did they come from {hub_url()} "
        f"({reason}): give the file or its folder as weights=, name a folder that holds it in XR_SR_WEIGHTS, or set "
        f"XR_SR_HUB to a hub in reach (or run `xr-sr fetch {spec.name}` on a machine with network and bring its cache)."
    )
