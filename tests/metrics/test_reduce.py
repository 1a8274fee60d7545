"""The lazy quantile is the number that a sort finds, to the bit, however an array is cut."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xr_sr.metrics import reduce
from xr_sr.metrics.reduce import Layout, lazy_quantile

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=False)


@settings(deadline=None, max_examples=15)
@given(
    values=hnp.arrays("float32", (2, 7, 9), elements=FLOATS),
    share=st.floats(0, 1),
    chunk=st.integers(4, 9),
    at_once=st.sampled_from([0, 63]),
)
def test_quantile_equals_a_sort(values, share, chunk, at_once):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduce, "_SORTED_AT_ONCE", at_once)
        found = lazy_quantile(da.from_array(values, chunks=(1, chunk, chunk)), share).compute()

    for date in range(2):
        known = np.sort(values[date][np.isfinite(values[date])])
        expected = known[max(1, int(share * known.size)) - 1] if known.size else np.nan
        np.testing.assert_array_equal(found[date], expected)


@pytest.mark.parametrize("fill", [np.nan, 0.0, "nearest"])
@pytest.mark.parametrize("giant", [2**20, 0])
@pytest.mark.parametrize("chunks", [(2, 3, 40, 37), (1, 1, 7, 11)])
def test_blocks_with_context_are_those_of_the_padded_scene(fill, giant, chunks, monkeypatch):
    monkeypatch.setattr(reduce, "GIANT", giant)
    values = np.random.default_rng(1).random((2, 3, 40, 37))
    layout, halo = Layout((12, 20, 8), (30, 7)), 9

    wide = layout.wider(da.from_array(values, chunks=chunks), halo, fill=fill)

    options = {"mode": "edge"} if fill == "nearest" else {"constant_values": fill}
    padded = np.pad(values, [(0, 0), (0, 0), (halo, halo), (halo, halo)], **options)
    assert wide.chunks == ((1, 1), (3,), (30, 38, 26), (48, 25))
    np.testing.assert_array_equal(wide.blocks[1, 0, 1, 1].compute(), padded[1:, :, 12:50, 30:55])
    np.testing.assert_array_equal(wide.blocks[0, 0, 0, 0].compute(), padded[:1, :, :30, :48])
    np.testing.assert_array_equal(layout.cut(da.from_array(values, chunks=chunks)).compute(), values)


def test_what_lies_in_a_border_is_beyond_the_scene():
    values = np.arange(400.0).reshape(20, 20)
    layout = Layout((12, 8), (20,)).inside(3)

    wide = layout.wider(da.from_array(values, chunks=7), 2)

    assert (layout.rows, layout.columns, layout.border) == ((9, 5), (14,), 3)
    expected = np.pad(values[3:-3, 3:-3], 2, constant_values=np.nan)
    np.testing.assert_array_equal(wide.blocks[0, 0].compute(), expected[:13])
    np.testing.assert_array_equal(wide.blocks[1, 0].compute(), expected[9:])


def test_a_border_wider_than_a_block_cuts_the_rest_anew():
    layout = Layout((30, 30, 30), (90,)).inside(35)

    assert layout == Layout((20,), (20,), 35)
