"""Write the model card of a finished run from what the run itself recorded; docs/model_card.md says it in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from xr_sr.errors import TrainingError
from xr_sr.networks.kriging_residual import KrigingResidual
from xr_sr.networks.lean import LeanSPAN
from xr_sr.networks.lean_fusion import LeanCoarse
from xr_sr.training.journal import OWN_COLUMNS, made_with, read_log, read_run
from xr_sr.training.loop import mark

from .imagery import BANDS, COARSE

__all__ = ["card_in", "card_of"]

NOT_FOR = (
    "counting, measuring or naming what is smaller than the sensor resolves, without other evidence",
    "legal, military or medical decisions about single objects",
    "sensors other than Sentinel-2, or pixels other than 10 m",
    "cloud, smoke, or values that are not reflectance",
)


def card_of(
    folder: Path,
    network: LeanSPAN | LeanCoarse | KrigingResidual,
    first: LeanSPAN | LeanCoarse | KrigingResidual,
    licenses: Mapping[str, str],
    commit: str,
    start: Path | None = None,
    *,
    step: int,
) -> dict[str, Any]:
    """Return the model card of a finished run: what a user of its weights should know.

    first: the network with the weights that the run should have started from. licenses: of scenes, by name. start: the
    exported file that it started from, whose own card is included; None for random numbers. step: of the checkpoint
    that the weights are from; the last row of a log is written before it.
    Raises TrainingError if the run is not finished, started from other weights, or read a scene without a license.
    """
    run = read_run(folder)
    rows, steps = read_log(folder / "log.csv"), run["settings"]["steps"]
    if not rows or {step, int(rows[-1]["step"])} != {steps}:
        ends = f"its log ends at step {rows[-1]['step']}" if rows else "it has no log"
        found = f"its checkpoint is of step {step}" if step != steps else ends
        raise TrainingError(f"{folder} is not finished: {found}, of {steps}. Resume the run until its last step.")
    if mark(first) != run["start"]:
        expected = f"the weights of {start.name}" if start else f"random numbers of seed {run['settings']['seed']}"
        raise TrainingError(
            f"{folder} did not start from {expected}: its run.json says {run['start'][:12]}, these are "
            f"{mark(first)[:12]}. Pass the file that it started from by --start, and none for random numbers."
        )
    scenes = run["batches"]["scenes"]
    if unknown := [scene["name"] for scene in scenes if not licenses.get(scene["name"])]:
        raise TrainingError(
            f"{folder} was trained on {unknown}, whose license is not known. Pass the imagery that it read by --data."
        )
    last, made = rows[-1], run.get("made_with")
    measured = {key: float(value) for key, value in last.items() if key not in OWN_COLUMNS and value}
    return {
        "architecture": f"{type(network).__module__}:{type(network).__name__}",
        "channels": network.features.out_channels,
        "bands": list(COARSE if isinstance(network, LeanCoarse) else BANDS),
        "gsd_m": [10.0, 2.5],
        "start": _origin(start) if start else "random numbers",
        "settings": run["settings"],
        "teacher": run["batches"].get("teacher"),
        "batches": {key: value for key, value in run["batches"].items() if key not in ("scenes", "teacher")},
        "data": [
            {
                "name": scene["name"],
                "licence": licenses[scene["name"]],
                "weight": round(scene["weight"], 4),
                "sha256": scene.get("sha256"),
            }
            for scene in scenes
        ],
        "measured": measured,
        "minutes": round(float(last["seconds"]) / 60),
        "commit": commit,
        **(made or made_with()),
        "versions_noted": "as the run began" if made else "at the export",
        "licence": "Apache-2.0",
        "not_for": NOT_FOR,
    }


def card_in(path: Path) -> dict[str, Any]:
    """Read the model card of an exported file."""
    with safe_open(path, "pt") as file:
        card: dict[str, Any] = json.loads(file.metadata()["card"])
    return card


def _origin(start: Path) -> dict[str, Any]:
    """Return the hash of an exported file and how its weights were trained, without what both runs share."""
    card = card_in(start)
    kept = (
        "architecture",
        "channels",
        "start",
        "settings",
        "teacher",
        "batches",
        "data",
        "measured",
        "minutes",
        "commit",
    )
    sha256 = hashlib.sha256(start.read_bytes()).hexdigest()
    return {"sha256": sha256, **{key: card[key] for key in kept if key in card}}
