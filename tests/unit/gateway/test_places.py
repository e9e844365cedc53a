"""Places of those who watch or follow."""

from __future__ import annotations

import pytest

from streamd.errors import ViewersFull
from streamd.gateway.places import Places


def taken(places: Places, user: str | None) -> int:
    """How many this user gets until there are no more."""
    count = 0
    while True:
        try:
            places.take(user)
        except ViewersFull:
            return count
        count += 1


@pytest.mark.parametrize(("most", "share"), [(64, 48), (8, 6), (2, 1), (1, 1), (0, 0)])
def test_one_user_gets_three_in_four_and_another_the_rest(most: int, share: int) -> None:
    places = Places(most, bound="gateway.max_viewers")
    assert (taken(places, "ana"), taken(places, "ben")) == (share, most - share)


def test_where_nobody_logs_in_all_places_are_for_whoever_comes() -> None:
    places = Places(8, bound="gateway.max_viewers")
    assert taken(places, None) == 8
    with pytest.raises(ViewersFull, match=r"8 watch or follow already, as many as gateway\.max_viewers allows"):
        places.take("ana")


def test_a_place_that_was_left_is_free_again() -> None:
    places = Places(4, bound="gateway.max_viewers")
    assert taken(places, "ana") == 3
    places.leave("ana")
    assert (places.taken, taken(places, "ana")) == (2, 1)
    with pytest.raises(ViewersFull, match="'ana' has 3 places of 4 already"):
        places.take("ana")
