"""CONTRIBUTING.md adds a metric, an input convention and a model: the blocks of the page, in a copy of the package."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n# (?P<place>[^\n]+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(heading: str) -> list[tuple[str, str]]:
    """Return (place, code) of the blocks below a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [(match["place"], match["code"]) for match in BLOCK.finditer(section)]


def value_of(tree: ast.Module, name: str) -> ast.stmt:
    """Return the statement that assigns a module's constant."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    raise AssertionError(f"there is no {name}")


def line_after(statement: ast.stmt, entry: str) -> int:
    """Return the last line of an entry of a constant: of a name, or of a call whose first argument is that text."""
    for node in ast.walk(statement):
        first = node.args[0] if isinstance(node, ast.Call) and node.args else node
        if ast.unparse(first) in (entry, repr(entry.strip('"'))) and isinstance(
            node, ast.Call | ast.Name | ast.Attribute
        ):
            assert node.end_lineno is not None
            return node.end_lineno
    raise AssertionError(f"there is no entry {entry}")


def paste(root: Path, place: str, code: str) -> None:
    """Do with a block what its first line says."""
    path, _, where = place.partition(", ")
    file = root / path
    if where == "a new file":
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    if where == "with the imports":
        at = next(node.lineno - 1 for node in tree.body if isinstance(node, ast.ImportFrom) and node.level)
    elif above := re.fullmatch(r"above (\w+)", where):
        at = value_of(tree, above[1]).lineno - 1
        code += "\n\n"
    else:
        inside = re.fullmatch(r"in (\w+) after (.+)", where)
        assert inside, place
        at = line_after(value_of(tree, inside[1]), inside[2])
        code = f"{code.rstrip()},"
    file.write_text("\n".join([*lines[:at], *code.splitlines(), *lines[at:]]) + "\n", encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package with its tests, and of what these import and read."""
    for folder in ("xr_sr", "tests", "recipes", "benchmarks", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    for file in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True)


NEIGHBORS = {
    "Add a metric": ["tests/metrics/test_records.py"],
    "Add an input convention": ["tests/conventions", "tests/cube/test_names.py"],
    "Add a model": ["tests/catalog/test_registry.py", "tests/catalog/test_bundled.py", "tests/networks/test_detect.py"],
}
"""Tests of all metrics, conventions and models, which the addition must pass too."""


@pytest.mark.slow
@pytest.mark.parametrize("heading", NEIGHBORS)
def test_an_addition_works_as_the_page_describes_it(heading, copy):
    tests = ["tests/test_structure.py", *NEIGHBORS[heading]]
    added = 0
    for place, code in blocks_of(heading):
        if place.startswith("run once"):
            done = python(copy, "-c", code)
            assert done.returncode == 0, done.stderr
            continue
        paste(copy, place, code)
        if place.startswith("tests/"):
            tests.append(place.partition(",")[0])
            added += 1

    options = ["-q", "-W", "ignore", "-p", "no:cacheprovider", "-m", "not slow and not network"]
    done = python(copy, "-m", "pytest", *options, *tests)

    assert added
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_all_blocks_of_the_page_are_formatted_and_have_a_place():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = [each for heading in ("metric", "model") for each in blocks_of(f"Add a {heading}")]
    blocks += blocks_of("Add an input convention")

    assert text.count("```python") == len(blocks)
    for _, code in blocks:
        assert max(map(len, code.splitlines())) <= 120
