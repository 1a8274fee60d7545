"""The study of trust: which goals are judged, and by what."""

import pytest

from studies import trust

PLACES = ("one", "two")


class Page:
    """What `_judge` writes to."""

    def __init__(self):
        self.verdicts = {}

    def text(self, *lines):
        pass

    def target(self, claim, met):
        assert claim not in self.verdicts
        self.verdicts[claim] = met


def judged(models, **changed):
    """Judge rows of gains over the official network, in dB by model; the rest is equal but for `changed`."""
    rows = [
        {"place": place, "sensor": sensor, "model": model, "psnr": 30.0 + gain, "ssim": 0.8, "sam": 2.0}
        | {"reflectance": 0.004 if model == trust.PEER else 0.001}
        for place in PLACES
        for sensor in trust.SENSORS
        for model, gain in models.items()
    ]
    for row in rows:
        if (row["place"], row["model"]) == ("two", trust.DEFAULT):
            row |= changed
    page = Page()
    trust._judge(page, rows)
    return page.verdicts


GAINS = {"sen2sr-lite": 0.0, "kriging": 0.6, "kriging-estimate": 0.8, "sen2sr": 1.5}


def missed(verdicts):
    return [claim for claim, met in verdicts.items() if not met]


def test_each_column_of_each_row_is_judged():
    verdicts = judged(GAINS)

    assert len(verdicts) == len(trust.GOALS) * len(trust.SENSORS) + len(trust.EACH) * len(PLACES) + 1
    assert missed(verdicts) == []


def test_a_gain_below_its_goal_is_missed_in_that_column_alone():
    found = missed(judged(GAINS | {"kriging-estimate": 0.35}))

    assert found == [
        "`kriging-estimate` over `sen2sr-lite`, as modeled: +0.350 dB PSNR (goal +0.40)",
        "`kriging-estimate` over `sen2sr-lite`, point spread 20 % wider: +0.350 dB PSNR (goal +0.80)",
    ]


@pytest.mark.parametrize(("name", "worse"), [("ssim", 0.79), ("sam", 2.1), ("psnr", 30.0), ("reflectance", 0.0035)])
def test_one_place_or_the_agreement_is_enough_to_miss(name, worse):
    label = "times as far from its input" if name == "reflectance" else f"two: {trust.SHOWN[name]}"

    assert any(label in claim for claim in missed(judged(GAINS, **{name: worse})))


def test_models_that_were_left_out_are_not_judged():
    verdicts = judged({"kriging": 0.6, "sen2sr-lite": 0.0})

    assert len(verdicts) == len(trust.SENSORS)
