"""Find the weights of a model on this machine, or download them, and verify their hash.

Bytes are read to hash them; nothing in them is opened. Downloads happen only here, and only if requested. They resume
where a connection dropped, which pooch's own downloader does not do: it begins at zero each time.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..arguments import check_path
from ..errors import ModelError, WeightsError, WeightsHashError, WeightsNotFoundError
from ..optional import require
from ..spec import WeightsFile
from . import registry
from .models import Model, Network

if TYPE_CHECKING:
    from requests import Response

HUB = "https://huggingface.co/tacofoundation/SEN2SR/resolve/main"
"""The authors' hub; `XR_SR_HUB` is another one with the same layout, such as a mirror inside a cluster."""


def user_folders() -> tuple[Path, ...]:
    """Return the folders of `XR_SR_WEIGHTS`, in order; several are separated as in PATH."""
    named = os.environ.get("XR_SR_WEIGHTS", "").split(os.pathsep)
    return tuple(Path(folder).expanduser() for folder in named if folder)


def cache_folder() -> Path:
    """Return the folder of downloads: `XR_SR_CACHE`, else the user's cache on this system. It need not exist."""
    if named := os.environ.get("XR_SR_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local"), "xr_sr", "xr_sr", "Cache")
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/xr_sr"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "xr_sr")


def sent_file(sha256: str, suffix: str) -> Path:
    """Return the path in the cache of a file that a client sent to this worker and that is in no registry."""
    return cache_folder() / "sent" / f"{sha256}{suffix}"


def hub_url() -> str:
    """Return the base URL of downloads: `XR_SR_HUB`, else the authors' hub."""
    return (os.environ.get("XR_SR_HUB") or HUB).rstrip("/")


def find_file(weights: WeightsFile) -> tuple[Path, str] | None:
    """Return the first file of this path, and where it was found, "XR_SR_WEIGHTS" or "cache"; None without one.

    By name only: its hash is verified by `locate`. Weights of the package are only looked for in the package
    ("package"). A user's own file is where it was registered ("file"), or has the same name in a folder of
    `XR_SR_WEIGHTS`.
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


CHUNK = 1 << 14
"""Bytes per write: at most so much is lost if a connection drops."""

TIMEOUT_S = (10.0, 30.0)
"""For the connection, and between two packets; not for the whole file."""


class BrokenDownload(Exception):  # noqa: N818 - never reaches the user
    """The server sent less, more, or something else than was requested."""


class ResumingDownloader:
    """A downloader for pooch that keeps partial data in `part` if a connection drops, and requests the rest next time.

    `part` must belong to one content only, since halves of two files do not make one. size: of the whole file, in
    bytes. attempts: consecutive tries without new data.
    """

    def __init__(self, part: Path, size: int, *, attempts: int = 3) -> None:
        self.part, self.size, self.attempts = part, size, attempts

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        """Download `url` to `output_file`; the signature is pooch's.

        Raises BrokenDownload and requests.RequestException, which leave `part` behind; OSError if it cannot be written.
        """
        import requests

        most, fruitless = 0, 0
        while (have := self._have()) != self.size:
            try:
                self._append(url, have)
            except (BrokenDownload, requests.ConnectionError, requests.Timeout):
                # Measured against the most so far: a server that always restarts must not do so for ever.
                fruitless = 0 if self._have() > most else fruitless + 1
                most = max(most, self._have())
                if fruitless == self.attempts:
                    raise
        self.part.replace(output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _append(self, url: str, have: int) -> None:
        import requests
        from tqdm import tqdm

        # Uncompressed: no range of a compressed stream could be requested.
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if have and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.part.unlink()
                raise BrokenDownload(f"it has nothing after {have} of {self.size} bytes")
            response.raise_for_status()
            begin = _first_byte(response)
            if begin not in (0, have):
                raise BrokenDownload(f"bytes from {have} on were requested, and it sent them from {begin} on")
            # disable=None: a bar on a terminal, nothing in a log.
            bar = tqdm(total=self.size, initial=begin, desc=Path(url).name, unit="B", unit_scale=True, disable=None)
            with (
                bar,
                self.part.open("ab" if begin else "wb") as file,
                suppress(requests.exceptions.ChunkedEncodingError),
            ):
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if file.tell() > self.size:
                        break
        if self._have() > self.size:
            self.part.unlink()
            raise BrokenDownload(f"it sent more than the {self.size} bytes of this file")
        if self._have() < self.size:
            raise BrokenDownload(f"it stops after {self._have()} of {self.size} bytes")


def _first_byte(response: Response) -> int:
    """Return the position that a response begins at: 0 from a server that ignores ranges, -1 if it is malformed."""
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1


@dataclass(frozen=True)
class Located:
    """A file of weights on this machine, and the hash of what is in it."""

    path: Path
    sha256: str


def fetch(name: str) -> Located:
    """Download the weights of a model, by full name or family, unless they are on this machine. See `locate`."""
    return fetch_all(name)[0]


def fetch_all(name: str) -> tuple[Located, ...]:
    """Download all files of weights of a model, as `fetch` does the first."""
    model = registry.get(name)
    return tuple(locate(part) for _, part in model.parts) or (locate(model),)


def locate(spec: Model, weights: str | Path | None = None, *, download: bool = True) -> Located:
    """Find the weights of a model and verify their hash.

    weights: a file, which is used as it is, since a fine-tuned network has its own hash, which is returned; a folder,
    which is searched instead of all others; or the name of a model whose weights are used.
    None: the package, for models whose weights are in it; else the folders of `XR_SR_WEIGHTS`, then the cache, then, if
    `download`, the hub. A damaged file in the cache is downloaded again; a damaged file of the user raises.
    Raises WeightsNotFoundError; WeightsHashError for a file with another hash than the record's; ModelError if the
    model has no weights; WeightsError if the cache cannot be written.
    """
    if registry.is_name(weights):
        spec, weights = registry.get(str(weights)), None
    if not isinstance(spec, Network) or spec.weights is None:
        networks = [name for name, model in registry.current.models.items() if model.files]
        raise ModelError(f"{spec.name!r} has no weights. Models with weights: {networks}.")
    wanted = spec.weights
    if weights is not None:
        given = check_path("weights", weights, WeightsNotFoundError)
        if given.is_file():
            return Located(given.resolve(), sha256_of(given))
        return _verified(_search(given, wanted, spec.url), wanted)

    path, origin = find_file(wanted) or (None, "")
    if path and (origin != "cache" or not download or sha256_of(path) == wanted.sha256):
        return _verified(path, wanted)
    if wanted.home == "package":
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r} are part of the package, and are missing: {wanted.path} beside "
            f"{registry.__file__}. Install the package again."
        )
    if wanted.home == "user":
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r} are not where they were registered, {wanted.path}, nor in a folder of "
            "XR_SR_WEIGHTS. Pass the file as weights=, register the model again, or on a cluster send it to the "
            f"workers: xr_sr.configure(client, models=[{spec.name!r}])."
        )
    if wanted.home == "authors":
        folders = ", ".join(map(str, (*user_folders(), cache_folder())))
        raise WeightsNotFoundError(
            f"The weights of {spec.name!r}, {wanted.path} ({wanted.size} bytes), are not in {folders}. They are not "
            f"downloaded, since their whole hash is not known here: fetch the file from {spec.url}, and pass it as "
            "weights=, or set XR_SR_WEIGHTS to the folder that holds it."
        )
    if not download:
        raise WeightsNotFoundError(_not_found(spec, wanted, "a download was not requested"))
    return _download(spec, wanted)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex; cached until size or modification time of the file change."""
    stat = path.stat()
    key = (str(path.resolve()), stat.st_mtime_ns, stat.st_size)
    if key not in _hashes:
        with path.open("rb") as file:
            _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _hashes[key]


_hashes: dict[tuple[str, int, int], str] = {}


def _search(folder: Path, wanted: WeightsFile, url: str) -> Path:
    """Search a folder for the path of a file, or the end of that path: any level of the tree may be passed.

    url: where the file is published.
    """
    if not folder.is_dir():
        if re.match(r"[a-z0-9]+:/", str(folder)):
            raise WeightsNotFoundError(
                f"weights={str(folder)!r} is an address, and weights are read from files. Fetch it, and pass the file."
            )
        if wanted.home == "authors":
            raise WeightsNotFoundError(f"weights={str(folder)!r} is not a file or a folder. Fetch it from {url}.")
        raise WeightsNotFoundError(
            f"weights={str(folder)!r} is not a file, a folder or a model, {list(registry.names())}."
        )
    parts = PurePosixPath(wanted.path).parts
    for start in range(len(parts)):
        if (path := folder.joinpath(*parts[start:])).is_file():
            return path
    raise WeightsNotFoundError(
        f"The folder weights={str(folder)!r} does not hold {wanted.path}. Pass the file itself, or another folder."
    )


def _verified(path: Path, wanted: WeightsFile) -> Located:
    found = sha256_of(path)
    if wanted.fits(found):
        return Located(path.resolve(), found)
    if wanted.home == "user":
        raise WeightsHashError(
            f"{path} should have sha256 {wanted.sha256}, as it was registered, and has {found}. If it was trained "
            "further, register it again: xr_sr.register_model(..., replace=True)."
        )
    raise WeightsHashError(
        f"{path} should have sha256 {wanted.sha256} ({wanted.size} bytes), "
        f"and has {found} ({path.stat().st_size} bytes). If it is damaged, copy it again or remove it; "
        f"if it is a network of your own, pass the file itself: weights={str(path)!r}."
    )


def _download(spec: Network, wanted: WeightsFile) -> Located:
    require("pooch", extra="hub")
    require("filelock", extra="hub")
    import pooch
    import requests
    from filelock import FileLock

    cache, hub = cache_folder(), hub_url()
    path = cache / wanted.path
    # The name has the hash: partial data of another version is never resumed as this one.
    part = path.with_name(f"{path.name}.{wanted.sha256[:12]}.part")
    source = pooch.create(cache, f"{hub}/", registry={wanted.path: f"sha256:{wanted.sha256}"})
    downloader = ResumingDownloader(part, wanted.size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Many processes may start at once with an empty cache: one downloads, the others wait and find its file.
        with FileLock(path.with_name(f"{path.name}.lock")):
            resumed = part.exists()
            try:
                source.fetch(wanted.path, downloader=downloader)
            except ValueError:
                if not resumed:
                    raise
                # pooch found another hash and kept nothing, so damaged partial data cannot spoil the second try.
                source.fetch(wanted.path, downloader=downloader)
    except (BrokenDownload, requests.RequestException) as error:
        raise WeightsNotFoundError(_not_found(spec, wanted, _reason(error))) from error
    except ValueError as error:
        raise WeightsHashError(
            f"{hub}/{wanted.path} is not the file of the record: {error} "
            "Try later, set XR_SR_HUB to another hub, or pass the file as weights=."
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


def _not_found(spec: Network, wanted: WeightsFile, reason: str) -> str:
    folders = ", ".join(map(str, (*user_folders(), cache_folder())))
    return (
        f"The weights of {spec.name!r} ({wanted.path}) are not in {folders}, and were not downloaded from {hub_url()} "
        f"({reason}): pass the file or its folder as weights=, set XR_SR_WEIGHTS to a folder that holds it, or set "
        f"XR_SR_HUB to a hub in reach (or run `xr-sr fetch {spec.name}` on a machine with network and copy its cache)."
    )
