"""Count the size and the layout of the package, beside an earlier commit.

    python -m benchmarks.structure [--before 29d1a77] [--measure | --seconds NOW] [--write]

Prints a Markdown table; with --write it is saved as benchmarks/results/structure.md, which docs/architecture.md shows.
--measure times `pytest -m "not slow"`. The earlier commit is read from git; nothing is checked out.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_PARAMETERS = 8


@dataclass(frozen=True)
class Module:
    """A module of the package. name: "xr_sr.kernels.window"; a package is named like its folder."""

    name: str
    path: Path
    tree: ast.Module


def modules_of(root: Path) -> list[Module]:
    """Parse all modules of the package under a root folder."""
    found = []
    for path in sorted((root / "xr_sr").rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append(Module(".".join(parts), path, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def imports_of(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports, those inside functions included."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                if full in known or base in known:
                    yield full if full in known else base


def rooms_of(modules: list[Module], *, inner: bool) -> dict[str, set[str]]:
    """Return which rooms each room imports: folders and loose modules directly under xr_sr/.

    The `__init__` and `__main__` of the package are left out: they name rooms of all levels. inner: folders inside a
    folder are rooms of their own.
    """
    known = frozenset(module.name for module in modules)
    packages = {module.name for module in modules if module.path.name == "__init__.py"}

    def room(name: str) -> str:
        parts = name.split(".")
        return ".".join(parts[1:3]) if inner and ".".join(parts[:3]) in packages else ".".join(parts[1:2])

    graph: dict[str, set[str]] = {room(name): set() for name in known if room(name) not in ("", "__main__")}
    for module in modules:
        if (here := room(module.name)) in graph:
            graph[here] |= {there for target in imports_of(module, known) if (there := room(target)) in graph} - {here}
    return graph


def levels(modules: list[Module]) -> int:
    """Count the rooms in the longest chain of imports, with xr_sr/__init__ at its top."""
    graph = rooms_of(modules, inner=False)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        graph = rooms_of(modules, inner=True)
        order = list(TopologicalSorter(graph).static_order())
    height: dict[str, int] = {}
    for room in order:
        height[room] = 1 + max((height[below] for below in graph[room]), default=0)
    return 1 + max(height.values())


def declared_levels(root: Path) -> int:
    """Count the levels in the table of tests/test_structure.py."""
    tree = ast.parse((root / "tests" / "test_structure.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and "LEVELS" in ast.unparse(node.targets[0]):
            assert isinstance(node.value, ast.Tuple | ast.List | ast.Dict)
            return len(node.value.keys if isinstance(node.value, ast.Dict) else node.value.elts)
    raise SystemExit("tests/test_structure.py has no table LEVELS.")


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the parameters of a function without self and cls; *args and **kwargs count one each."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if names and names[0] in ("self", "cls"):
        names.pop(0)
    return len(names) + sum(each is not None for each in (arguments.vararg, arguments.kwarg))


def long_functions(modules: list[Module]) -> int:
    """Count the functions and methods with more than 8 parameters."""
    nodes = (node for module in modules for node in ast.walk(module.tree))
    functions = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return sum(parameters_of(function) > MOST_PARAMETERS for function in functions)


def classes_and_types(tree: ast.Module) -> Iterator[str]:
    """Yield the public classes and types that a module defines: what is named in CapWords."""
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.ClassDef):
            targets = [ast.Name(node.name)]
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        for target in targets:
            if isinstance(target, ast.Name) and re.fullmatch(r"[A-Z]\w*[a-z]\w*", target.id):
                yield target.id


def defined_twice(modules: list[Module]) -> dict[str, list[str]]:
    """Return the modules that define a public class or type alias, for the names with several."""
    where = defaultdict(list)
    for module in modules:
        for name in classes_and_types(module.tree):
            where[name].append(module.name)
    return {name: places for name, places in sorted(where.items()) if len(places) > 1}


def count(root: Path) -> dict[str, object]:
    """Count one state of the repository."""
    modules = modules_of(root)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = sum(len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules)
    loose = [module for module in modules if module.path.parent == root / "xr_sr"]
    return {
        "modules at the top of `xr_sr/`": len(loose),
        "import levels that the test of the layout declares": declared_levels(root),
        "longest chain of imports between folders and loose modules": levels(modules),
        "package files": len(modules),
        "package lines": f"{lines:,}",
        f"functions with more than {MOST_PARAMETERS} parameters": long_functions(modules),
        "public classes and types defined in two modules": len(defined_twice(modules)),
        "core dependencies": len(project["dependencies"]),
    }


def count_commit(commit: str) -> dict[str, object]:
    """Count an earlier commit, unpacked from git into a temporary folder."""
    made = subprocess.run(
        ["git", "archive", commit, "xr_sr", "tests/test_structure.py", "pyproject.toml"], cwd=ROOT, capture_output=True
    )
    if made.returncode:
        raise SystemExit(f"git has no commit {commit}: {made.stderr.decode().strip()}. Clone with the full history.")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return count(Path(folder))


def seconds_of_tests() -> float:
    """Time `pytest -m "not slow"` in this environment; raises SystemExit if tests fail."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "not slow"], cwd=ROOT)
    if done.returncode:
        raise SystemExit("tests failed; a time of failing tests says nothing.")
    return time.perf_counter() - start


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="29d1a77", help="commit to compare with (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help='measured seconds of `pytest -m "not slow"`')
    parser.add_argument(
        "--seconds-before", type=float, help="seconds of all tests at the earlier commit, which has no mark"
    )
    parser.add_argument("--measure", action="store_true", help='time `pytest -m "not slow"`')
    parser.add_argument("--write", action="store_true", help="also write benchmarks/results/structure.md")
    parser.add_argument("--names", action="store_true", help="also list the names that are defined in two modules")
    given = parser.parse_args()
    before, now = count_commit(given.before), count(ROOT)
    seconds = seconds_of_tests() if given.measure else given.seconds
    rows = [(what, before[what], value) for what, value in now.items()]
    if seconds is not None:
        earlier = "not marked" if given.seconds_before is None else f"{given.seconds_before:.0f} (all tests)"
        rows.append(('seconds of `pytest -m "not slow"`', earlier, f"{seconds:.0f}"))
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = ["# Structure", "", "`python -m benchmarks.structure`", ""]
    lines += [f"| | commit {given.before} | commit {head or 'unknown'} |", "| --- | --- | --- |"]
    lines += [f"| {what} | {one} | {other} |" for what, one, other in rows]
    page = "\n".join(lines) + "\n"
    print(page)
    if given.names:
        print("\n".join(f"{name}: {', '.join(places)}" for name, places in defined_twice(modules_of(ROOT)).items()))
    if given.write:
        (Path(__file__).parent / "results" / "structure.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
