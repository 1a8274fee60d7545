"""The checks that check: skips are failures in CI, the lowest versions are those of pyproject.toml, the API pages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.gpu
def test_without_a_gpu(): pytest.skip("no GPU")

def test_without_data(): pytest.skip("no data")

@pytest.mark.skip(reason="later")
def test_later(): pass

@pytest.mark.xfail
def test_known(): raise AssertionError
"""


def outcomes(folder: Path, *options: str) -> dict[str, int]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".ci"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-o", "markers=gpu", *options, str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    return {
        name: int(count) for count, name in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1].split(" in ")[0])
    }


def test_a_skip_is_a_failure_unless_it_is_for_a_gpu(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)

    assert outcomes(tmp_path) == {"passed": 1, "skipped": 3, "xfailed": 1}
    assert outcomes(tmp_path, "-p", "no_skips") == {"failed": 1, "error": 1, "passed": 1, "skipped": 1, "xfailed": 1}


def test_a_module_that_skips_is_an_error(tmp_path):
    (tmp_path / "test_module.py").write_text("import pytest\npytest.importorskip('nolib_of_this_name')\n")

    assert outcomes(tmp_path, "-p", "no_skips") == {"error": 1}


def test_lowest_pins_every_library_of_the_core():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = subprocess.run([sys.executable, ROOT / ".ci/lowest.py"], capture_output=True, text=True, check=True)

    pins = dict(line.split("==") for line in done.stdout.split())
    floors = dict(re.sub(r"\[.*\]", "", line).split(">=") for line in project["dependencies"])
    assert pins.items() >= floors.items()


def test_the_pages_of_the_api_describe_parameters_of_the_signature(tmp_path):
    pytest.importorskip("sphinx")
    shutil.copytree(ROOT / "docs" / "_extensions", tmp_path / "_extensions")
    (tmp_path / "conf.py").write_text(
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path / '_extensions')!r}]\n"
        "extensions = ['sphinx.ext.autodoc', 'docstrings']\ndefault_role = 'code'\n"
    )
    pages = tmp_path / "api" / "generated"
    pages.mkdir(parents=True)
    (tmp_path / "index.rst").write_text("API\n===\n")
    (pages / "evaluate.rst").write_text(":orphan:\n\nevaluate\n========\n\n.. autofunction:: xr_sr.evaluate\n")
    built = tmp_path / "html"
    subprocess.run([sys.executable, "-m", "sphinx", "-q", tmp_path, built], check=True)
    page = built / "api" / "generated" / "evaluate.html"

    def checked() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, ROOT / ".ci" / "check_docs.py", built]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert (checked().stdout, checked().returncode) == ("", 0)
    for name in ("lr", "sr", "hr"):
        assert f"<strong>{name}</strong> – " in page.read_text()
    page.write_text(page.read_text().replace("<strong>hr</strong>", "<strong>hr</strong> (<em>lr</em>, <em>sr</em>,)"))
    assert "'hr (lr, sr,)' is not a parameter" in checked().stdout
    assert checked().returncode == 1
