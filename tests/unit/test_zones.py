from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.domain import Box, Yuv420
from streamd.masking import Mask
from streamd.zoneconfig import ZoneConfig
from streamd.zones import Stay, Zones, contains

SQUARE = ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6), (0.2, 0.6))
SIZE = (1000, 500)


def at(x: float, y: float) -> Box:
    """A face whose middle is there, in shares of the view."""
    return Box(x * 1000 - 20, y * 500 - 20, x * 1000 + 20, y * 500 + 20)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_square_contains_what_lies_between_its_sides(x: float, y: float) -> None:
    if all(abs(v - edge) > 1e-6 for v in (x, y) for edge in (0.2, 0.6)):
        assert contains(SQUARE, x, y) == (0.2 < x < 0.6 and 0.2 < y < 0.6)


def test_a_polygon_may_be_concave() -> None:
    horseshoe = ((0, 0), (1, 0), (1, 1), (0.7, 1), (0.7, 0.3), (0.3, 0.3), (0.3, 1), (0, 1))
    assert contains(horseshoe, 0.1, 0.9)
    assert not contains(horseshoe, 0.5, 0.9)


def test_faces_are_in_the_zones_around_their_middle_and_ignored_in_excluded_ones() -> None:
    zones = Zones(
        {
            "step": ZoneConfig(points=SQUARE, dwell_s=2.0),
            "screen": ZoneConfig(points=((0.8, 0), (1, 0), (1, 1), (0.8, 1)), kind="exclude"),
        }
    )
    assert zones.any_included
    assert zones.around(at(0.4, 0.4), SIZE) == {"step": 2.0}
    assert zones.around(at(0.7, 0.4), SIZE) == {}
    assert zones.ignores(at(0.9, 0.5), SIZE)
    assert not zones.ignores(at(0.4, 0.4), SIZE)


def test_a_zone_counts_after_its_dwell_time_and_begins_anew_after_leaving() -> None:
    stay = Stay()
    stay.look({"step": 2.0, "yard": 0.0}, 10.0)
    assert stay.now == ("yard",)
    stay.look({"step": 2.0}, 12.0)
    assert stay.now == ("step",)
    stay.look({}, 12.5)
    stay.look({"step": 2.0}, 13.0)
    assert stay.now == ()
    assert stay.counted, "it was in a zone once"


def test_masked_pixels_are_black_and_grey_and_no_others_change() -> None:
    planes = np.full((90, 80), 200, np.uint8)
    picture = Mask([((0, 0), (0.5, 0), (0.5, 0.5), (0, 0.5))]).on_yuv420(Yuv420(planes, "bt601", False))
    luma, chroma = picture.planes[:60], picture.planes[60:].reshape(2, 30, 40)
    assert (luma[:30, :40] == 16).all()
    assert (luma[32:] == 200).all()
    assert (luma[:, 42:] == 200).all()
    assert (chroma[:, :15, :20] == 128).all()
    assert (chroma[:, 17:] == 200).all()


def test_a_mask_does_not_write_into_memory_that_is_not_its_own() -> None:
    image = np.full((20, 20, 3), 9, np.uint8)
    image.setflags(write=False)
    hidden = Mask([((0, 0), (1, 0), (1, 1))]).on(image)
    assert (image == 9).all()
    assert (hidden == 0).any()


@pytest.mark.parametrize("points", [((0, 0), (1, 1)), ((0, 0), (1, 0), (2, 1))])
def test_a_zone_has_at_least_three_corners_inside_the_view(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 3|less than or equal to 1"):
        ZoneConfig(points=points)
