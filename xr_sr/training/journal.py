"""Write and read the files of a training run, and export trained weights. Files are replaced whole or not at all.

<folder>/run.json         settings and data of the run, which must be equal to resume it; beside them (made_with) the
                          versions and the processor that it began with, which may change
<folder>/log.csv          one row every few steps: step, learning rate, loss, seconds, and other measured numbers
<folder>/checkpoint.pt    network, averaged weights, optimiser, step: all that the next step depends on
<folder>/.lock            held during a run: a folder is written by one process
"""

from __future__ import annotations

import csv
import io
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from .._version import __version__
from ..catalog.states import why_refused
from ..errors import OptionError, TrainingError
from ..optional import require
from ..runtime.device import resolve_device
from ..runtime.files import write_whole

__all__ = [
    "Journal",
    "OWN_COLUMNS",
    "held",
    "made_with",
    "plot_log",
    "read_checkpoint",
    "read_log",
    "read_run",
    "save_weights",
]

OWN_COLUMNS = ("step", "rate", "loss", "seconds")
"""Of each log; the others are what is measured."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder of a run, and keep others out of it. Raises TrainingError where it is none, or taken."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise TrainingError(f"{folder} is no folder ({error}). Give the run a folder of its own.") from error
    require("filelock", extra="train")
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"Somebody trains in {folder} right now, and one folder holds one run. Wait for its end, or give this run "
            "a folder of its own."
        ) from error
    try:
        yield
    finally:
        lock.release()


class Journal:
    """The files of one run, in a folder that is there; see `held`.

    Raises TrainingError where the folder holds another run, or a damaged one. One that has saved nothing may be begun
    anew as another.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self.folder = folder
        wanted = json.loads(json.dumps(run, sort_keys=True))
        card, made = folder / "run.json", made_with()
        if card.is_file():
            found = _resolved(read_run(folder))
            then = found.pop("made_with", None)
            saved = (folder / "checkpoint.pt").is_file()
            if saved and found != wanted:
                raise TrainingError(
                    f"{folder} holds another run: it differs in {_differences(found, wanted)}. "
                    "Give this run a folder of its own, or ask for what that one was."
                )
            made = then if saved else made
        told = {**wanted, "made_with": made} if made else wanted  # of a run begun by an older version nobody noted it
        write_whole(card, partial(Path.write_bytes, data=(json.dumps(told, indent=1, sort_keys=True) + "\n").encode()))

    def load(self, device: str) -> dict[str, Any] | None:
        """Read the checkpoint, None where there is none; rows of the log beyond it are forgotten."""
        state = read_checkpoint(self.folder, device)
        if state is None:
            (self.folder / "log.csv").unlink(missing_ok=True)
            return None
        self._forget_after(state["step"])
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint in place of the last one."""

        def write(part: Path) -> None:
            with part.open("wb") as file:  # a file, as torch would note the name of a path in what it writes
                torch.save(dict(state), file)

        write_whole(self.folder / "checkpoint.pt", write)

    def tell(self, row: Mapping[str, Any]) -> None:
        """Add a row to the log, and columns for what it measures first; what it lacks is left empty."""
        path = self.folder / "log.csv"
        columns = _columns(path)
        if new := [name for name in row if name not in columns]:
            _write_log(path, [*columns, *new], [*read_log(path), row])
            return
        with path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns, restval="").writerow(row)

    def _forget_after(self, step: int) -> None:
        path = self.folder / "log.csv"
        kept = [row for row in read_log(path) if int(row["step"]) <= step]
        if kept:
            _write_log(path, list(kept[0]), kept)
        else:
            path.unlink(missing_ok=True)


def made_with() -> dict[str, Any]:
    """Return the versions and the processor of this process."""
    versions = {}
    for name in ("torch", "numpy", "pytorch-optimizer"):
        with suppress(PackageNotFoundError):  # the last comes with the extra `train`
            versions[name] = version(name)
    return {"version": __version__, "versions": versions, "processor": platform.processor() or platform.machine()}


def read_checkpoint(folder: Path, device: str = "cpu") -> dict[str, Any] | None:
    """Read the checkpoint of a run, None where there is none. Raises TrainingError for a damaged one."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # the reader raises a dozen unrelated classes
        raise TrainingError(f"{path} cannot be read: {why_refused(error)}. Remove it to begin anew.") from None
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise TrainingError(
            f"{path} holds no run: wanted is a dict with a step, found is a {type(state).__name__}. Remove it to "
            "begin anew."
        )
    return state


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the rows of a log; none where there is no file.

    Left out is what is no whole row: a last line that was cut while it was written, and lines of something else.
    """
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    columns, *lines = list(csv.reader(whole.splitlines())) or [[]]
    rows = (dict(zip(columns, line, strict=True)) for line in lines if len(line) == len(columns))
    return [row for row in rows if row.get("step", "").isdecimal()]


def read_run(folder: Path) -> dict[str, Any]:
    """Read what a run is, as `run.json` says it. Raises TrainingError where there is none, or a damaged one."""
    card = folder / "run.json"
    try:
        found: Any = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{card} cannot be read ({error}), so nobody knows what the run is. Give a run a folder of its own."
        ) from error
    if not isinstance(found, dict):
        raise TrainingError(
            f"{card} holds a {type(found).__name__}; wanted is what a run is. Give a run a folder of its own."
        )
    return found


def _columns(path: Path) -> list[str]:
    """Return the columns of a log; none where it has no whole line."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        first = file.readline()
    return next(csv.reader([first]), []) if first.endswith("\n") else []


def _write_log(path: Path, columns: list[str], rows: list[Any]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, partial(Path.write_bytes, data=text.getvalue().encode()))


def _resolved(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a run is with the device that "auto" stood for: older versions noted it as it was written."""
    settings = found.get("settings")
    if not isinstance(settings, dict) or settings.get("device") != "auto":
        return found
    return {**found, "settings": {**settings, "device": resolve_device("auto")}}


def _differences(found: Any, wanted: Any, name: str = "") -> str:
    """Name what two cards do not share, each with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
        return ", ".join(_differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip(".")) for key in keys)
    if name == "start":  # two hashes would tell nobody anything
        return "start: the network begins with other weights here; set torch.manual_seed(0) before it is made"
    return f"{name}: {str(found)[:80]} there, {str(wanted)[:80]} here"


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
    write_whole(path, partial(Path.write_bytes, data=save(tensors, {"card": told})))
    return path


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
