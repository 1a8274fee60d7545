"""Bring one file over HTTP, beginning where the last attempt stopped. Knows no hash: who asks for a file verifies."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

__all__ = ["BrokenDownload", "ResumingDownloader"]

CHUNK = 1 << 14
"""Bytes per write: at most so much is lost where a connection drops."""

TIMEOUT_S = (10.0, 30.0)
"""For the connection, and between two packets; not for the whole file."""


class BrokenDownload(Exception):  # noqa: N818 - never reaches the user
    """The server gave less, more, or something else than was asked for."""


class ResumingDownloader:
    """A downloader for pooch that keeps what it got in `part` when a connection drops, and asks for the rest next time.

    pooch's own begins at zero each time. `part` must belong to one content only, since halves of two files make none.
    size: of the whole file, in bytes. attempts: tries in a row that bring nothing new.
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
                # Measured against the most so far: a server that sends us back to the start must not do so for ever.
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

        # Bytes as they are: of a stream compressed on the way no range could be asked for.
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
                raise BrokenDownload(f"it was asked for bytes from {have} on, and gives them from {begin} on")
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
            raise BrokenDownload(f"it gives more than the {self.size} bytes of this file")
        if self._have() < self.size:
            raise BrokenDownload(f"it stops after {self._have()} of {self.size} bytes")


def _first_byte(response: Response) -> int:
    """Get the position that a response begins at: 0 from a server that ignores ranges, -1 where it makes no sense."""
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return 0
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else -1
