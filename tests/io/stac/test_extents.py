"""Boxes in degrees: what is a box, what crosses the antimeridian, and which box is narrowest."""

from __future__ import annotations

from datetime import UTC, datetime

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xr_sr.errors import GridError, OptionError
from xr_sr.io.stac.extents import (
    around,
    box_of_items,
    footprint,
    item_box,
    meet,
    middle,
    normalized,
    overlap,
    read_box,
    split,
)
from xr_sr.io.stac.search import items_in
from xr_sr.io.stac.target import read_area

lons = st.floats(-180, 179.9).map(lambda lon: round(lon, 3))
widths = st.floats(0.01, 60).map(lambda width: round(width, 3))
boxes = st.tuples(lons, widths).map(lambda pair: normalized(pair[0], -17.0, pair[0] + pair[1], -16.0))


def item(bbox=None, geometry=None) -> pystac.Item:
    return pystac.Item("x", geometry, bbox, datetime.now(UTC), {})


def ring(west: float, east: float, south: float = -17.0, north: float = -16.0) -> list:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


class TestReading:
    @pytest.mark.parametrize(
        ("given", "box"),
        [
            ((12.0, 50.0, 13.0, 51.0), (12.0, 50.0, 13.0, 51.0)),
            ((179.5, -17, -179.5, -16), (179.5, -17, 180.5, -16)),
            ((179.5, -17, 180.5, -16), (179.5, -17, 180.5, -16)),
            ((-180.5, -17, -179.5, -16), (179.5, -17, 180.5, -16)),
            ((190, -17, 191, -16), (-170, -17, -169, -16)),
            ((-180, -90, 180, 90), (-180, -90, 180, 90)),
            ((12.0, 50.0, 0.0, 13.0, 51.0, 900.0), (12.0, 50.0, 13.0, 51.0)),
        ],
    )
    def test_west_greater_than_east_crosses_the_antimeridian(self, given, box):
        assert read_box(given) == box

    @pytest.mark.parametrize(
        "wrong",
        ["1,2,3,4", (1, 2, 3), (13, 50, 12, 51), (12, 51, 13, 50), (12, 50, 12, 51), (12, 50, 13, float("nan")),
         (12, 50, 13, 91), (500, 50, 501, 51), None, 4],
    )  # fmt: skip
    def test_what_is_no_box_is_refused(self, wrong):
        with pytest.raises(OptionError, match="west"):
            read_box(wrong)

    @given(box=boxes)
    def test_the_geojson_form_of_a_box_is_read_as_the_same_box(self, box):
        west, south, east, north = box

        assert read_box((west, south, east - 360 * (east > 180), north)) == pytest.approx(box, abs=1e-9)

    @given(box=boxes)
    def test_parts_are_valid_everywhere_and_as_wide_as_the_box(self, box):
        parts = split(box)

        assert all(-180 <= west < east <= 180 for west, _, east, _ in parts)
        assert sum(east - west for west, _, east, _ in parts) == pytest.approx(box[2] - box[0])
        assert all(meet(part, box) for part in parts)


class TestAround:
    @given(several=st.lists(boxes, min_size=1, max_size=5))
    def test_it_holds_all_boxes_and_no_turn_makes_it_narrower(self, several):
        west, _, east, _ = around(several)

        starts = [box[0] for box in several]
        for start in starts:  # the narrowest box begins at the west of one of them
            ends = [(box[0] - start) % 360 + box[2] - box[0] for box in several]
            assert east - west <= max(ends) + 1e-6
        for box in several:
            start = (box[0] - west + 1e-9) % 360  # rounding may put a west side just before the box's own
            assert start + box[2] - box[0] <= east - west + 1e-6

    def test_items_on_both_sides_of_the_antimeridian_make_a_narrow_box(self):
        east, across, west = (
            item([178.0, -17.0, 179.0, -16.0]),
            item([178.6, -17.5, -179.9, -16.0]),
            item([-179.9, -17, -179, -16]),
        )

        assert box_of_items([east, across, west]) == pytest.approx((178.0, -17.5, 181.0, -16.0))
        assert box_of_items([east, west]) == pytest.approx((178.0, -17.0, 181.0, -16.0))
        assert box_of_items([east]) == (178.0, -17.0, 179.0, -16.0)
        assert len(items_in([east, across, west], read_area(bbox=(-179.95, -17.0, -179.92, -16.0)))) == 1
        assert len(items_in([east, across, west], read_area(bbox=(179.8, -17.0, -179.5, -16.0)))) == 2

    def test_without_any_place_the_way_out_is_named(self):
        with pytest.raises(GridError, match="pass bbox="):
            box_of_items([item()])


class TestItems:
    @pytest.mark.parametrize(
        "geometry",
        [
            {"type": "MultiPolygon", "coordinates": [[ring(179.2, 180.0)], [ring(-180.0, -179.7)]]},
            {"type": "Polygon", "coordinates": [ring(179.2, -179.7)]},
            {"type": "Polygon", "coordinates": [ring(179.2, 180.3)]},
        ],
    )
    def test_a_box_around_the_globe_is_replaced_by_that_of_the_geometry(self, geometry):
        made = item([-180.0, -17.0, 180.0, -16.0], geometry)

        assert item_box(made) == pytest.approx((179.2, -17.0, 180.3, -16.0))
        assert footprint(made).boundingbox.bbox == pytest.approx((179.2, -17.0, 180.3, -16.0))
        assert abs(abs(middle(item_box(made))) - 179.75) < 1e-9

    def test_shares_of_overlap(self):
        one, half, apart = (footprint(item([west, -17.0, west + 1, -16.0])) for west in (10.0, 10.5, 12.0))

        assert overlap(one, half) == pytest.approx((0.5, 1 / 3))
        assert overlap(one, one) == pytest.approx((1, 1))
        assert overlap(one, apart) == (0, 0)
