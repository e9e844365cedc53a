"""Cameras: how each is, adding and changing them, and a picture of one on trial before it is kept."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from streamd.access import Role, new_token
from streamd.config import WHIP_URL, CameraConfig, redacted_url
from streamd.configediting import section
from streamd.configtypes import CameraName
from streamd.errors import UsageError
from streamd.events import Event, EventType
from streamd.exposition import render
from streamd.gateway.operations import Answer, Call, Operation, Refused, validated
from streamd.gateway.services import Services
from streamd.journal import Filter, Journal, readable
from streamd.scrape import Scrape

TRIAL_S = 50.0
"""Two streams, each of which may have its key frames far apart."""
RATE_OVER_S = 2.0
"""Rates are those since the last look that is at least so old."""
_STATES = (EventType.CAMERA_ONLINE.value, EventType.CAMERA_OFFLINE.value)
_LOOKED_BACK = 2000
_TAGS = ("cameras",)
_CAMERA = "/api/v1/cameras/{name}"

Url = Annotated[str, Field(min_length=1, max_length=2000)]


class CameraAnswer(Answer):
    name: str
    kind: Literal["url", "remote", "whip"]
    url: str | None
    """Without user name and password; for operators."""
    substream: str | None
    online: bool | None
    """None where it is not known yet."""
    message: str | None
    """What it sends, or why it is off."""
    since: str | None
    decoded_fps: float | None
    looks_per_s: float | None
    frame_age_p95_s: float | None
    tracks: int
    """Faces that are followed now."""
    viewers: int
    has_token: bool
    """Of a ``whip`` camera: whether a token was made for it."""


class CameraChange(Answer):
    """Where a camera's picture comes from. What else its section of the file says stays."""

    url: Url | None = None
    substream: Url | None = None
    whip: bool = False
    """A browser, telephone or other program sends it, instead of a url."""

    @model_validator(mode="after")
    def _one_origin(self) -> CameraChange:
        if self.whip == (self.url is not None):
            raise ValueError("give either url, or whip: true")
        for text in (self.url, self.substream):
            if text is not None and "${" in text:
                raise ValueError("an address with ${...} is written into the file by hand: it reads secrets")
        return self


class NewCamera(CameraChange):
    name: CameraName


class Trial(Answer):
    url: Url
    substream: Url | None = None
    name: CameraName | None = None
    """The camera whose address this is, where user name and password are shown as ``***``."""


class TrialAnswer(Answer):
    ok: bool
    message: str
    """What it sends, or what is wrong."""
    picture: str | None
    """``data:image/jpeg;base64,...``"""


class TokenAnswer(Answer):
    token: str
    """Shown this once; the one before is not valid any more."""
    whip_url: str


def operations(services: Services) -> list[Operation]:
    states = CameraStates(services)

    async def listed(call: Call) -> list[CameraAnswer]:
        return await states.all(with_urls=call.who.may(Role.OPERATOR))

    async def one(name: str) -> CameraAnswer:
        return next(camera for camera in await states.all(with_urls=True) if camera.name == name)

    async def added(call: Call) -> CameraAnswer:
        body = call.body(NewCamera)
        if body.name in services.file_cameras():
            raise Refused(409, "conflict", f"there is a camera {body.name!r} already")
        await services.edit(lambda document: _write(document, body.name, body, None))
        return await one(body.name)

    async def changed(call: Call) -> CameraAnswer:
        name, body = call.path["name"], call.body(CameraChange)
        before = services.camera(name)
        if before.remote:
            raise Refused(409, "conflict", f"{name} is captured on another host: its address is given there")
        await services.edit(lambda document: _write(document, name, body, before))
        return await one(name)

    async def removed(call: Call) -> None:
        name = call.path["name"]
        services.camera(name)
        if len(services.file_cameras()) == 1:
            raise Refused(409, "conflict", f"{name} is the last camera: streamd needs one")

        def change(document: MutableMapping[str, Any]) -> None:
            if section(document, "cameras").pop(name, None) is None:
                raise UsageError(f"{name} does not stand under 'cameras:' in this file: change it by hand")

        await services.edit(change)

    async def tried(call: Call) -> TrialAnswer:
        body = call.body(Trial)
        if "${" in body.url + (body.substream or ""):
            raise Refused(422, "invalid", "an address with ${...} is written into the file by hand: it reads secrets")
        before = services.camera(body.name) if body.name is not None else None
        url, substream = _kept(body.url, before), _kept(body.substream, before)
        if url == WHIP_URL:
            raise Refused(422, "invalid", "a browser's or telephone's camera is tried by sending from it")
        camera: dict[str, Any] = {"url": url, "substream": substream}
        if before is not None:
            camera["capture"] = before.capture.model_dump(mode="json")
        validated(CameraConfig, camera)
        found = await services.chores.do({"do": "try", "camera": camera}, timeout_s=TRIAL_S)
        picture = f"data:image/jpeg;base64,{found['picture']}" if found["picture"] else None
        return TrialAnswer(ok=found["ok"], message=found["message"], picture=picture)

    async def token(call: Call) -> TokenAnswer:
        name = call.path["name"]
        if services.camera(name).url != WHIP_URL:
            raise Refused(409, "conflict", f"{name} is read from an address: nobody sends it")
        shown, kept = new_token()

        def change(document: MutableMapping[str, Any]) -> None:
            section(document, "cameras", name)["whip_token"] = kept

        await services.edit(change)
        return TokenAnswer(token=shown, whip_url=f"/whip/{name}")

    admin = Role.ADMIN
    return [
        Operation(
            "GET", "/api/v1/cameras", "Every camera, and how it is", listed, answer=list[CameraAnswer], tags=_TAGS
        ),
        Operation(
            "POST",
            "/api/v1/cameras",
            "Add a camera",
            added,
            least=admin,
            body=NewCamera,
            answer=CameraAnswer,
            status=201,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "PUT",
            _CAMERA,
            "Change where a camera's picture comes from",
            changed,
            least=admin,
            body=CameraChange,
            answer=CameraAnswer,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "DELETE", _CAMERA, "Take a camera away", removed, least=admin, status=204, refusals=(409,), tags=_TAGS
        ),
        Operation(
            "POST",
            "/api/v1/cameras/test",
            "Try an address: its first picture",
            tried,
            least=admin,
            body=Trial,
            answer=TrialAnswer,
            refusals=(404,),
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _CAMERA + "/token",
            "A new token for whoever sends this camera's picture",
            token,
            least=admin,
            answer=TokenAnswer,
            refusals=(409, 422),
            tags=_TAGS,
        ),
    ]


class CameraStates:
    """How each camera is: from the same snapshots as ``/metrics``, and from the journal what it was last said to be."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._earlier: list[tuple[float, Scrape]] = []

    async def all(self, *, with_urls: bool) -> list[CameraAnswer]:
        services = self._services
        status = await services.status()
        scrape = Scrape.parse(render(status.snapshots).decode())
        since_s, grown = self._since(scrape)
        cameras = services.file_cameras()
        told = await services.journal(lambda journal: _told(journal, tuple(cameras))) or {}
        up = scrape.by("streamd_source_up", "camera")
        tracks = scrape.by("streamd_tracks", "camera")
        viewers = scrape.by("streamd_viewers", "camera")
        decoded = grown.by("streamd_decoded_frames_total", "camera") if grown else {}
        looks = grown.by("streamd_frames_total", "camera") if grown else {}
        found = []
        for name, camera in cameras.items():
            last = told.get(name)
            online = _online(last, up.get(name))
            (age_s,) = scrape.quantiles("streamd_frame_age_seconds", (0.95,), camera=name)
            found.append(
                CameraAnswer(
                    name=name,
                    kind=_kind(camera),
                    url=_shown(camera.url) if with_urls else None,
                    substream=_shown(camera.substream) if with_urls else None,
                    online=online,
                    message=last.message if last is not None else None,
                    since=last.at if last is not None else None,
                    decoded_fps=round(decoded[name] / since_s, 1) if since_s and name in decoded else None,
                    looks_per_s=round(looks[name] / since_s, 1) if since_s and name in looks else None,
                    frame_age_p95_s=age_s,
                    tracks=round(tracks.get(name, 0)),
                    viewers=round(viewers.get(name, 0)),
                    has_token=camera.whip_token is not None,
                )
            )
        return found

    def _since(self, scrape: Scrape) -> tuple[float, Scrape | None]:
        """What was added since an earlier look, and how long that is ago."""
        now_s = time.monotonic()
        old = [(at_s, s) for at_s, s in self._earlier if now_s - at_s >= RATE_OVER_S]
        if not self._earlier or now_s - self._earlier[-1][0] >= RATE_OVER_S / 2:
            self._earlier.append((now_s, scrape))
        if not old:
            return 0.0, None
        at_s, earlier = old[-1]
        self._earlier = [entry for entry in self._earlier if entry[0] >= at_s]
        return now_s - at_s, scrape.since(earlier)


def _told(journal: Journal, cameras: tuple[str, ...]) -> dict[str, Event]:
    """The newest event that said whether a camera is on or off, by camera."""
    rows = journal.last(_LOOKED_BACK, only=Filter(cameras=cameras, types=_STATES))
    return {event.camera: event for event in readable(rows)}


def _online(last: Event | None, up: float | None) -> bool | None:
    if up is not None:
        return bool(up)
    return None if last is None else last.type is EventType.CAMERA_ONLINE


def _kind(camera: CameraConfig) -> Literal["url", "remote", "whip"]:
    if camera.remote:
        return "remote"
    return "whip" if camera.url == WHIP_URL else "url"


def _shown(url: str | None) -> str | None:
    return None if url is None or url == WHIP_URL else redacted_url(url)


def _kept(given: str | None, before: CameraConfig | None) -> str | None:
    """The address as the file has it where it was given as it is shown, without its password."""
    for kept in (before.url, before.substream) if before is not None else ():
        if given is not None and given == _shown(kept):
            return kept
    return given


def _write(document: MutableMapping[str, Any], name: str, change: CameraChange, before: CameraConfig | None) -> None:
    camera = section(document, "cameras", name)
    for key, given in (("url", WHIP_URL if change.whip else change.url), ("substream", change.substream)):
        shown = _shown(getattr(before, key)) if before is not None else None
        if given is not None and given == shown:
            continue  # as it was shown: the file keeps what it has, password and all
        if given is None:
            camera.pop(key, None)
        else:
            camera[key] = given
