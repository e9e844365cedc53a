"""Strangers who are recognised without a name."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streamd.access import Role
from streamd.errors import NotInGallery
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import Stranger, StrangerRecords
from streamd.gateway.api.answers import at
from streamd.gateway.operations import Answer, Call, Operation, row_number
from streamd.gateway.services import Services

_TAGS = ("unknowns",)
_PATH = "/api/v1/unknowns/{id}"


class UnknownAnswer(Answer):
    id: str
    sightings: int
    first_seen: str
    last_seen: str
    cameras: list[str]
    state: Literal["open", "ignored"]
    crops: list[int]
    """Their pictures, best first, for .../crops/{crop}.jpg"""


class Sighting(Answer):
    crop: int
    camera: str
    at: str
    quality: float


class WholeUnknown(UnknownAnswer):
    seen: list[Sighting]


class UnknownsQuery(Answer):
    all: bool = False
    """Also those who were seen only once."""


class Named(Answer):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class Into(Answer):
    into: Annotated[str, Field(min_length=1, max_length=128)]


class Ignored(Answer):
    ignored: bool


class AssignAnswer(Answer):
    assigned: str
    name: str
    faces: int
    gallery_version: int
    """To take it back: POST /api/v1/gallery/undo."""


class MergeAnswer(Answer):
    merged: str
    into: str
    gallery_version: int


class IgnoreAnswer(Answer):
    id: str
    ignored: bool


def operations(services: Services) -> list[Operation]:
    async def listed(call: Call) -> list[UnknownAnswer]:
        everybody = call.query(UnknownsQuery).all

        def work(store: GalleryStore) -> list[UnknownAnswer]:
            records = StrangerRecords(store.database)
            crops = records.crops()
            found = [s for s in records.all() if everybody or s.sightings > 1 or s.state == "ignored"]
            found.sort(key=lambda stranger: stranger.sightings, reverse=True)  # stable: last seen first among equals
            return [UnknownAnswer(**_unknown(stranger, crops.get(stranger.id, []))) for stranger in found]

        return await services.gallery(call.who, work)

    async def shown(call: Call) -> WholeUnknown:
        def work(store: GalleryStore) -> WholeUnknown:
            records = StrangerRecords(store.database)
            stranger = records.get(call.path["id"])
            seen = [
                Sighting(crop=crop, camera=camera, at=at(wall_s), quality=round(quality, 3))
                for crop, camera, wall_s, quality, _ in records.chips(stranger.id)
            ]
            return WholeUnknown(**_unknown(stranger, [sighting.crop for sighting in seen]), seen=seen)

        return await services.gallery(call.who, work)

    async def crop(call: Call) -> bytes:
        def work(store: GalleryStore) -> bytes:
            stranger_id, wanted = call.path["id"], row_number(call.path["crop"])
            for number, *_, picture in StrangerRecords(store.database).chips(stranger_id):
                if number == wanted:
                    return bytes(picture)
            raise NotInGallery(f"{stranger_id[:80]!r} has no picture {wanted}")

        return await services.gallery(call.who, work)

    async def assigned(call: Call) -> AssignAnswer:
        stranger_id, name = call.path["id"], call.body(Named).name

        def work(store: GalleryStore) -> AssignAnswer:
            faces = StrangerRecords(store.database).assign(stranger_id, name)
            return AssignAnswer(assigned=stranger_id, name=name, faces=faces, gallery_version=store.version())

        return await services.gallery(call.who, work)

    async def merged(call: Call) -> MergeAnswer:
        stranger_id, into = call.path["id"], call.body(Into).into

        def work(store: GalleryStore) -> MergeAnswer:
            StrangerRecords(store.database).merge(stranger_id, into)
            return MergeAnswer(merged=stranger_id, into=into, gallery_version=store.version())

        return await services.gallery(call.who, work)

    async def ignored(call: Call) -> IgnoreAnswer:
        stranger_id, off = call.path["id"], call.body(Ignored).ignored

        def work(store: GalleryStore) -> None:
            StrangerRecords(store.database).set_state(stranger_id, "ignored" if off else "open")

        await services.gallery(call.who, work)
        return IgnoreAnswer(id=stranger_id, ignored=off)

    async def forgotten(call: Call) -> None:
        from streamd.forgetting import forget_stranger

        def work(store: GalleryStore) -> None:
            forget_stranger(services.config, store, call.path["id"])  # what could not be done the daemon does later

        await services.gallery(call.who, work)

    operator = Role.OPERATOR
    return [
        Operation(
            "GET",
            "/api/v1/unknowns",
            "Strangers, most seen first",
            listed,
            query=UnknownsQuery,
            answer=list[UnknownAnswer],
            tags=_TAGS,
        ),
        Operation("GET", _PATH, "A stranger, and where they were seen", shown, answer=WholeUnknown, tags=_TAGS),
        Operation(
            "GET",
            _PATH + r"/crops/{crop:\d+}.jpg",
            "A picture of a stranger",
            crop,
            gives="image/jpeg",
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _PATH + "/assign",
            "Give a stranger a name: past events follow",
            assigned,
            least=operator,
            body=Named,
            answer=AssignAnswer,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _PATH + "/merge",
            "Two strangers are one",
            merged,
            least=operator,
            body=Into,
            answer=MergeAnswer,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _PATH + "/ignore",
            "Tell no more of a stranger, or again",
            ignored,
            least=operator,
            body=Ignored,
            answer=IgnoreAnswer,
            tags=_TAGS,
        ),
        Operation("DELETE", _PATH, "Forget a stranger for good", forgotten, least=Role.ADMIN, status=204, tags=_TAGS),
    ]


def _unknown(stranger: Stranger, crops: list[int]) -> dict[str, object]:
    return {
        "id": stranger.id,
        "sightings": stranger.sightings,
        "first_seen": at(stranger.first_seen_wall_s),
        "last_seen": at(stranger.last_seen_wall_s),
        "cameras": list(stranger.cameras),
        "state": stranger.state,
        "crops": crops,
    }
