"""Write and read the files of a training run, and export trained weights. Files are replaced whole or not at all.

<folder>/run.json         settings and data of the run, which must be equal to resume it; beside them (made_with) the
                          versions and the processor that it began with, which may change
<folder>/log.csv          one row every few steps: step, learning rate, loss, seconds, and other measured numbers
<folder>/checkpoint.pt    network, averaged weights, optimizer, step: all that the next step depends on
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

OWN_COLUMNS = ("step", "rate", "loss", "seconds")
"""Columns of each log, before those of `evaluate`."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Create and lock the folder of a run. Raises TrainingError if it is no folder, or locked."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise TrainingError(f"{folder} is not a folder ({error}). Use a folder of its own for the run.") from error
    require("filelock", extra="train")
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrainingError(
            f"{folder} is locked by another training process. Wait for its end, or use another folder for this run."
        ) from error
    try:
        yield
    finally:
        lock.release()


class Journal:
    """The files of one run, in an existing folder; see `held`.

    Raises TrainingError if the folder holds another run, or a damaged one. One without a checkpoint may be replaced by
    another.
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
                    "Use another folder for this run, or the settings of that one."
                )
            made = then if saved else made
        facts = {**wanted, "made_with": made} if made else wanted  # runs of older versions have no made_with
        write_whole(card, partial(Path.write_bytes, data=(json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()))

    def load(self, device: str) -> dict[str, Any] | None:
        """Read the checkpoint, None without one; later rows of the log are removed."""
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

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row to the log, with new columns if it has any; missing ones are left empty."""
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
    """Read the checkpoint of a run, None without one. Raises TrainingError for a damaged one."""
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises a dozen unrelated classes
        raise TrainingError(f"{path} cannot be read: {why_refused(error)}. Remove it to start again.") from None
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise TrainingError(
            f"{path} is not a checkpoint: expected a dict with a step; got a {type(state).__name__}. Remove it "
            "to start again."
        )
    return state


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the rows of a log; none without a file.

    Incomplete rows are left out: a last line that was cut while it was written, and foreign lines.
    """
    if not path.is_file():
        return []
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    columns, *lines = list(csv.reader(whole.splitlines())) or [[]]
    rows = (dict(zip(columns, line, strict=True)) for line in lines if len(line) == len(columns))
    return [row for row in rows if row.get("step", "").isdecimal()]


def read_run(folder: Path) -> dict[str, Any]:
    """Read `run.json` of a run. Raises TrainingError if it is missing or damaged."""
    card = folder / "run.json"
    try:
        found: Any = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{card} cannot be read ({error}). Use another folder for the run.") from error
    if not isinstance(found, dict):
        raise TrainingError(
            f"{card} holds a {type(found).__name__}; expected the settings of a run. Use another folder for the run."
        )
    return found


def _columns(path: Path) -> list[str]:
    """Return the columns of a log; none without a complete line."""
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


_NOW = {"optimiser": "optimizer", "tell_every": "log_every"}
"""Settings by their names in an earlier release."""


def _resolved(found: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run as this version writes them: "auto" resolved, and new spellings."""
    settings = found.get("settings")
    if not isinstance(settings, dict):
        return found
    settings = {_NOW.get(key, key): value for key, value in settings.items()}
    if settings.get("device") == "auto":  # as older versions wrote it
        settings["device"] = resolve_device("auto")
    return {**found, "settings": settings}


def _differences(found: Any, wanted: Any, name: str = "") -> str:
    """List the differences of two cards, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
        return ", ".join(_differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip(".")) for key in keys)
    if name == "start":  # hashes are of no use in a message
        return "start: the network has other initial weights here; set torch.manual_seed(0) before it is made"
    return f"{name}: {str(found)[:80]} there, {str(wanted)[:80]} here"


def save_weights(network: nn.Module, path: str | Path, card: Mapping[str, Any]) -> Path:
    """Write the weights of a network as safetensors, atomically, with a card that describes how they were made.

    card: anything that JSON can hold, such as data, licenses, seed, steps, commit, and unsuitable uses. Equal
    weights and cards give equal bytes. Read it with `safetensors.safe_open(path, "pt").metadata()["card"]`. Folders are
    created; tensors that the network holds twice are written twice. Raises OptionError for the suffix of another format
    and for a card that JSON cannot hold.
    """
    path = Path(path)
    if path.suffix in (".pt", ".pth", ".ckpt"):
        raise OptionError(
            f"{path.name!r} is a name for files of torch, and this is safetensors; expected "
            f"{path.with_suffix('.safetensors').name!r}."
        )
    try:
        text = json.dumps(card, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"card= cannot be written as JSON: {error}. Expected text, numbers, lists and dicts."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    # One entry: the order of several is undefined, so that equal weights would have different hashes.
    write_whole(path, partial(Path.write_bytes, data=save(tensors, {"card": text})))
    return path


def plot_log(folder: str | Path, path: str | Path) -> None:
    """Plot the log of a run: loss, and each number measured on held-out scenes, over minutes.

    Raises TrainingError if the folder has no log, MissingLibraryError without matplotlib (the extra `train`).
    """
    pyplot = require("matplotlib.pyplot", extra="train")
    rows = read_log(Path(folder) / "log.csv")
    if not rows:
        raise TrainingError(f"{Path(folder) / 'log.csv'} has no row; expected the folder of a run that has logged one.")
    names = [name for name in rows[0] if name not in OWN_COLUMNS]
    figure, axis = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    minutes = [float(row["seconds"]) / 60 for row in rows]
    axis.plot(minutes, [float(row["loss"]) for row in rows], color="0.75", linewidth=0.8, label="loss")
    for name in names:
        points = [(minute, float(row[name])) for minute, row in zip(minutes, rows, strict=True) if row[name]]
        axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
    axis.set(xlabel="minutes", yscale="log")
    axis.legend(fontsize="small")
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
