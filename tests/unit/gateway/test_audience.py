import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest

from streamd.gateway.audience import QUEUED, Demand, JpegOutlet, PacketQueue, merged


@dataclass
class Packet:
    number: int
    is_keyframe: bool = False


def packet(number: int, *, key: bool = False) -> Any:
    return Packet(number, key)


async def opened(queue: PacketQueue) -> Any:
    """The first packet, put while it is waited for."""
    taking = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put(packet(0, key=True))
    return await taking


def numbers(*packets: Any) -> list[int]:
    return [cast(Packet, p).number for p in packets]


def test_a_viewer_begins_with_a_key_frame() -> None:
    async def run() -> None:
        queue = PacketQueue()
        taking = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(packet(1))
        queue.put(packet(2, key=True))
        queue.put(packet(3))
        assert numbers(await taking, await queue.get()) == [2, 3]

    asyncio.run(run())


def test_nothing_is_kept_for_a_viewer_who_is_not_connected_yet() -> None:
    queue = PacketQueue()
    queue.put(packet(1, key=True))
    assert not queue.open
    assert queue.needs_key


def test_a_slow_viewer_loses_all_up_to_the_next_key_frame() -> None:
    async def run() -> None:
        queue = PacketQueue()
        await opened(queue)
        for number in range(1, QUEUED + 2):
            queue.put(packet(number))
        assert queue.needs_key
        assert queue.dropped == QUEUED + 1
        queue.put(packet(100))
        queue.put(packet(101, key=True))
        assert numbers(await queue.get()) == [101]
        assert not queue.needs_key

    asyncio.run(run())


def test_a_viewer_who_lost_the_picture_gets_no_more_until_it_can_be_decoded() -> None:
    async def run() -> None:
        queue = PacketQueue()
        await opened(queue)
        queue.needs_key = True
        queue.put(packet(1))
        queue.put(packet(2, key=True))
        assert numbers(await queue.get()) == [2]

    asyncio.run(run())


def test_a_slow_client_gets_the_newest_picture() -> None:
    async def run() -> None:
        outlet = JpegOutlet(Demand(320, 10.0))
        outlet.put(b"one", 1.0)
        outlet.put(b"two", 1.1)
        assert await outlet.get() == b"two"
        assert outlet.dropped == 1

    asyncio.run(run())


@pytest.mark.parametrize(("fps", "expected"), [(10.0, 100), (5.0, 50), (2.0, 20), (25.0, 250)])
def test_pictures_come_as_often_as_was_asked_for(fps: float, expected: int) -> None:
    async def run() -> int:
        outlet = JpegOutlet(Demand(320, fps))
        given = 0
        for frame in range(250):
            now_s = 100 + frame / 25
            if outlet.due(now_s):
                outlet.put(b"", now_s)
                given += 1
        return given

    assert asyncio.run(run()) == pytest.approx(expected, abs=expected * 0.03 + 1)


def test_several_demands_are_served_by_the_largest() -> None:
    assert merged([Demand(320, 2.0, False), Demand(640, 1.0, True)]) == Demand(640, 2.0, True)
    assert merged([]) is None


def test_only_who_would_see_frames_missing_keeps_the_decoder_busy() -> None:
    assert Demand(1280).smooth
    assert not Demand(320, 2.0).smooth
