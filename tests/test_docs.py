"""What is written can be done: code of README and quickstart runs, and what pages name is there."""

from __future__ import annotations

import builtins
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pystac_client
import pytest
import rioxarray  # noqa: F401
import torch
from safetensors.torch import load_file

import xr_sr
from tests.cubes import reflectance
from tests.io.stac.server import Scene, serve
from xr_sr import errors, training
from xr_sr.accessor import SuperResolution
from xr_sr.catalog import registry

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), ROOT / "docs" / "api.rst"])

CODE = re.compile(r"^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
FIGURE = re.compile(r"^:*`*\{figure\} (?P<target>\S+)$", re.MULTILINE)
TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<test>\w+)`")


def text_of(page: Path) -> str:
    """Read a page."""
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Read a page without its code blocks."""
    blocks = re.compile(r"^```(\{figure)?.*?^```$", re.MULTILINE | re.DOTALL)
    return blocks.sub(lambda block: block[0] if block[1] else "", text_of(page))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_code_runs_offline(name, tmp_path, monkeypatch):
    """All blocks of a page, one after the other, in an empty folder; each of README's also when pasted alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XR_SR_HUB", "http://127.0.0.1:9")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    scene = xr_sr.sample("havel")["r10m"].to_dataset().isel(y=slice(64), x=slice(64))
    scene.to_dataarray("band").rio.to_raster("scene.tif")
    namespace: dict[str, object] = {}

    blocks = [match["code"] for match in CODE.finditer(text_of(ROOT / name))]
    for number, block in enumerate(blocks):
        exec(compile(block, f"{name}, block {number}", "exec"), {} if name == "README.md" else namespace)

    assert blocks
    assert (tmp_path / "havel.zarr").is_dir() and (tmp_path / "havel.png").is_file()


def test_the_page_on_training_runs(official, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "current", registry.current)
    np.save("village.npy", reflectance(4, 200, 200))
    namespace: dict[str, object] = {}

    for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "training.md"))):
        exec(compile(match["code"], f"training.md, block {number}", "exec"), namespace)

    assert "halo=10, measured: 10 above" in capsys.readouterr().out
    assert (tmp_path / "village.safetensors").is_file() and (tmp_path / "runs" / "ten" / "log.csv").is_file()
    learnt = namespace["spec"]
    scene = xr_sr.sample("havel")["r10m"].to_dataset().isel(y=slice(40), x=slice(40))
    with torch.no_grad():
        image = training.scenes_of(scene)[0].values
        network = training.LeanSPAN(channels=12).eval()
        network.load_state_dict(load_file("havel.safetensors"))
        wanted = network(torch.from_numpy(image)[None])[0].numpy()
    out = scene.sr.upscale(learnt.name, device="cpu")
    given = np.stack([out[band].values[40:-40, 40:-40] for band in learnt.bands])
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-6)


def test_the_page_on_own_models_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "current", registry.current)
    namespace: dict[str, object] = {}

    for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "own_model.md"))):
        exec(compile(match["code"], f"own_model.md, block {number}", "exec"), namespace)

    said = capsys.readouterr().out
    assert "halo=3, measured: 3 above" in said
    assert "Write halo=3" in said
    assert "windows of 64 input pixels" in said
    assert "average: B04 B08 of 3 dates" in said and "\n3.0\n" in said
    assert (tmp_path / "small.zarr").is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page):
    targets = [match["target"] for pattern in (LINK, FIGURE) for match in pattern.finditer(prose_of(page))]
    for target in targets:
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        file = (page.parent / path).resolve() if path else page
        if file.parent == ROOT / "docs" / "examples":  # the build copies them there
            file = ROOT / "examples" / file.name

        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors_of(file), f"{page.name} links to {target}"


@pytest.mark.parametrize(("accessor", "library"), [("odc", r"odc\.geo\.xr"), ("rio", "rioxarray")])
def test_a_page_that_shows_results_by_an_accessor_shows_its_import(accessor, library):
    """`xr_sr` registers `.sr` alone; objects of these pages are called out, fine, coarse or again."""
    using = [page for page in PAGES if re.search(rf"\b(out|fine|coarse|again)\.{accessor}\.", text_of(page))]
    lacking = [page.name for page in using if not re.search(rf"import .*{library}", text_of(page))]

    assert ROOT / "README.md" in using
    assert not lacking


def test_every_page_is_in_a_table_of_contents():
    listed = set()
    for page in (ROOT / "docs").glob("*.md"):
        for toctree in re.findall(r"^```\{toctree\}(.*?)^```$", text_of(page), flags=re.MULTILINE | re.DOTALL):
            listed |= {line.strip() for line in toctree.splitlines() if line and not line.startswith(":")}
    pages = {page.stem for page in (ROOT / "docs").glob("*.[mr][ds]*")} - {"index"}

    assert pages | {f"examples/{path.stem}" for path in (ROOT / "examples").glob("*.ipynb")} == listed


def test_every_public_name_has_a_page():
    listed = set(re.findall(r"^   ([\w.]+)$", text_of(ROOT / "docs" / "api.rst"), flags=re.MULTILINE))
    methods = {name for name, value in vars(SuperResolution).items() if callable(value) and not name.startswith("_")}

    rooms = {name for name in xr_sr.__all__ if isinstance(getattr(xr_sr, name), ModuleType)}
    assert set(xr_sr.__all__) - rooms - {"__version__"} <= listed
    for room in (getattr(xr_sr, name) for name in rooms - {"errors"}):
        assert {name for name in room.__all__ if callable(getattr(room, name))} <= listed
    assert {f"DataArray.sr.{name}" for name in methods} <= listed


def test_every_test_that_a_page_names_exists():
    named = {(match["file"], match["test"]) for page in PAGES for match in TEST.finditer(text_of(page))}

    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in text_of(ROOT / file), f"{file}::{test}"


def test_every_error_has_a_line_and_every_line_an_error():
    table = text_of(ROOT / "docs" / "inputs.md")
    roots = {"XrSrError", "XrSrWarning", "CubeError", "ModelError", "WeightsError"}

    named = set(re.findall(r"\b[A-Z]\w+(?:Error|Warning)\b", table))

    assert set(errors.__all__) - roots <= named
    assert [name for name in named if not hasattr(errors, name) and not hasattr(builtins, name)] == []


def test_examples_are_kept_without_outputs():
    """Outputs would be those of one machine, and make every change a large one."""
    for path in (ROOT / "examples").glob("*.ipynb"):
        cells = json.loads(text_of(path))["cells"]

        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name


def test_every_benchmark_that_writes_results_is_shown():
    written = set()
    for path in [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "studies").glob("*.py")]:
        written |= set(re.findall(r"Report\(\"(\w+)\"", text_of(path)))
    pages = "".join(map(text_of, (ROOT / "docs").glob("*.md")))

    assert {name for name in written if f"<!-- measured: {name}.md -->" not in pages} == set()


def test_the_page_on_pictures_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, object] = {}

    for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "pictures.md"))):
        exec(compile(match["code"], f"pictures.md, block {number}", "exec"), namespace)

    assert {path.name for path in tmp_path.iterdir()} == {"explore.html", "series.gif"}


def test_the_page_on_many_dates_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}

    for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "multiframe.md"))):
        exec(compile(match["code"], f"multiframe.md, block {number}", "exec"), namespace)

    assert float(namespace["gain"]) == pytest.approx(1.7, abs=0.05)
    assert float(namespace["alone"].mean()) < 0.1 and float(namespace["worst"].min()) > 0.9
    assert namespace["images"]["time"].dt.month.values.tolist() == [6, 7]
    assert float(abs(namespace["again"]["estimate"] - namespace["june"]["estimate"]).max()) < 1e-6
    assert 0.3 < float(namespace["filled"].mean()) < 0.6  # 44 % of the last date of June is clouds
    assert set(np.unique(namespace["water"].values)) <= {0, 1, 2, 255} and (namespace["ndvi"]["std"] > 0).any()


def test_every_example_shows_how_to_do_it_with_a_catalog():
    for path in (ROOT / "examples").glob("*.ipynb"):
        text = "".join(line for cell in json.loads(text_of(path))["cells"] for line in cell["source"])

        assert "xr_sr.load(" in text, path.name


def test_the_page_on_analytics_runs(recwarn):
    namespace: dict[str, object] = {}

    for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "analytics.md"))):
        exec(compile(match["code"], f"analytics.md, block {number}", "exec"), namespace)

    assert {"found", "water", "history", "lakes", "usual"} <= namespace.keys()
    assert not [warning for warning in recwarn if issubclass(warning.category, errors.XrSrWarning)]


def test_the_page_on_catalogs_runs(tmp_path, monkeypatch):
    """On a STAC API of this machine, which stands for the one that the page names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    scenes = [Scene(0, f"2023-{day}T10:00:00Z", "05.09", added=1000, cloudy=True) for day in ("06-10", "07-10")]
    namespace: dict[str, Any] = {}

    with serve(scenes, tmp_path) as api:
        really_open = pystac_client.Client.open
        monkeypatch.setattr(pystac_client.Client, "open", lambda url, **options: really_open(api.url, **options))
        for number, match in enumerate(CODE.finditer(text_of(ROOT / "docs" / "catalogs.md"))):
            exec(compile(match["code"], f"catalogs.md, block {number}", "exec"), namespace)
        ndvi = namespace["ndvi"].compute()

    assert ndvi.isnull().any() and ndvi.notnull().any()  # masked by SCL
    assert namespace["cube"].odc.geobox == namespace["beside"].odc.geobox == namespace["grid"]
    tree, later, whole, part = (namespace[name]["r10m"].to_dataset() for name in ("tree", "later", "whole", "part"))
    assert tree.odc.geobox == later.odc.geobox == xr_sr.snap_geobox(namespace["grid"])
    assert tree.time.values[0] != later.time.values[0]
    assert namespace["overview"].odc.geobox.resolution.x == 60
    assert max(part.odc.geobox.shape) < 128 <= min(whole.odc.geobox.shape)
    assert (tmp_path / "fine.zarr").is_dir() and (tmp_path / "fine.json").is_file()


def test_the_changelog_has_short_lines_and_says_nothing_twice():
    text = text_of(ROOT / "docs" / "changelog.md")
    bullets = [re.sub(r"\W+", " ", bullet)[:50] for bullet in re.findall(r"^- .*(?:\n  .*)*", text, re.MULTILINE)]
    sections = re.findall(r"^##.*", text, re.MULTILINE)

    assert [line for line in text.splitlines() if len(line) > 130] == []
    assert sorted(bullets) == sorted(set(bullets))
    assert len(sections) == len(set(sections))
