"""Statistics of windows: sums of parts, windows with NaN, energies, and the weighing with published values."""

from __future__ import annotations

import numpy as np
import pytest

from xr_sr.kernels.sharpness import features, merged, sharpness, window_sums


def image(side: int = 120, seed: int = 0) -> np.ndarray:
    """Blurred fields of sharp borders: (y, x) reflectance."""
    random = np.random.default_rng(seed)
    fields = np.kron(random.uniform(0.05, 0.4, (side // 12 + 1, side // 12 + 1)), np.ones((12, 12)))[:side, :side]
    blurred = (fields + np.roll(fields, 1, 0) + np.roll(fields, 1, 1)) / 3
    return (blurred + random.normal(0, 0.001, blurred.shape)).astype("float32")


def test_sums_of_parts_are_the_sums_of_the_whole():
    one, other = window_sums(image()), window_sums(image(seed=1))

    both = merged([one, other])

    assert both.dtype == np.int64
    assert both[:, 0].sum() == 2 * 57**2
    np.testing.assert_array_equal(merged([other, one]), both)


def test_windows_with_nan_do_not_count():
    holed = image()
    holed[40:48, 40:48] = np.nan

    assert window_sums(holed)[:, 0].sum() == 57**2 - 7**2
    assert window_sums(np.full((5, 90), 0.2, "float32")).sum() == 0


def test_gain_and_offset_leave_the_rings():
    plain, _ = features(window_sums(image()), "B04")
    scaled, _ = features(window_sums(0.1 + 0.7 * image()), "B04")

    np.testing.assert_allclose(scaled[:-1], plain[:-1], atol=0.02)


def test_the_published_value_counts_as_much_as_the_spread_says():
    sums = [window_sums(image())] * 2

    alone, weighed = (sharpness(sums, ["B03", "B04"], shrink=shrink) for shrink in (False, True))

    np.testing.assert_array_equal(alone.mtf, alone.raw)
    assert (weighed.std < alone.std).all()
    for n, published in enumerate((0.28, 0.24)):
        assert min(alone.mtf[n], published) <= weighed.mtf[n] + 0.02
        assert weighed.mtf[n] <= max(alone.mtf[n], published) + 0.02


@pytest.mark.parametrize(("side", "word"), [(20, "windows"), (0, "windows")])
def test_too_few_windows(side, word):
    found = sharpness([window_sums(image()[:side, :side])], ["B04"])

    assert np.isnan(found.mtf).all()
    assert word in found.reason[0]
