"""People: their faces, labels and names; adding them, and forgetting them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from streamd.access import Role
from streamd.gallery.labels import admitted, by_key, label_key, label_value, parse_scope
from streamd.gallery.names import person_name
from streamd.gallery.rows import Person
from streamd.gallery.store import GalleryStore
from streamd.gateway.api.answers import at
from streamd.gateway.operations import Answer, Call, Operation, Refused, row_number
from streamd.gateway.services import Services
from streamd.gateway.uploads import uploaded

START_S, PHOTO_S = 60.0, 20.0
"""How long enrolment may take: to load its models, and for each photo."""
_TAGS = ("people",)
_PERSON = "/api/v1/people/{name}"

Name = Annotated[str, Field(min_length=1, max_length=200)]
Note = Annotated[str, Field(max_length=4000)]


class LastSeen(Answer):
    at: str
    camera: str


class PersonAnswer(Answer):
    id: str
    name: str
    faces: int
    labels: dict[str, list[str]]
    notes: str
    consent: str
    created: str
    portrait: int | None
    """A face of theirs, for /api/v1/faces/{face}."""
    last_seen: LastSeen | None


class FaceAnswer(Answer):
    id: int
    quality: float
    source: str
    model: str
    added: str
    added_by: str


class WholePerson(PersonAnswer):
    faces_list: list[FaceAnswer]


class PeopleQuery(Answer):
    label: list[str] = Field(default=[], max_length=16)
    """``site=hq``: only people with this label; of several with one key either."""
    q: str | None = Field(default=None, max_length=200)
    """Only people in whose name this stands, letter case ignored."""


class EnrolQuery(Answer):
    dry_run: bool = False
    """Whether photos are looked at only, and nothing is kept."""
    force: bool = False
    """Whether faces are taken that are unlike the person's others, or like somebody else's."""


class PhotoAnswer(Answer):
    file: str
    accepted: bool
    reason: str | None
    """A word for why not: ``no_face``, ``too_small``, ``blurred``..."""
    message: str
    quality: float | None


class EnrolAnswer(Answer):
    person: str
    accepted: int
    photos: list[PhotoAnswer]


class PersonChange(Answer):
    """What is left out stays as it is."""

    name: Name | None = None
    notes: Note | None = None
    consent: Note | None = None
    labels: dict[str, list[str]] | None = Field(default=None, max_length=64)
    """All of them."""


class Into(Answer):
    into: Name


class ForgetQuery(Answer):
    photos: bool = False
    """Whether their photos in the watched folder are deleted as well."""


class ReceiptAnswer(Answer):
    forgotten: str
    person_id: str
    at: str
    faces: int
    events: int
    """Events in the journal that do not tell of them any more."""
    caches: int
    """Files derived from the gallery that were deleted."""
    photos: list[str]
    """In the watched folder, still there."""
    photos_deleted: list[str]
    erased: bool
    """Whether no trace is left in the gallery's file."""
    noticed: bool
    """Whether the daemon has taken note."""


def operations(services: Services) -> list[Operation]:
    seen = _Seen(services)

    async def listed(call: Call) -> list[PersonAnswer]:
        query = call.query(PeopleQuery)
        scope = parse_scope(query.label)

        def work(store: GalleryStore) -> tuple[list[Person], dict[str, int]]:
            return store.people(), store.portraits()

        people, portraits = await services.gallery(call.who, work)
        if scope:
            within = admitted(scope, {person.id: person.labels for person in people})
            people = [person for person in people if person.id in within]
        if query.q:
            people = [person for person in people if query.q.casefold() in person.name.casefold()]
        last = await seen.by_person()
        return [PersonAnswer(**_person(person, portraits, last)) for person in people]

    async def shown(call: Call) -> WholePerson:
        return await whole(call, call.path["name"])

    async def whole(call: Call, name: str) -> WholePerson:
        def work(store: GalleryStore) -> tuple[Person, list[FaceAnswer], dict[str, int]]:
            person = store.person(name)
            faces = [
                FaceAnswer(
                    id=face.id,
                    quality=round(face.quality, 3),
                    source=face.source,
                    model=face.model_id,
                    added=at(face.created_wall_s),
                    added_by=face.added_by,
                )
                for face in store.faces_of(person.id)
            ]
            return person, faces, store.portraits(person.id)

        person, faces, portraits = await services.gallery(call.who, work)
        return WholePerson(**_person(person, portraits, await seen.by_person()), faces_list=faces)

    async def enrolled(call: Call) -> EnrolAnswer:
        query, name = call.query(EnrolQuery), person_name(call.path["name"])
        async with uploaded(call.request, services.config.state_dir) as paths:
            return await enrol(services, call, name, paths, dry_run=query.dry_run, force=query.force)

    async def changed(call: Call) -> WholePerson:
        change, name = call.body(PersonChange), call.path["name"]
        new = person_name(change.name) if change.name is not None else name
        await services.gallery(call.who, partial(_change, services, name, new, change))
        return await whole(call, new)

    async def merged(call: Call) -> WholePerson:
        from streamd.peoplechanges import merge_people

        into = call.body(Into).into
        await services.gallery(call.who, lambda store: merge_people(services.config, store, call.path["name"], into))
        return await whole(call, into)

    async def forgotten(call: Call) -> ReceiptAnswer:
        from streamd.forgetting import forget_person

        config = services.config
        photos = call.query(ForgetQuery).photos or config.gallery.write_folder

        def work(store: GalleryStore) -> dict[str, Any]:
            return forget_person(config, store, call.path["name"], photos=photos).as_json()

        receipt = await services.gallery(call.who, work)
        return ReceiptAnswer(**{key: receipt[key] for key in ReceiptAnswer.model_fields})

    async def face(call: Call) -> bytes:
        return await services.gallery(call.who, lambda store: store.chip_jpeg(row_number(call.path["face"])))

    async def face_removed(call: Call) -> None:
        if not await services.gallery(call.who, lambda store: store.remove_face(row_number(call.path["face"]))):
            raise Refused(404, "not_found", f"there is no face {call.path['face']}")

    operator, admin = Role.OPERATOR, Role.ADMIN
    return [
        Operation(
            "GET",
            "/api/v1/people",
            "Everybody in the gallery, by name",
            listed,
            query=PeopleQuery,
            answer=list[PersonAnswer],
            tags=_TAGS,
        ),
        Operation("GET", _PERSON, "A person and their faces", shown, answer=WholePerson, refusals=(422,), tags=_TAGS),
        Operation(
            "PATCH",
            _PERSON,
            "Give a person another name, notes or labels",
            changed,
            least=operator,
            body=PersonChange,
            answer=WholePerson,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "DELETE",
            _PERSON,
            "Forget a person for good",
            forgotten,
            least=admin,
            query=ForgetQuery,
            answer=ReceiptAnswer,
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _PERSON + "/photos",
            "Add a person, or photos of one",
            enrolled,
            least=operator,
            query=EnrolQuery,
            takes="multipart/form-data",
            answer=EnrolAnswer,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation(
            "POST",
            _PERSON + "/merge",
            "Two names are one person",
            merged,
            least=operator,
            body=Into,
            answer=WholePerson,
            refusals=(409,),
            tags=_TAGS,
        ),
        Operation("GET", r"/api/v1/faces/{face:\d+}.jpg", "A face", face, gives="image/jpeg", tags=_TAGS),
        Operation(
            "DELETE",
            r"/api/v1/faces/{face:\d+}",
            "Take a face away",
            face_removed,
            least=operator,
            status=204,
            tags=_TAGS,
        ),
    ]


async def enrol(
    services: Services, call: Call, name: str, paths: list[Path], *, dry_run: bool = False, force: bool = False
) -> EnrolAnswer:
    """Have photos enrolled. Raises UnavailableError."""
    task = {
        "do": "enroll",
        "person": name,
        "files": [str(path) for path in paths],
        "dry_run": dry_run,
        "force": force,
        "actor": call.who.actor,
    }
    answer = await services.chores.do(task, timeout_s=START_S + PHOTO_S * len(paths))
    photos = [PhotoAnswer(**photo) for photo in answer["photos"]]
    return EnrolAnswer(person=name, accepted=sum(photo.accepted for photo in photos), photos=photos)


class _Seen:
    """When and where people were seen last; read anew where the journal has grown."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seq = -1
        self._found: dict[str, tuple[str, str]] = {}

    async def by_person(self) -> Mapping[str, tuple[str, str]]:
        read = await self._services.journal(lambda journal: (journal.last_seq, journal.last_seen(after=self._seq)))
        if read is None:
            return {}
        seq, found = read
        if seq > self._seq:
            self._found |= found
        self._seq = seq
        return self._found


def _change(services: Services, name: str, new: str, change: PersonChange, store: GalleryStore) -> None:
    from streamd.peoplechanges import rename_person

    labels = None
    if change.labels is not None:
        labels = {
            (label_key(key), label_value(value, of=f"{key}={value}"))
            for key, values in change.labels.items()
            for value in values
        }
    person = store.person(name)
    if new != person.name:
        rename_person(services.config, store, person.name, new)
    if change.notes is not None or change.consent is not None:
        store.describe(new, notes=change.notes, consent=change.consent)
    if labels is not None:
        store.label(new, labels, remove=sorted(person.labels - labels))


def _person(person: Person, portraits: Mapping[str, int], seen: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    last = seen.get(person.id)
    return {
        "id": person.id,
        "name": person.name,
        "faces": person.faces,
        "labels": by_key(person.labels),
        "notes": person.notes,
        "consent": person.consent,
        "created": at(person.created_wall_s),
        "portrait": portraits.get(person.id),
        "last_seen": LastSeen(at=last[0], camera=last[1]) if last else None,
    }
