"""What was changed in the gallery, taking it back, and what its statistics say."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from streamd.access import Role
from streamd.errors import UnavailableError
from streamd.gallery.store import GalleryStore
from streamd.gateway.api.answers import at
from streamd.gateway.operations import Answer, Call, Operation
from streamd.gateway.services import Services

CALIBRATION_S = 120.0
_TAGS = ("gallery",)


class ChangeAnswer(Answer):
    version: int
    at: str
    what: str
    name: str | None
    """The person's name today; none once forgotten."""
    detail: str
    actor: str


class ChangesQuery(Answer):
    after: int = Field(default=0, ge=0, le=2**53)
    before: int | None = Field(default=None, ge=1, le=2**53)
    limit: int = Field(default=100, ge=1, le=1000)


class UndoBody(Answer):
    version: int | None = Field(default=None, ge=1, le=2**53)
    """The change to take back; left out, the newest."""


class UndoAnswer(Answer):
    version: int
    whats: list[str]
    messages: list[str]
    """What became of folders of photos."""
    gallery_version: int


class Histogram(Answer):
    bins: list[float]
    """Edges, one more than counts."""
    counts: list[int]


class PersonScores(Answer):
    name: str
    faces: int
    genuine: float | None
    """Mean similarity of a face to the nearest of the person's others."""
    nearest: str | None
    nearest_similarity: float | None
    threshold: float


class SuspectAnswer(Answer):
    face: int
    person: str
    source: str
    own: float | None
    other: float
    other_name: str
    reason: str


class CalibrationAnswer(Answer):
    ready: bool
    message: str
    people: int = 0
    faces: int = 0
    own_statistics: bool = False
    """Whether there are enough people for statistics of this gallery's own."""
    threshold: float | None = None
    target_far: float | None = None
    genuine: Histogram | None = None
    """Similarities of photos of one person."""
    impostor: Histogram | None = None
    """Similarities of photos of different people."""
    persons: list[PersonScores] = Field(default=[])
    suspects: list[SuspectAnswer] = Field(default=[])
    advice: list[str] = Field(default=[])
    """What to do, a sentence each, the most important first."""


def operations(services: Services) -> list[Operation]:
    async def changes(call: Call) -> list[ChangeAnswer]:
        query = call.query(ChangesQuery)

        def work(store: GalleryStore) -> list[ChangeAnswer]:
            found = store.last_changes(after=query.after, before=query.before, limit=query.limit)
            return [
                ChangeAnswer(
                    version=change.version,
                    at=at(change.at_wall_s),
                    what=change.what,
                    name=change.name,
                    detail=change.detail,
                    actor=change.actor,
                )
                for change in found
            ]

        return await services.gallery(call.who, work)

    async def undo(call: Call) -> UndoAnswer:
        from streamd.peoplechanges import undo_change

        def work(store: GalleryStore) -> UndoAnswer:
            undone, moves = undo_change(services.config, store, call.body(UndoBody).version)
            return UndoAnswer(
                version=undone.version,
                whats=list(undone.whats),
                messages=[move.words for move in moves],
                gallery_version=store.version(),
            )

        return await services.gallery(call.who, work)

    async def calibration(call: Call) -> CalibrationAnswer:
        try:
            found = await services.chores.do_once({"do": "calibrate", "actor": call.who.actor}, timeout_s=CALIBRATION_S)
        except UnavailableError as error:
            return CalibrationAnswer(ready=False, message=str(error))
        return CalibrationAnswer(ready=True, message=_told(found), **_scores(found))

    return [
        Operation(
            "GET",
            "/api/v1/gallery/changes",
            "What was changed, newest first",
            changes,
            query=ChangesQuery,
            answer=list[ChangeAnswer],
            tags=_TAGS,
        ),
        Operation(
            "POST",
            "/api/v1/gallery/undo",
            "Take a change back",
            undo,
            least=Role.OPERATOR,
            body=UndoBody,
            answer=UndoAnswer,
            refusals=(404, 409),
            tags=_TAGS,
        ),
        Operation(
            "GET",
            "/api/v1/calibration",
            "How well the gallery's people can be told apart",
            calibration,
            answer=CalibrationAnswer,
            tags=_TAGS,
        ),
    ]


def _told(found: dict[str, Any]) -> str:
    if found["own_statistics"]:
        return f"{found['people']} people, {found['faces']} faces"
    return f"{found['people']} people: too few for statistics of their own, the model's are used"


def _scores(found: dict[str, Any]) -> dict[str, Any]:
    keys = ("people", "faces", "own_statistics", "threshold", "target_far", "genuine", "impostor")
    persons = [
        PersonScores(
            name=person["name"],
            faces=person["faces"],
            genuine=person["genuine"],
            nearest=person["nearest_name"],
            nearest_similarity=person["nearest_similarity"],
            threshold=person["threshold"],
        )
        for person in found["persons"]
    ]
    suspects = [
        SuspectAnswer(face=suspect["face_id"], person=suspect["name"], **{key: suspect[key] for key in _SUSPECT})
        for suspect in found["suspects"]
    ]
    advice = [" ".join(line.split()) for line in found["advice"]]
    return {key: found[key] for key in keys} | {"persons": persons, "suspects": suspects, "advice": advice}


_SUSPECT = ("source", "own", "other", "other_name", "reason")
