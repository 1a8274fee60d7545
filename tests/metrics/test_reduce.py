"""The lazy quantile is the number that a sort finds, to the bit, however an array is cut."""

from __future__ import annotations

import dask.array as da
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xr_sr.metrics.reduce import lazy_quantile

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=False)


@settings(deadline=None, max_examples=15)
@given(
    values=hnp.arrays("float32", (2, 7, 9), elements=FLOATS),
    share=st.floats(0, 1),
    chunk=st.integers(4, 9),
)
def test_quantile_equals_a_sort(values, share, chunk):
    found = lazy_quantile(da.from_array(values, chunks=(1, chunk, chunk)), share).compute()

    for date in range(2):
        known = np.sort(values[date][np.isfinite(values[date])])
        expected = known[max(1, int(share * known.size)) - 1] if known.size else np.nan
        np.testing.assert_array_equal(found[date], expected)
