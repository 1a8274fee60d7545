"""A date is a position or a time stamp, in any zone; what is neither is refused by name."""

import numpy as np
import pytest

from xr_sr.cube.time import nearest_place, place_of
from xr_sr.errors import OptionError

STAMPS = np.array(["2023-07-01", "NaT", "2023-06-01", "2023-06-01T12:00"], "datetime64[ns]")


@pytest.mark.parametrize(
    ("date", "place"),
    [(None, 0), (2, 2), (-1, -1), (np.int64(1), 1), ("2023-06-02", 3), ("2023-06-01T03:00+02:00", 2), ("2023-08", 0)],
)
def test_the_nearest_is_taken(date, place):
    assert place_of(date, STAMPS, holder="SR") == place


def test_of_two_as_near_the_first_counts():
    assert nearest_place(STAMPS[2:][::-1], np.datetime64("2023-06-01T06:00")) == 0


@pytest.mark.parametrize(
    ("date", "words"),
    [
        (4, "SR has 4 dates"),
        (-5, "SR has 4 dates"),
        *((date, "no date") for date in ("soon", "July", "01/07/2023", "")),
    ],
)
def test_what_is_no_date_here_is_refused(date, words):
    with pytest.raises(OptionError, match=words):
        place_of(date, STAMPS, holder="SR")


def test_positions_alone_have_no_dates():
    with pytest.raises(OptionError, match="only positions 0 to 2"):
        place_of("2023-06-01", np.arange(3), holder="the map")


@pytest.mark.parametrize("date", [True, False, np.True_])
def test_a_truth_value_is_no_position(date):
    with pytest.raises(
        OptionError, match=f"date={date!r}: expected a position".replace("(", r"\(").replace(")", r"\)")
    ):
        place_of(date, np.array(["2023-06-01", "2023-06-02"], "datetime64[ns]"), holder="the cube")
