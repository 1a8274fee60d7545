"""The study of phases: what it measures of a pattern that is known."""

import numpy as np
import pytest

from studies import phases


def test_a_pattern_is_found_in_any_ground():
    """Each input pixel repeated has none; a pattern of 0.01 is found as it is, also beside nodata and in two dates."""
    generator = np.random.default_rng(1)
    coarse = generator.uniform(0, 0.5, (2, 12, 9))
    fine = coarse.repeat(4, -2).repeat(4, -1)
    coarse[0, :3], fine[0, :12] = np.nan, np.nan
    pattern = np.tile(generator.normal(0, 0.01, (4, 4)), (12, 9))

    assert phases.deviation(fine, coarse) == pytest.approx(0, abs=1e-12)
    assert phases.deviation(fine + pattern, coarse) == pytest.approx(pattern[:4, :4].std(), rel=1e-9)
    assert phases.deviation(fine + 0.1, coarse) == pytest.approx(0, abs=1e-12)
