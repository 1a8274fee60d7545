"""What all tests share: the folder of real data beside the project, found in one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.slow import listed


def find_shared() -> Path | None:
    """Return the folder of real data, weights and golden outputs: `$XR_SR_SHARED`, else `../shared`."""
    named = os.environ.get("XR_SR_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "data").is_dir() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of tests/slow.txt: `pytest -m "not slow"` takes about a minute."""
    slow = listed()
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; the test is skipped, with the reason, where it is absent."""
    folder = find_shared()
    if folder is None:
        pytest.skip("no shared data: neither $XR_SR_SHARED nor ../shared beside the project is there")
    return folder


@pytest.fixture(autouse=True)
def _no_user_weights(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests see no weights of the user's and leave nothing in the user's cache."""
    monkeypatch.delenv("XR_SR_WEIGHTS", raising=False)
    monkeypatch.setenv("XR_SR_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def official(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of official weights, set as `XR_SR_WEIGHTS` for the test."""
    folder = shared / "weights"
    monkeypatch.setenv("XR_SR_WEIGHTS", str(folder))
    return folder
