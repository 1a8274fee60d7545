"""The layout of the package: folders are levels, and imports go downward only, those inside functions included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

from benchmarks.structure import defined_twice, modules_of

PACKAGE = Path(__file__).parents[1] / "xr_sr"

LEVELS = (
    {"__init__", "__main__"},
    {"accessor", "cli", "training"},
    {"plot", "datasets"},
    {"pipeline", "io", "metrics"},
    {"analytics", "registration", "simulate"},
    {"kernels", "radiometry"},
    {"cube", "tiling", "runtime", "catalog", "networks"},
    {"arguments", "bands", "conventions", "errors", "optional", "spec", "task_warnings", "_version"},
)
"""From the top down. Folders import from lower levels only, never from one of their own level."""

WALLS = {
    "networks": ("xarray", "dask", "zarr", "rasterio", "odc", "pathlib", "xr_sr.bands", "xr_sr.cube"),
    "tiling": ("xarray", "zarr", "rasterio", "odc", "torch", "xr_sr.bands", "xr_sr.cube"),
    "metrics": ("torch", "xr_sr.catalog.registry", "xr_sr.pipeline"),
    "analytics": ("torch", "xr_sr.catalog", "xr_sr.pipeline", "xr_sr.networks"),
}
"""What the modules of a folder never import, not even inside functions."""

TORCH = {"kernels", "networks", "training"}
"""Where torch is imported at the top of a module, the door `kernels/__init__.py` excepted."""


def name_of(path: Path) -> str:
    """Return "xr_sr.kernels.window" for a file; a package is named like its folder."""
    parts = ("xr_sr", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
RANK = {folder: rank for rank, level in enumerate(LEVELS) for folder in level}
LOOSE = {folder_of(module) for module, path in MODULES.items() if path.parent == PACKAGE}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def nodes_of(tree: ast.AST, *, at_import: bool) -> Iterator[ast.AST]:
    """Walk a tree; if `at_import`, only through what runs when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        if at_import and (
            is_for_types_only(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ):
            continue
        yield node
        yield from nodes_of(node, at_import=at_import)


@cache
def imports_of(module: str, *, at_import: bool = False) -> frozenset[tuple[str, int]]:
    """Return what a module imports, absolute and as deep as it is a module of ours, with the line."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in nodes_of(ast.parse(path.read_text(encoding="utf-8")), at_import=at_import):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add((full if full in MODULES else base, node.lineno))
    return frozenset(found)


def ours(module: str) -> list[tuple[str, int]]:
    return sorted(hit for hit in imports_of(module) if hit[0].split(".")[0] == "xr_sr")


def may_import(module: str, target: str) -> bool:
    """Return whether an import goes downward, stays in its folder, or joins two loose modules of one level."""
    one, other = folder_of(module), folder_of(target)
    loose = LOOSE | {"conventions"}
    return one == other or RANK[one] < RANK[other] or (RANK[one] == RANK[other] and {one, other} <= loose)


def test_the_reader_sees_the_imports_of_this_package():
    """A reader that finds nothing would pass all tests below."""
    assert "xr_sr.bands" in {name for name, _ in imports_of("xr_sr.catalog.registry")}
    assert "xr_sr.catalog.registry" in {
        name for name, _ in imports_of("xr_sr.catalog.fetch")
    }  # `from . import registry`
    assert "pooch" in {name for name, _ in imports_of("xr_sr.catalog.fetch")}
    assert "pooch" not in {name for name, _ in imports_of("xr_sr.catalog.fetch", at_import=True)}


def test_each_folder_has_its_level_and_at_most_ten_modules_are_loose():
    assert {folder_of(module) for module in MODULES} == RANK.keys()
    assert len(LOOSE | {"__init__"}) <= 10


def test_imports_go_downward():
    wrong = [
        f"{module}, line {line}: {target}"
        for module in MODULES
        for target, line in ours(module)
        if not may_import(module, target)
    ]

    assert not wrong


def test_no_imports_run_in_a_circle():
    """Neither do those of one folder, whose modules may import each other."""
    graph = {module: {target for target, _ in ours(module)} for module in MODULES}

    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


def test_walls_stand():
    wrong = [
        f"{module}, line {line}: {target}"
        for module in MODULES
        for target, line in imports_of(module)
        if any(f"{target}.".startswith(f"{other}.") for other in WALLS.get(folder_of(module), ()))
    ]
    foreign = {
        target.split(".")[0] for module in MODULES if folder_of(module) == "tiling" for target, _ in imports_of(module)
    } - sys.stdlib_module_names

    assert not wrong
    assert foreign <= {"numpy", "dask", "xr_sr"}


def test_torch_is_imported_inside_functions_outside_its_folders():
    wrong = [
        module
        for module in MODULES
        if folder_of(module) not in TORCH or module == "xr_sr.kernels"
        if any(target.split(".")[0] == "torch" for target, _ in imports_of(module, at_import=True))
    ]

    assert not wrong


SAME_TYPE = {
    "Flat": "a TypeVar, which each module of generic functions declares",
    "DoubleArray": "float64, or any float where the module says so",
    "FloatArray": "float32, or any float where the module says so",
    "IntArray": "integers of any width",
}
"""Names that several modules may define, each for itself, and why."""


def test_no_public_class_or_type_is_defined_in_two_modules():
    twice = {
        name: modules for name, modules in defined_twice(modules_of(PACKAGE.parent)).items() if name not in SAME_TYPE
    }

    assert not {name: modules for name, modules in twice.items() if name not in SAME_TYPE}


def test_each_folder_of_the_package_has_one_of_tests():
    folders = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py")}

    assert [str(folder) for folder in folders if not [*(PACKAGE.parent / "tests" / folder).glob("test_*.py")]] == []
