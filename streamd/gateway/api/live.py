"""Watching a camera, and being one: still pictures, MJPEG, WebRTC out (WHEP) and in (WHIP), and who is in view."""

from __future__ import annotations

from contextlib import aclosing, suppress
from typing import Annotated, Literal

import numpy as np
from aiohttp import web
from pydantic import Field, model_validator

from streamd.access import Role
from streamd.domain import Bgr, Box, Yuv420
from streamd.events import timestamp
from streamd.gateway.api.people import EnrolAnswer, enrol
from streamd.gateway.audience import WIDEST_VIEW
from streamd.gateway.live import MJPEG_FPS, Live
from streamd.gateway.operations import WHO, Answer, Call, Operation, Refused, read_body
from streamd.gateway.sending import Senders
from streamd.gateway.services import Services
from streamd.gateway.uploads import scratch
from streamd.overlays import Overlay

BOUNDARY = "frame"
SDP = "application/sdp"
MAX_SDP_BYTES = 256 * 1024
_MARGIN = 0.8
"""Of a clicked face's sides, that is cut out around it."""
_TAGS = ("live",)
_CAMERA = "/api/v1/cameras/{name}"


class PictureQuery(Answer):
    width: int = Field(default=WIDEST_VIEW, ge=16, le=8192)
    """At most so many pixels; less where the camera has less."""
    annotated: bool = True
    """Whether boxes, names and reasons are drawn."""


class StreamQuery(PictureQuery):
    width: int = Field(default=640, ge=16, le=8192)
    fps: float = Field(default=MJPEG_FPS, ge=0.2, le=30)
    """At most so many pictures a second."""


class FaceInView(Answer):
    track: str
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the full picture."""
    name: str | None
    stranger: str | None
    state: Literal["known", "unknown", "deciding"]
    reason: str


class FacesAnswer(Answer):
    size: tuple[int, int] | None
    """Of the full picture; null where it was not looked at of late."""
    at: str | None
    faces: list[FaceInView]


class FaceToEnrol(Answer):
    person: Annotated[str, Field(min_length=1, max_length=200)]
    track: Annotated[str, Field(max_length=200)] | None = None
    box: tuple[float, float, float, float] | None = None
    """Or where the face is, in pixels of the full picture."""

    @model_validator(mode="after")
    def _one(self) -> FaceToEnrol:
        if (self.track is None) == (self.box is None):
            raise ValueError("give either track or box")
        return self


def operations(services: Services, live: Live, senders: Senders) -> list[Operation]:
    async def picture(call: Call) -> bytes:
        query = call.query(PictureQuery)
        return await live.still(call.path["name"], width=query.width, annotated=query.annotated)

    async def stream(call: Call) -> web.StreamResponse:
        query = call.query(StreamQuery)
        pictures = live.mjpeg(
            call.path["name"], width=query.width, annotated=query.annotated, fps=query.fps, user=call.who.name
        )
        response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"})
        async with aclosing(pictures):  # type: ignore[type-var]  # an async generator
            with suppress(ConnectionError):  # whoever watched is gone
                async for jpeg in pictures:
                    if not response.prepared:
                        await response.prepare(call.request)
                        if call.request.method == "HEAD":
                            break
                    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    await response.write(head.encode() + jpeg + b"\r\n")
                    if not services.gatekeeper.admits(call.request):
                        break
        return response

    async def faces(call: Call) -> FacesAnswer:
        return _faces(await live.faces(call.path["name"]))

    async def enrolled(call: Call) -> EnrolAnswer:
        body, camera = call.body(FaceToEnrol), call.path["name"]
        view, overlay = await live.whole(camera)
        box = Box(*body.box) if body.box is not None else _box_of(overlay, body.track)
        with scratch(services.config.state_dir) as folder:
            path = folder / f"{camera}-{timestamp(view.captured_wall_s).replace(':', '-')}.png"
            await services.thread(lambda: path.write_bytes(_cut(view.picture, view.full_size, box)))
            return await enrol(services, call, body.person, [path])

    async def watch(call: Call) -> web.Response:
        request = call.request
        viewing, answered = await live.watch(
            call.path["name"],
            await _offer(request),
            user=call.who.name,
            admitted=lambda: services.gatekeeper.admits(request),
        )
        return _created(call.request, viewing, answered)

    async def unwatch(call: Call) -> bytes:
        if not await live.stop_watching(call.path["name"], call.path["id"]):
            raise Refused(404, "not_found", "nobody watches by this name any more")
        return b""

    async def send(call: Call) -> web.Response:
        _check_sender(call)
        who, offer = call.request.get(WHO), await _offer(call.request)
        sender, answered = await senders.send(
            call.path["name"], offer, by_token=who is not None and who.camera is not None
        )
        return _created(call.request, sender, answered)

    async def stop_sending(call: Call) -> bytes:
        _check_sender(call)
        if not await senders.stop_sending(call.path["name"], call.path["id"]):
            raise Refused(404, "not_found", "nobody sends by this name any more")
        return b""

    return [
        Operation(
            "GET",
            _CAMERA + "/picture.jpg",
            "The picture of now",
            picture,
            query=PictureQuery,
            gives="image/jpeg",
            tags=_TAGS,
        ),
        Operation(
            "GET",
            _CAMERA + "/stream.mjpeg",
            "Pictures as they come, where WebRTC cannot be used",
            stream,
            query=StreamQuery,
            gives="multipart/x-mixed-replace",
            tags=_TAGS,
        ),
        Operation("GET", _CAMERA + "/faces", "Who is in view", faces, answer=FacesAnswer, tags=_TAGS),
        Operation(
            "POST",
            _CAMERA + "/enroll",
            "Add a face that is in view to a person",
            enrolled,
            least=Role.OPERATOR,
            body=FaceToEnrol,
            answer=EnrolAnswer,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "POST",
            "/whep/{name}",
            "Watch by WebRTC (WHEP): an SDP offer; Location says where to hang up",
            watch,
            takes=SDP,
            gives=SDP,
            status=201,
            refusals=(400, 406),
            tags=_TAGS,
        ),
        Operation("DELETE", "/whep/{name}/{id}", "Watch no longer", unwatch, gives="text/plain", tags=_TAGS),
        Operation(
            "POST",
            "/whip/{name}",
            "Be a camera by WebRTC (WHIP): an SDP offer, with the camera's token or as an operator",
            send,
            least=None,
            takes=SDP,
            gives=SDP,
            status=201,
            refusals=(400, 401, 406, 409),
            tags=_TAGS,
        ),
        Operation(
            "DELETE",
            "/whip/{name}/{id}",
            "Be no camera any more",
            stop_sending,
            least=None,
            gives="text/plain",
            refusals=(401,),
            tags=_TAGS,
        ),
    ]


def _check_sender(call: Call) -> None:
    """Raises Refused: it is neither the camera's own token nor somebody who may."""
    who = call.request.get(WHO)
    if who is None:
        raise Refused(401, "unauthenticated", "give the camera's token: Authorization: Bearer ...")
    if who.camera != call.path["name"] and not who.may(Role.OPERATOR):
        raise Refused(403, "forbidden", f"this token or role may not send as {call.path['name'][:80]!r}")


async def _offer(request: web.Request) -> str:
    if request.content_type != SDP:
        raise Refused(415, "unsupported", f"the body should be {SDP}, not {request.content_type}")
    try:
        return (await read_body(request, MAX_SDP_BYTES)).decode()
    except UnicodeDecodeError as error:
        raise Refused(400, "invalid", "this is no SDP offer: it is no UTF-8 text") from error


def _created(request: web.Request, session: str, answered: str) -> web.Response:
    headers = {"Location": f"{request.rel_url.raw_path}/{session}"}
    return web.Response(text=answered, status=201, content_type=SDP, headers=headers)


def _faces(overlay: Overlay | None) -> FacesAnswer:
    if overlay is None:
        return FacesAnswer(size=None, at=None, faces=[])
    faces = [FaceInView.model_validate(face.as_json()) for face in overlay.faces]
    return FacesAnswer(size=overlay.size, at=timestamp(overlay.wall_s), faces=faces)


def _box_of(overlay: Overlay | None, track: str | None) -> Box:
    for face in overlay.faces if overlay is not None else ():
        if face.track == track:
            return face.box
    raise Refused(404, "not_found", "this face is not in view any more")


def _cut(picture: Yuv420 | Bgr, full_size: tuple[int, int], box: Box) -> bytes:
    """The face and what is around it, as PNG. ``box`` is in pixels of ``full_size``."""
    import cv2

    from streamd.vision.crops import crop_bgr

    width, height = picture.size
    box = box.scaled(width / full_size[0], height / full_size[1])
    if box.width < 4 or box.height < 4 or box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0:
        raise Refused(422, "invalid", "the box is not in the picture")
    dx, dy = _MARGIN * box.width, _MARGIN * box.height
    around = Box(
        float(np.clip(box.x1 - dx, 0, width)),
        float(np.clip(box.y1 - dy, 0, height)),
        float(np.clip(box.x2 + dx, 0, width)),
        float(np.clip(box.y2 + dy, 0, height)),
    )
    _, png = cv2.imencode(".png", crop_bgr(picture, around))
    return png.tobytes()
