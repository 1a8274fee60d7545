"""The card of a finished run: what its weights were made of, as the run itself noted it, and refused where that fails.

What a user of the weights should know; docs/model_card.md says it in words. Nothing is trained here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from xr_sr.errors import TrainingError
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
    network: LeanSPAN | LeanCoarse,
    first: LeanSPAN | LeanCoarse,
    licences: Mapping[str, str],
    commit: str,
    start: Path | None = None,
    *,
    step: int,
) -> dict[str, Any]:
    """Say of a finished run what a user of its weights should know.

    first: the network as the run should have begun with it. licences: of scenes, by name. start: the file of ours that
    it began with, whose own card is taken along; None for random numbers. step: of the checkpoint that the weights are
    out of; the last row of a log is written before it.
    Raises TrainingError if the run is not finished, began with other weights, or learnt from a scene without a licence.
    """
    run = read_run(folder)
    rows, steps = read_log(folder / "log.csv"), run["settings"]["steps"]
    if not rows or {step, int(rows[-1]["step"])} != {steps}:
        ends = f"its log ends at step {rows[-1]['step']}" if rows else "it has no log"
        told = f"its checkpoint is of step {step}" if step != steps else ends
        raise TrainingError(f"{folder} is no finished run: {told}, of {steps}. Let it go on to its end.")
    if mark(first) != run["start"]:
        began = (
            f"with the weights of {start.name}" if start else f"with random numbers of seed {run['settings']['seed']}"
        )
        raise TrainingError(
            f"{folder} did not begin {began}: its run.json says {run['start'][:12]}, these are {mark(first)[:12]}. "
            "Name the file that it began with by --start, and none for random numbers."
        )
    scenes = run["batches"]["scenes"]
    if unknown := [scene["name"] for scene in scenes if not licences.get(scene["name"])]:
        raise TrainingError(
            f"{folder} learnt from {unknown}, whose licence is not known; wanted is the imagery that it saw."
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
                "licence": licences[scene["name"]],
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
    """Read the card of a file of ours."""
    with safe_open(path, "pt") as file:
        card: dict[str, Any] = json.loads(file.metadata()["card"])
    return card


def _origin(start: Path) -> dict[str, Any]:
    """Return the hash of a file of ours and how its weights came to be, without what both runs share."""
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
