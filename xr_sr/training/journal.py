"""The files of a run: written whole or not at all, and read back to go on.

<folder>/run.json         what the run is: settings and data; a run goes on only where this is the same
<folder>/log.csv          one row every few steps: step, learning rate, loss, seconds, and what else is measured
<folder>/checkpoint.pt    network, its average, optimiser, step: all that the next step depends on
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError

__all__ = ["Journal", "read_log", "replace_file"]


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class Journal:
    """The folder of one run.

    Raises TrainingError where the folder holds another run.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(run, sort_keys=True))
        card = folder / "run.json"
        if card.is_file():
            found = json.loads(card.read_text(encoding="utf-8"))
            if found != wanted:
                raise TrainingError(
                    f"{folder} holds another run: it differs in {_differences(found, wanted)}. "
                    "Give this run a folder of its own, or ask for what that one was."
                )
        replace_file(card, (json.dumps(wanted, indent=1, sort_keys=True) + "\n").encode())

    def load(self, device: str) -> dict[str, Any] | None:
        """Read the checkpoint, None where there is none; rows of the log beyond it are forgotten."""
        path = self.folder / "checkpoint.pt"
        if not path.is_file():
            (self.folder / "log.csv").unlink(missing_ok=True)
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # the reader raises a dozen unrelated classes
            raise TrainingError(f"{path} cannot be read ({error}). Remove it to begin anew.") from error
        self._forget_after(int(state["step"]))
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint in place of the last one."""
        path = self.folder / "checkpoint.pt"
        partial = path.with_name(".checkpoint.pt.partial")
        torch.save(dict(state), partial)
        partial.replace(path)

    def tell(self, row: Mapping[str, Any]) -> None:
        """Add a row to the log; columns are those of the first one."""
        path = self.folder / "log.csv"
        begins = not path.is_file()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if begins:
                writer.writeheader()
            writer.writerow(row)

    def _forget_after(self, step: int) -> None:
        kept = [row for row in read_log(self.folder / "log.csv") if int(row["step"]) <= step]
        (self.folder / "log.csv").unlink(missing_ok=True)
        for row in kept:
            self.tell(row)


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the rows of a log; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _differences(found: Any, wanted: Any, name: str = "") -> str:
    """Name what two cards do not share, each with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
        return ", ".join(_differences(found.get(key), wanted.get(key), f"{name}.{key}".lstrip(".")) for key in keys)
    return f"{name}: {str(found)[:80]} there, {str(wanted)[:80]} here"
