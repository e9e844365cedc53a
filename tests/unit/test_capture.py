"""Which picture a capture gives away."""

from __future__ import annotations

from streamd.capture import LONGEST_WAIT_S, patience
from streamd.config import CaptureConfig
from streamd.scheduling import GRANT_TIMEOUT_S
from streamd.sources.gathering import GATHER_S


def test_a_newer_picture_is_waited_for_where_one_comes_soon() -> None:
    config = CaptureConfig(glance_s=0.4)
    assert patience(config, resting=False, settled=False) == 0.0, "every frame is decoded: none is stale for long"
    assert patience(config, resting=False, settled=True) == GATHER_S
    assert patience(config, resting=True, settled=False) == 0.4


def test_the_worker_never_gives_up_a_capture_that_waits() -> None:
    rare = patience(CaptureConfig(glance_s=4.0), resting=True, settled=False)
    assert rare == LONGEST_WAIT_S < GRANT_TIMEOUT_S - 0.2
