"""From which date ages are counted, by what the clock says and said."""

from __future__ import annotations

from streamd.wallclock import AHEAD_S, STEADY_S, Calendar

NOW_S = 1.8e9
HOUR_S = 3600.0
YEARS_S = 9 * 365 * 86_400.0


def after(calendar: Calendar, *wall_s: float) -> Calendar:
    for now_s in wall_s:
        calendar = calendar.seen(now_s)
    return calendar


def hours(start_s: float, count: float) -> list[float]:
    """What a steady clock says."""
    return [start_s + n * HOUR_S for n in range(int(count) + 1)]


def test_a_clock_that_goes_on_is_believed_also_after_a_night() -> None:
    calendar = after(Calendar(NOW_S), NOW_S + HOUR_S, NOW_S + 20 * HOUR_S)
    assert calendar == Calendar(NOW_S + 20 * HOUR_S)
    assert calendar.reckoned(NOW_S + 20 * HOUR_S) == NOW_S + 20 * HOUR_S


def test_a_clock_that_is_years_ahead_for_some_hours_makes_nothing_older() -> None:
    ahead = after(Calendar(NOW_S), *hours(NOW_S + YEARS_S, 23))
    assert ahead.reckoned(NOW_S + YEARS_S) == NOW_S
    assert after(ahead, NOW_S + 24 * HOUR_S) == Calendar(NOW_S + 24 * HOUR_S), "it was set right"


def test_a_box_that_was_off_for_months_believes_its_clock_after_a_day() -> None:
    back_s = NOW_S + 90 * 86_400
    assert after(Calendar(NOW_S), *hours(back_s, 24)) == Calendar(back_s + STEADY_S)


def test_a_box_that_is_on_for_a_few_hours_a_week_believes_its_clock() -> None:
    week_s = 7 * 86_400.0
    calendar = after(Calendar(NOW_S), *hours(NOW_S + week_s, 5), *hours(NOW_S + 2 * week_s, 5))
    assert calendar == Calendar(NOW_S + 2 * week_s + 5 * HOUR_S)


def test_a_board_that_starts_behind_and_is_then_set_years_ahead_waits_all_the_same() -> None:
    calendar = after(Calendar(NOW_S), NOW_S - YEARS_S / 3, NOW_S + YEARS_S)
    assert calendar.reckoned(NOW_S + YEARS_S) == NOW_S


def test_a_board_without_a_clock_learns_nothing_from_1970() -> None:
    calendar = after(Calendar(NOW_S), 60.0, 70.0)
    assert calendar == Calendar(NOW_S)
    assert calendar.reckoned(60.0) == 60.0


def test_a_date_that_was_believed_wrongly_is_given_up() -> None:
    wrong = Calendar(NOW_S + YEARS_S)
    assert wrong.reckoned(NOW_S) == NOW_S
    right = after(wrong, *hours(NOW_S, 24))
    assert right == Calendar(NOW_S + STEADY_S)
    assert right.seen(NOW_S + YEARS_S).reckoned(NOW_S + YEARS_S) == NOW_S + STEADY_S


def test_a_clock_that_goes_back_in_doubt_begins_anew() -> None:
    first_s = NOW_S + YEARS_S
    calendar = after(Calendar(NOW_S), first_s, first_s - 2 * AHEAD_S)
    assert calendar == Calendar(NOW_S, first_s - 2 * AHEAD_S)
