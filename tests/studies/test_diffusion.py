"""What the study of diffusion measures by itself."""

from __future__ import annotations

import numpy as np
import pytest

from studies.diffusion import crps


@pytest.mark.parametrize("count", [4, 8, 16])
def test_the_score_of_pairs_is_that_of_many_members(count: int):
    """Normal members score a normal truth, of equal deviation 1, by 1 / sqrt(pi)."""
    chance = np.random.default_rng(0)
    half = chance.normal(size=(count // 2, 1, 300, 300))
    members = np.stack([half, -half], axis=1).reshape(count, 1, 300, 300)

    assert crps(members, chance.normal(size=(1, 300, 300))) == pytest.approx(np.pi**-0.5, rel=0.01)


def test_an_odd_number_of_members_is_no_pairs():
    with pytest.raises(AssertionError, match="odd number"):
        crps(np.zeros((3, 1, 2, 2)), np.zeros((1, 2, 2)))
