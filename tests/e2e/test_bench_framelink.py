"""Small frames between two real processes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from streamd.bench.framelink import ages, costs
from streamd.bench.linkcamera import Film
from streamd.bench.linkends import linked
from streamd.commands.bench_framelink import age_line, cost_line

pytestmark = pytest.mark.e2e

SMALL = ((64, 48),)


def test_frames_arrive_at_their_pace() -> None:
    without = next(costs(1.0, transports=("ipc",), sizes=SMALL))
    assert (without.picture, without.paced) == (False, True)
    assert 4 <= without.frames_per_second <= 60  # 15; a machine that halts makes it catch up. Without a pace thousands
    assert without.us > 0
    assert without.sender_cpu_us > 0
    assert without.receiver_cpu_us > 0
    assert cost_line(without).startswith("| ipc | 64x48 | without |")


def test_frames_travel_encrypted(tmp_path: Path) -> None:
    with linked(Film(64, 48, 0.0), "tcp+curve", tmp_path) as (receiver, camera):
        before_s = camera.cpu_s()
        moments_s = [receiver.take(5.0) for _ in range(5)]
        assert None not in moments_s
        assert moments_s == sorted(moments_s)  # type: ignore[type-var]  # none is missing
        assert camera.cpu_s() >= before_s


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_frames_on_demand_are_younger_than_pushed_ones(transport: str) -> None:
    on_demand, pushed = ages(1.0, transports=(transport,), sizes=SMALL)  # type: ignore[arg-type]
    assert (on_demand.way, pushed.way) == ("on demand", "push/pull")
    assert on_demand.p50_ms < pushed.p50_ms
    assert f"| {transport} | 64x48 |" in age_line(pushed)


def test_the_cameras_process_ends_with_the_link() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with linked(Film(64, 48, 15.0, picture=False), "ipc", Path(folder)) as (receiver, camera):
            assert receiver.take(5.0) is not None
        with pytest.raises(OSError, match="closed"):
            camera.cpu_s()
