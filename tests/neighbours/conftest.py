"""Collect these tests only in the environments that `tests/neighbours/run` builds."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("XR_SR_NEIGHBOURS") else ["test_*.py"]
