"""The study of strength: where two curves hallucinate as much."""

import pytest

from studies import strength


def point(hallucination, improvement):
    return {"psnr": 30.0, "improvement": improvement, "omission": 0.5, "hallucination": hallucination}


def test_values_lie_between_the_steps_around_the_crossing():
    """A quarter of the way from the second step to the third; of two crossings the first counts."""
    curve = {0.0: point(0.0, 0.0), 1.0: point(0.1, 0.2), 2.0: point(0.3, 0.4), 3.0: point(0.1, 0.0)}

    step, values = strength._crossing(curve, 0.15)

    assert step == pytest.approx(1.25)
    assert values["improvement"] == pytest.approx(0.25)
    assert strength._crossing(curve, 0.31) is None


def test_means_are_over_the_places_asked_for():
    rows = [
        strength.Row(place, 0.02, name, step, 30.0, improvement, 0.5, 0.1)
        for place, improvement in (("one", 0.1), ("two", 0.3), ("three", 0.9))
        for name, step in ((strength.BICUBIC, 0.0), *((strength.PEER, step) for step in strength.STEPS[strength.PEER]))
    ]

    found = strength._mean(rows, ["one", "two"], strength.PEER)

    assert list(found) == [0.0, *strength.STEPS[strength.PEER]]
    assert {round(values["improvement"], 6) for values in found.values()} == {0.2}
