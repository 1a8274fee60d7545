"""dask's query planning of arrays, which is not supported: one sentence instead of an error from deep inside."""

from __future__ import annotations

import sys

from ..errors import EngineError

__all__ = ["refuse_query_planning"]


def refuse_query_planning() -> None:
    """Raise EngineError where `array.query-planning` is on in this process; imports no dask.array.

    Under it dask's arrays are expressions, which take no graph of tasks (dask 2026.8), and neither `.mean()` nor
    `store` of xarray work on them.
    """
    array = sys.modules.get("dask.array")
    enabled = getattr(array, "ARRAY_EXPR_ENABLED", None)  # fixed when dask.array is imported
    if enabled is None:
        import dask

        enabled = dask.config.get("array.query-planning", None)
    if enabled:
        raise EngineError(
            "dask's query planning of arrays is on (array.query-planning), and xr_sr does not support it yet. Turn it "
            "off before dask.array is imported: set the environment variable DASK_ARRAY__QUERY_PLANNING=False, or call "
            "dask.config.set({'array.query-planning': False}), and start Python again."
        )
