from __future__ import annotations

import numpy as np
import pytest

from streamd.sources.resemblance import Resemblance, Thumb, thumb

FPS = 15


def view(at_s: float, *, noise: int = 0, walks: bool = True) -> Thumb:
    """A wall, and somebody who walks past it."""
    wall = np.random.default_rng(1).integers(60, 200, (36, 64)).astype(np.uint8).repeat(10, 0).repeat(10, 1)
    if walks:
        left = 100 + round(150 * at_s)
        wall[120:240, left : left + 60] = 20
    grain = np.random.default_rng(noise).integers(-noise, noise + 1, wall.shape)
    return thumb(np.clip(wall + grain, 0, 255).astype(np.uint8))


def candidates(*, late_s: float, walks: bool = True) -> list[tuple[float, Thumb]]:
    """Frames of the main stream, whose time stamps are ``late_s`` too large."""
    return [(index / FPS, view(index / FPS - late_s, noise=5, walks=walks)) for index in range(12, 20)]


def chosen_at_s(resemblance: Resemblance, moment_s: float, frames: list[tuple[float, Thumb]], *, walks: bool) -> float:
    return frames[resemblance.choose(view(1.0, noise=4, walks=walks), moment_s, frames)][0]


def test_what_moves_tells_which_frame_it_is_though_the_clocks_are_off() -> None:
    resemblance = Resemblance()
    at_s = chosen_at_s(resemblance, 1.0, candidates(late_s=2 / FPS, walks=True), walks=True)
    assert at_s == pytest.approx(17 / FPS)
    assert 0 < resemblance.correction_s < 2 / FPS


def test_by_and_by_the_clocks_error_is_learnt_and_serves_while_nothing_moves() -> None:
    resemblance = Resemblance()
    for _ in range(12):
        moment_s = 1.0 + resemblance.correction_s
        chosen_at_s(resemblance, moment_s, candidates(late_s=2 / FPS), walks=True)
    assert resemblance.correction_s == pytest.approx(2 / FPS, abs=0.01)


def test_where_nothing_moves_time_decides() -> None:
    resemblance = Resemblance()
    at_s = chosen_at_s(resemblance, 1.0, candidates(late_s=2 / FPS, walks=False), walks=False)
    assert at_s == pytest.approx(15 / FPS)
    assert resemblance.correction_s == 0.0


def test_frames_of_which_none_is_alike_teach_nothing() -> None:
    resemblance = Resemblance()
    frames = candidates(late_s=0.0)
    assert frames[resemblance.choose(255 - view(1.0), 1.0, frames)][0] == pytest.approx(15 / FPS)
    assert resemblance.correction_s == 0.0


def test_what_was_learnt_is_void_when_the_clocks_say_something_else() -> None:
    resemblance = Resemblance()
    resemblance.start_from(5.0)
    resemblance.correction_s = 0.13
    resemblance.start_from(5.001)
    assert resemblance.correction_s == 0.13
    resemblance.start_from(5.2)
    assert resemblance.correction_s == 0.0
