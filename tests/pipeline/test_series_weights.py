"""Weights of dates in the planes of a joined block."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from xr_sr.pipeline import series_weights


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("dates", [1, 4, 9, 17])
def test_weights_come_out_of_the_planes_that_they_were_written_into(dates: int, scale: int):
    weights = np.random.default_rng(0).random((dates, 5, 7), np.float32)
    image = np.full((3 + series_weights.planes_for(dates, scale), 5 * scale, 7 * scale), np.nan, np.float32)

    series_weights.write(weights, image[3:])

    planes = [da.from_array(plane, chunks=(2 * scale, 4 * scale)) for plane in image[3:]]
    found = series_weights.weights_in(planes, dates, scale)
    assert found.chunks == ((1,) * dates, *planes[0].chunks)
    np.testing.assert_array_equal(found.compute(), weights.repeat(scale, axis=1).repeat(scale, axis=2))
    assert np.isfinite(image[3:]).all()
    assert np.isnan(image[:3]).all()


def test_as_many_planes_are_needed_as_hold_all_dates():
    assert [series_weights.planes_for(dates, 4) for dates in (1, 16, 17, 40)] == [1, 1, 2, 3]
    assert [series_weights.planes_for(dates, 2) for dates in (1, 4, 5)] == [1, 1, 2]
