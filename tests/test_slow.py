"""The mark `slow` comes from a list that was measured: the slowest tests, until the others take about a minute."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.slow import listed, slowest

ROOT = Path(__file__).parents[1]


def test_each_slow_test_exists():
    there = {
        f"{path.relative_to(ROOT).as_posix()}::{node.name}"
        for path in ROOT.glob("tests/**/test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }

    assert {re.sub(r"::Test\w+", "", name) for name in listed()} <= there


def test_the_slowest_are_left_out_first():
    durations = """
    9.00s call     tests/a/test_b.py::test_long[1]
    1.00s setup    tests/a/test_b.py::test_long[2]
    3.00s call     tests/test_c.py::test_short
    0.50s call     tests/test_c.py::test_shorter
    """

    assert slowest(durations, 4) == ["tests/a/test_b.py::test_long"]
    assert slowest(durations, 1) == ["tests/a/test_b.py::test_long", "tests/test_c.py::test_short"]
