"""The server of scenes as each test finds it; `running` is of the module, with its own scenes."""

from __future__ import annotations

import pytest


@pytest.fixture
def api(running, monkeypatch):
    """The server, without failures, with an empty log, and reached without any proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running.fail_every = 0
    running.log.clear()
    return running
