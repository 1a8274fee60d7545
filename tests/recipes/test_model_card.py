"""What the card of a run says is what the run did, or nothing is exported."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from click import ClickException
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save

from recipes import bundled
from recipes.imagery import BANDS, FINE
from tests import cubes
from xr_sr import __version__
from xr_sr.catalog import registry
from xr_sr.networks.lean_fusion import LeanCoarse
from xr_sr.training import LeanFusion, LeanSPAN, Scene, Settings, Teacher, distil, fit, journal, save_weights

SIZES = {"side": 8, "batch": 2, "patch": 12, "pool": 4}
TAUGHT = [Scene("fields", cubes.reflectance(4, 60, 60), 2.0, "CC BY 4.0")]
TRUTH = cubes.array(cubes.reflectance(4, 160, 160, seed=1), ("B04", "B03", "B02", "B08"))


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """A folder of imagery that is never looked at."""
    monkeypatch.setattr(bundled, "training_scenes", lambda data: TAUGHT)
    monkeypatch.setattr(bundled, "aerial_scenes", lambda data: [("village", TRUTH, 0.4, "public domain")])
    return tmp_path


def distilled(folder: Path, seed: int = 0) -> Path:
    """Run what the command does, for two steps."""
    torch.manual_seed(seed)
    settings = Settings(2, seed=seed, optimizer="adamw", device="cpu")
    distil(LeanSPAN(channels=4), Teacher("sen2sr", device="cpu"), TAUGHT, folder, settings, **SIZES)
    return folder


def fitted(folder: Path, start: Path) -> Path:
    network = LeanSPAN(channels=4)
    network.load_state_dict(load_file(start))
    scenes = [Scene("village", TRUTH.values, 0.4, "public domain")]
    fit(network, scenes, folder, Settings(2, optimizer="adamw", device="cpu"), **SIZES)
    return folder


def export(data: Path, folder: Path, out: Path, start: Path | None = None) -> dict[str, object]:
    """Run the command; give the card in the file."""
    more = ["--start", str(start)] if start else []
    arguments = ["export", "--data", str(data), "--folder", str(folder), "--commit", "abc", "--out", str(out), *more]
    CliRunner().invoke(bundled.main, arguments, catch_exceptions=False, standalone_mode=False)
    with safe_open(out, "pt") as file:
        return json.loads(file.metadata()["card"])


def test_a_distilled_run_says_what_it_learnt_from(data, tmp_path):
    card = export(data, distilled(tmp_path / "run"), tmp_path / "a.safetensors")

    assert card["start"] == "random numbers"
    assert card["teacher"]["model"] == registry.get("sen2sr").name
    (seen,) = card["data"]
    assert (seen["name"], seen["licence"], seen["weight"], len(seen["sha256"])) == ("fields", "CC BY 4.0", 2.0, 16)
    assert {"augmentation", "evenness", "balance", "side", "size", "patch", "zooms"} <= card["batches"].keys()


def test_a_fine_tuned_run_says_where_it_began_and_names_its_own_data(data, tmp_path):
    export(data, distilled(tmp_path / "first"), tmp_path / "first.safetensors")
    fitted(tmp_path / "run", tmp_path / "first.safetensors")

    card = export(data, tmp_path / "run", tmp_path / "tuned.safetensors", tmp_path / "first.safetensors")

    assert [(seen["name"], seen["weight"]) for seen in card["data"]] == [("village", 0.4)]
    assert card["teacher"] is None
    assert card["start"]["start"] == "random numbers"
    assert [seen["name"] for seen in card["start"]["data"]] == ["fields"] and card["start"]["batches"]


def test_a_start_that_is_not_named_or_another_is_refused(data, tmp_path):
    export(data, distilled(tmp_path / "first"), tmp_path / "first.safetensors")
    export(data, distilled(tmp_path / "other", seed=1), tmp_path / "other.safetensors")
    fitted(tmp_path / "run", tmp_path / "first.safetensors")

    with pytest.raises(ClickException, match="--start"):
        export(data, tmp_path / "run", tmp_path / "a.safetensors")
    with pytest.raises(ClickException, match=r"other\.safetensors"):
        export(data, tmp_path / "run", tmp_path / "a.safetensors", tmp_path / "other.safetensors")
    with pytest.raises(ClickException, match=r"first\.safetensors"):
        export(data, tmp_path / "first", tmp_path / "a.safetensors", tmp_path / "first.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_data_without_a_licence_and_runs_without_an_end_are_refused(data, tmp_path, monkeypatch):
    distilled(tmp_path / "run")
    monkeypatch.setattr(bundled, "training_scenes", lambda data: [Scene("another", TAUGHT[0].values, 1.0, "MIT")])
    with pytest.raises(ClickException, match=r"\['fields'\]"):
        export(data, tmp_path / "run", tmp_path / "a.safetensors")

    (tmp_path / "run" / "log.csv").unlink()
    with pytest.raises(ClickException, match="no log"):
        export(data, tmp_path / "run", tmp_path / "a.safetensors")


def test_networks_for_four_and_for_six_bands_become_one_for_ten(tmp_path):
    torch.manual_seed(0)
    four, six = LeanSPAN(channels=6), LeanCoarse(channels=5)
    with torch.no_grad():
        four.tail.weight.mul_(20)
    for name, network in (("fine", four), ("coarse", six)):
        save_weights(network, tmp_path / f"{name}.safetensors", {"of": name})
    out = tmp_path / "ten.safetensors"
    arguments = [f"--{name}={tmp_path / name}.safetensors" for name in ("fine", "coarse")]

    CliRunner().invoke(bundled.main, ["join", *arguments, f"--out={out}"], catch_exceptions=False)

    both = LeanFusion(channels=6, coarse_channels=5)
    both.load_state_dict(load_file(out), strict=True)
    image = torch.rand(1, 10, 50, 50)
    with torch.no_grad():
        ten, alone, others = both(image), both.fine.added(image[:, :4]), six(image)
        theirs = four.added(image[:, [FINE.index(band) for band in BANDS]])
    torch.testing.assert_close(ten[:, 4:], others)
    torch.testing.assert_close(alone[:, [FINE.index(band) for band in BANDS]], theirs)
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["card"]) == {"fine": {"of": "fine"}, "coarse": {"of": "coarse"}}
    swapped = [f"--fine={tmp_path}/coarse.safetensors", f"--coarse={tmp_path}/fine.safetensors", f"--out={out}"]
    assert "must be of four bands" in CliRunner().invoke(bundled.main, ["join", *swapped]).output


@pytest.mark.parametrize("content", [b"no weights", save({"conv.weight": torch.zeros(4, 4)})])
def test_a_file_that_holds_something_else_is_told_in_a_line(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    files = [f"--{name}={tmp_path / 'a.safetensors'}" for name in ("fine", "coarse")]

    told = CliRunner().invoke(bundled.main, ["join", *files, f"--out={tmp_path / 'ten.safetensors'}"])

    assert told.exit_code == 1 and re.match(r"Error: .*a\.safetensors", told.output)
    assert "weights" in told.output and isinstance(told.exception, SystemExit)
    assert not (tmp_path / "ten.safetensors").exists()


def test_weights_of_a_checkpoint_before_the_last_step_are_not_exported(data, tmp_path):
    folder = distilled(tmp_path / "run")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**state, "step": 1}, folder / "checkpoint.pt")  # killed after the last row of the log

    with pytest.raises(ClickException, match="step 1, of 2"):
        export(data, folder, tmp_path / "a.safetensors")
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(ClickException, match=r"has no checkpoint\.pt"):
        export(data, folder, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_versions_and_processor_are_those_that_the_run_began_with(data, tmp_path, monkeypatch):
    made = {"version": "0.0.1", "versions": {"torch": "1.0"}, "processor": "abacus"}
    with monkeypatch.context() as then:
        then.setattr(journal, "made_with", lambda: made)
        folder = distilled(tmp_path / "run")
    distilled(folder)  # resumed by another version

    card = export(data, folder, tmp_path / "a.safetensors")

    assert {key: card[key] for key in made} == made
    assert card["versions_noted"] == "as the run began"


def test_of_a_run_that_noted_no_versions_they_are_those_of_the_export(data, tmp_path):
    folder = distilled(tmp_path / "run")
    run = json.loads((folder / "run.json").read_text())
    del run["made_with"]
    (folder / "run.json").write_text(json.dumps(run))
    distilled(folder)

    card = export(data, folder, tmp_path / "a.safetensors")

    assert "made_with" not in json.loads((folder / "run.json").read_text())
    assert card["version"] == __version__ and card["versions_noted"] == "at the export"
