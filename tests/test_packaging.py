"""What pyproject.toml promises: extras that can be installed, and a dependency for each library that is imported."""

from __future__ import annotations

import ast
import json
import platform
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import xr_sr
from tests.catalog.test_bundled import crop_offline

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

GPU = {
    # For CUDA 12 the lowest torch that we admit, which is the last that was built for it; for CUDA 13 the first one.
    # Without these pip would take the light build that constraints.txt names, which agrees with any CUDA.
    "gpu-cu12": (12, "torch==2.10.0"),
    "gpu-cu13": (13, "torch==2.11.0"),
}


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def pip(*args: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pip", *map(str, args), "--disable-pip-version-check"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def index() -> None:
    """Skip, with the reason, where pip cannot ask a package index."""
    asking = pip("index", "versions", "dask-cuda", "--timeout", "15", "--retries", "0")
    said, _ = asking.communicate()
    if asking.returncode:
        pytest.skip(f"pip cannot reach a package index: {said.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def resolved(index: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Let pip resolve both GPU extras, side by side; give name and version of all that it would install.

    fast-deps reads the metadata out of a wheel by HTTP ranges, where the index does not serve them apart: 25 MB in all
    instead of several gigabytes.
    """
    folder = tmp_path_factory.mktemp("resolved")
    running = {}
    for extra, (_, torch) in GPU.items():
        (folder / f"{extra}.txt").write_text(torch)
        options = ("--dry-run", "--ignore-installed", "--use-feature=fast-deps", "-c", folder / f"{extra}.txt")
        running[extra] = pip("install", *options, "--report", folder / f"{extra}.json", f"{ROOT}[{extra}]")
    said = {extra: process.communicate()[0] for extra, process in running.items()}

    for extra, process in running.items():
        assert process.returncode == 0, f"pip cannot resolve xr-sr[{extra}]:\n{said[extra][-3000:]}"
    reports = {extra: json.loads((folder / f"{extra}.json").read_text()) for extra in GPU}
    return {
        extra: {name_of(item["metadata"]["name"]): item["metadata"]["version"] for item in report["install"]}
        for extra, report in reports.items()
    }


@pytest.mark.network
@pytest.mark.skipif(platform.system() != "Linux", reason="dask-cuda is built for Linux only")
@pytest.mark.parametrize("extra", GPU)
def test_gpu_extras_can_be_installed_and_agree_on_one_cuda(resolved, extra):
    """dask-cuda pins one dask: a floor of ours above it, or a torch for another CUDA, would leave pip no answer."""
    versions = resolved[extra]

    assert {name_of(requirement) for requirement in EXTRAS[extra]} <= versions.keys()
    assert int(versions["cuda-bindings"].split(".")[0]) == GPU[extra][0]
    assert "dask" in versions
    assert "distributed" in versions


@pytest.mark.network
def test_the_wheel_holds_the_package_its_data_and_nothing_else(index, tmp_path):
    building = pip("wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    said, _ = building.communicate()
    assert building.returncode == 0, said[-3000:]

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    here = {
        str(path.relative_to(ROOT)) for path in (ROOT / "xr_sr").rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == here
    assert "xr_sr/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert f"-{xr_sr.__version__}-" in wheel.name
    # What is in it works alone: nothing of the source tree, no network.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    crop_offline(tmp_path / "cache", tmp_path / "installed", ROOT)


def test_the_core_has_lower_bounds_only():
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w.-]+(\[[\w,]+\])?>=[\d.]+", requirement), requirement


def test_the_extras_are_those_that_the_documentation_names():
    assert EXTRAS.keys() == {
        "all",
        "cli",
        "files",
        "hub",
        "metrics",
        "gpu-cu12",
        "gpu-cu13",
        "viz",
        "align",
        "clip",
        "indices",
        "perceptual",
        "planetary",
        "train",
        "docs",
        "dev",
    }


def test_every_library_that_is_imported_is_declared():
    declared = {name_of(requirement) for group in (PROJECT["dependencies"], *EXTRAS.values()) for requirement in group}
    homes = {root: {name_of(home) for home in found} for root, found in packages_distributions().items()}
    homes |= {"odc": {"odc-geo", "odc-stac"}, "distributed": {"dask"}, "cupy": {"cupy-cuda12x", "cupy-cuda13x"}}
    imported = set()
    for path in (ROOT / "xr_sr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported.add(node.module.split(".")[0])

    with_users_store = {"obstore"}  # imported where the store that was handed in is one of obstore's
    foreign = imported - sys.stdlib_module_names - {"xr_sr"} - with_users_store
    assert {root for root in foreign if not homes.get(root, {root}) & declared} == set()


def test_the_version_is_told_alike_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")

    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == xr_sr.__version__
