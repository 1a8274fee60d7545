"""The rooms of the package: who may import whom, read from the source, imports inside functions included."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xr_sr"

LEVELS = (
    {"__main__"},
    {"__init__"},
    {"accessor", "cli"},
    {"plot"},
    {"training"},
    {"cluster"},
    {"uncertainty", "pairs"},
    {"pipeline", "samples"},
    {"sharpening"},
    {"reading", "guiding"},
    {"fusing"},
    {"assembly", "block", "grids", "own_model", "settling", "stac"},
    {"metrics", "analytics", "store"},
    {"kernels"},
    {"preparation", "registration", "simulate"},
    {"radiometry"},
    {"offsets"},
    {"dating"},
    {"metadata"},
    {"cube", "sensors"},
    {"recognition"},
    {"once", "judging"},
    {
        "dark_zeros",
        "halo",
        "lattice",
        "packings",
        "georeference",
        "engine",
        "models",
        "weights",
        "naming",
        "digital_numbers",
        "progress",
    },
    {"coarser", "locating", "trees"},
    {"gathering", "crs", "transforms"},
    {"spec", "axes"},
    {"bands", "optional", "moments", "planning", "product_metadata", "task_warnings", "unread"},
    {"arguments"},
    {"errors", "chance", "_version", "data"},
)
"""The rooms from the top down. A room imports from lower levels only: neither upward nor from its own level."""

TORCH_ROOMS = ("kernels", "models", "training")
"""Where torch may be imported at the top of a module, except in `kernels/__init__`, the door to it."""


def name_of(path: Path) -> str:
    """Give "xr_sr.kernels.window" for a file; a package is named like its folder."""
    parts = ("xr_sr", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
RANK = {room: rank for rank, level in enumerate(LEVELS) for room in level}


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
    """Give what a module imports, absolute and as deep as it is a module of ours, with the line."""
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


def ours(module: str, *, at_import: bool = False) -> list[tuple[str, int]]:
    return sorted(hit for hit in imports_of(module, at_import=at_import) if hit[0].split(".")[0] == "xr_sr")


def roots(module: str, *, at_import: bool = False) -> set[str]:
    """Give the libraries that a module imports, ours and the standard one left out."""
    names = {name.split(".")[0] for name, _ in imports_of(module, at_import=at_import)}
    return names - {"xr_sr"} - sys.stdlib_module_names


def test_the_reader_sees_the_imports_of_this_package():
    """A reader that finds nothing would pass all tests below."""
    assert "xr_sr.spec" in {name for name, _ in imports_of("xr_sr.catalog.registry")}
    assert "xr_sr.catalog.locations" in {name for name, _ in imports_of("xr_sr.catalog.registry")}
    assert "xr_sr.catalog.registry" in {
        name for name, _ in imports_of("xr_sr.catalog.fetch")
    }  # `from . import catalog`
    assert "pooch" in roots("xr_sr.catalog.fetch")
    assert "pooch" not in roots("xr_sr.catalog.fetch", at_import=True)


def test_every_room_has_its_level():
    assert {room_of(module) for module in MODULES} <= RANK.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module):
    wrong = [
        f"line {line}: {target}"
        for target, line in ours(module)
        if room_of(target) != room_of(module) and RANK[room_of(target)] <= RANK[room_of(module)]
    ]

    assert not wrong, f"{module} imports upward or sideways: {wrong}"


def test_no_imports_run_in_a_circle():
    """Neither do those of one room, whose modules may import each other."""
    graph = {module: {target for target, _ in ours(module)} for module in MODULES}

    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the circle


@pytest.mark.parametrize(
    "module", [module for module in MODULES if room_of(module) not in TORCH_ROOMS or module == "xr_sr.kernels"]
)
def test_torch_is_imported_inside_functions_outside_its_rooms(module):
    assert "torch" not in roots(module, at_import=True)


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) == "models"])
def test_models_know_neither_cubes_nor_files(module):
    assert not roots(module) & {"xarray", "dask", "zarr", "rasterio", "odc"}
    assert "pathlib" not in {name for name, _ in imports_of(module)}
    assert "xr_sr.bands" not in {name for name, _ in imports_of(module)}


@pytest.mark.parametrize(
    "module", [module for module in MODULES if room_of(module) in ("halo", "lattice", "coarser", "gathering")]
)
def test_tiles_know_numpy_and_dask_only(module):
    assert roots(module) <= {"numpy", "dask"}
