"""Offers on their way to a camera's process, which is played by the test."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import zmq

from streamd.access import hash_token
from streamd.config import CameraConfig
from streamd.endpoints import offers_endpoint
from streamd.errors import CameraAway, CameraUnknown, CodecRefused, LiveError, OfferRefused, ProtocolError, SenderBusy
from streamd.gateway import sending
from streamd.gateway.sending import Senders
from streamd.loopsocket import LoopSocket
from streamd.sockets import Socket, Sockets, try_receive, try_send
from streamd.whiplink import Question, Reply, answered, closed, refused

CAMERAS = {"phone": CameraConfig(url="whip://"), "door": CameraConfig(url="rtsp://h/x")}
Answer = Callable[[Question], list[bytes]]


def played(tmp_path: Path, answer: Answer | None, check: Callable[[Senders], Awaitable[None]]) -> None:
    async def run() -> None:
        with Sockets() as sockets:
            serving = _serve(sockets, tmp_path, answer) if answer else None
            senders = Senders(sockets, tmp_path, cameras=CAMERAS)
            try:
                await check(senders)
            finally:
                senders.close()
                if serving:
                    serving.close()

    asyncio.run(run())


def _serve(sockets: Sockets, folder: Path, answer: Answer) -> LoopSocket:
    router: Socket = sockets.bind(zmq.ROUTER, offers_endpoint(folder, "phone"))

    def receive() -> None:
        while (parts := try_receive(router)) is not None:
            try_send(router, [parts[0], *answer(Question.from_parts(parts[1:]))])

    return LoopSocket(router, receive)


def test_an_offer_is_answered_by_the_cameras_process(tmp_path: Path) -> None:
    async def check(senders: Senders) -> None:
        assert await senders.send("phone", "v=0 offer") == ("s1", "v=0 answer to v=0 offer")

    played(tmp_path, lambda q: answered(q.number, "s1", f"v=0 answer to {q.offer}"), check)


@pytest.mark.parametrize("error", [SenderBusy("taken"), OfferRefused("no offer"), CodecRefused("VP9 only")])
def test_a_refusal_arrives_as_what_it_is(tmp_path: Path, error: LiveError) -> None:
    async def check(senders: Senders) -> None:
        with pytest.raises(type(error), match=str(error)) as caught:
            await senders.send("phone", "v=0")
        assert type(caught.value) is type(error)

    played(tmp_path, lambda q: refused(q.number, error), check)


def test_hanging_up_says_whether_there_was_somebody(tmp_path: Path) -> None:
    async def check(senders: Senders) -> None:
        assert await senders.stop_sending("phone", "s1")
        assert not await senders.stop_sending("phone", "s2")

    played(tmp_path, lambda q: closed(q.number, known=q.sender == "s1"), check)


@pytest.mark.parametrize(("by_token", "hung_up"), [(True, ["s1"]), (False, [])])
def test_who_sends_with_a_token_that_was_replaced_is_hung_up_on(
    tmp_path: Path, by_token: bool, hung_up: list[str]
) -> None:
    asked: list[str] = []

    def answer(question: Question) -> list[bytes]:
        if question.offer is not None:
            return answered(question.number, "s1", "v=0")
        asked.append(question.sender or "")
        return closed(question.number, known=True)

    async def check(senders: Senders) -> None:
        await senders.send("phone", "v=0", by_token=by_token)
        senders.set_cameras(CAMERAS)
        assert not senders._hanging_up
        senders.set_cameras(CAMERAS | {"phone": CameraConfig(url="whip://", whip_token=hash_token("another"))})
        await asyncio.gather(*senders._hanging_up)
        assert asked == hung_up

    played(tmp_path, answer, check)


@pytest.mark.parametrize("camera", ["door", "nobody"])
def test_only_cameras_that_take_senders_are_known(tmp_path: Path, camera: str) -> None:
    async def check(senders: Senders) -> None:
        with pytest.raises(CameraUnknown, match=camera):
            await senders.send(camera, "v=0")

    played(tmp_path, None, check)


def test_a_process_that_does_not_answer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", 0.2)

    async def check(senders: Senders) -> None:
        with pytest.raises(CameraAway, match="does not answer within"):
            await senders.send("phone", "v=0")

    played(tmp_path, None, check)
    played(tmp_path, lambda q: answered(q.number + 1000, "s", "v=0"), check)


@pytest.mark.parametrize(
    "parts", [[b""], [b"{}"], [b'{"v":1,"kind":"OFFER","number":1}'], [b'{"v":1,"kind":"OFFER","number":1}', b"\xff"]]
)
def test_what_is_no_message_of_the_link_is_said_to_be_none(parts: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        Question.from_parts(parts)
    with pytest.raises(ProtocolError):
        Reply.from_parts(parts)
