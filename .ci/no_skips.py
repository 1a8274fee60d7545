"""A pytest plugin for CI: a test that skips has failed, unless it is for a GPU or a browser.

Missing data, a library that is not installed or an index out of reach would otherwise turn tests off unnoticed.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

MAY_SKIP = ("gpu", "browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure; expected failures stay what they are."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and not any(map(item.get_closest_marker, MAY_SKIP)):
        report.outcome = "failed"
        report.longrepr = f"Skipped, which only tests marked {' or '.join(MAY_SKIP)} may do in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module into a failure: it hides how many tests it is about."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"Skipped as a whole module; mark its tests instead: {report.longrepr}"
    return report
