"""The API on a real gallery and a real journal."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from gatewayparts import Box, Client, csrf, jpeg, seen
from openapi_spec_validator import validate

from streamd.events import EventType
from streamd.gateway.app import described


async def body_of(client: Client, path: str, status: int = 200) -> Any:
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status == status, await answer.text()
    return await answer.json()


async def change(client: Client, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    answer = await client.request(method, f"/api/v1/{path}", json=body, headers=await csrf(client))
    assert answer.status == status, await answer.text()
    return await answer.json() if status != 204 else None


def test_the_document_is_valid_and_the_same_that_is_served(tmp_path: Path) -> None:
    document = described()
    validate(document)

    async def check(client: Client) -> None:
        assert await body_of(client, "openapi.json") == json.loads(json.dumps(document))

    Box(tmp_path).run(check)


def test_people_are_shown_with_their_faces(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1, 2)
    box.enroll("Zoë Ångström", 3)

    async def check(client: Client) -> None:
        people = await body_of(client, "people")
        assert [(p["name"], p["faces"]) for p in people] == [("Ana", 2), ("Zoë Ångström", 1)]
        assert [p["name"] for p in await body_of(client, "people?q=zo")] == ["Zoë Ångström"]
        ana = await body_of(client, "people/Ana")
        assert [face["source"] for face in ana["faces_list"]] == ["photo:ana.jpg"] * 2
        answer = await client.get(f"/api/v1/faces/{ana['portrait']}.jpg")
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert (await answer.read())[:2] == b"\xff\xd8"

    box.run(check)


def test_a_person_is_renamed_noted_and_labelled(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1)

    async def check(client: Client) -> None:
        wanted = {"name": "Ana Maria", "notes": "blue", "consent": "yes", "labels": {"site": ["hq", "depot"]}}
        person = await change(client, "PATCH", "people/Ana", wanted)
        assert (person["name"], person["notes"], person["labels"]) == ("Ana Maria", "blue", {"site": ["depot", "hq"]})
        person = await change(client, "PATCH", "people/Ana Maria", {"labels": {"site": ["hq"]}})
        assert person["labels"] == {"site": ["hq"]}
        assert person["notes"] == "blue"
        assert [p["name"] for p in await body_of(client, "people?label=site=hq")] == ["Ana Maria"]
        assert await body_of(client, "people?label=site=depot") == []
        changes = await body_of(client, "gallery/changes?limit=1")
        assert changes[0]["actor"] == "web"

    box.run(check)


def test_what_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1)
    box.enroll("Ben", 2)

    async def check(client: Client) -> None:
        refused = await change(client, "PATCH", "people/Ana", {"name": "Ben"}, status=409)
        assert "there is a person 'Ben' already" in refused["error"]
        refused = await change(client, "PATCH", "people/Anna", {"notes": ""}, status=404)
        assert "did you mean 'Ana'" in refused["error"]
        refused = await change(client, "PATCH", "people/Ana", {"name": "a/b"}, status=422)
        assert "path separator" in refused["error"]
        refused = await change(client, "PATCH", "people/Ana", {"nmae": "x"}, status=422)
        assert refused["problems"]
        await change(client, "PATCH", "people/Ana", {"labels": {"Bad Key": ["x"]}}, status=422)
        assert (await body_of(client, "people/Ana"))["name"] == "Ana"
        for path, status in (("faces/99.jpg", 404), ("faces/99999999999999999999.jpg", 404), ("people?limit=3", 422)):
            await body_of(client, path, status)

    box.run(check)


def test_two_people_are_merged_and_parted_again(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1)
    box.enroll("Anna", 2)

    async def check(client: Client) -> None:
        person = await change(client, "POST", "people/Anna/merge", {"into": "Ana"})
        assert person["faces"] == 2
        undone = await change(client, "POST", "gallery/undo", {})
        assert undone["whats"] == ["person.merged"]
        assert [(p["name"], p["faces"]) for p in await body_of(client, "people")] == [("Ana", 1), ("Anna", 1)]

    box.run(check)


def test_a_face_is_taken_away(tmp_path: Path) -> None:
    box = Box(tmp_path)
    first, _ = box.enroll("Ana", 1, 2)

    async def check(client: Client) -> None:
        await change(client, "DELETE", f"faces/{first}", status=204)
        await change(client, "DELETE", f"faces/{first}", status=404)
        assert (await body_of(client, "people/Ana"))["faces"] == 1

    box.run(check)


def test_a_person_is_forgotten_with_a_receipt(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1, 2)

    async def check(client: Client) -> None:
        receipt = await change(client, "DELETE", "people/Ana")
        assert (receipt["forgotten"], receipt["faces"], receipt["caches"]) == ("Ana", 2, 0)
        assert await body_of(client, "people") == []

    box.run(check)


def test_a_stranger_gets_a_name_and_loses_it_again(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.meet("unknown-7f3a", times=3)
    box.meet("unknown-0001", times=1)

    async def check(client: Client) -> None:
        before = await body_of(client, "unknowns")
        assert [(u["id"], u["sightings"], u["cameras"]) for u in before] == [("unknown-7f3a", 3, ["door"])]
        assert len(await body_of(client, "unknowns?all=true")) == 2
        assigned = await change(client, "POST", "unknowns/unknown-7f3a/assign", {"name": "Cem"})
        assert (assigned["name"], assigned["faces"]) == ("Cem", 3)
        assert await body_of(client, "unknowns") == []
        await change(client, "POST", "gallery/undo", {"version": assigned["gallery_version"]})
        assert await body_of(client, "unknowns") == before
        assert await body_of(client, "people") == []

    box.run(check)


def test_two_strangers_are_merged_and_parted_again(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.meet("unknown-aaaa", times=2)
    box.meet("unknown-bbbb", times=3, camera="yard")

    async def check(client: Client) -> None:
        merged = await change(client, "POST", "unknowns/unknown-aaaa/merge", {"into": "unknown-bbbb"})
        (one,) = await body_of(client, "unknowns")
        assert (one["sightings"], sorted(one["cameras"]), len(one["crops"])) == (5, ["door", "yard"], 5)
        await change(client, "POST", "gallery/undo", {"version": merged["gallery_version"]})
        found = {u["id"]: (u["sightings"], u["cameras"]) for u in await body_of(client, "unknowns")}
        assert found == {"unknown-aaaa": (2, ["door"]), "unknown-bbbb": (3, ["yard"])}

    box.run(check)


def test_a_stranger_is_shown_ignored_and_forgotten(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.meet("unknown-7f3a", times=2)

    async def check(client: Client) -> None:
        whole = await body_of(client, "unknowns/unknown-7f3a")
        assert [sighting["camera"] for sighting in whole["seen"]] == ["door", "door"]
        picture = await client.get(f"/api/v1/unknowns/unknown-7f3a/crops/{whole['crops'][0]}.jpg")
        assert (await picture.read())[:2] == b"\xff\xd8"
        await body_of(client, "unknowns/unknown-7f3a/crops/999.jpg", 404)
        await change(client, "POST", "unknowns/unknown-7f3a/ignore", {"ignored": True})
        assert (await body_of(client, "unknowns"))[0]["state"] == "ignored"
        await change(client, "DELETE", "unknowns/unknown-7f3a", status=204)
        await body_of(client, "unknowns/unknown-7f3a", 404)

    box.run(check)


def test_events_come_newest_first_page_by_page(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.record(*(seen("door", EventType.FACE_APPEARED, n=n) for n in range(5)))
    identity = {"id": "p1", "name": "Ana", "similarity": 0.7, "threshold": 0.4}
    box.record(seen("yard", EventType.FACE_IDENTIFIED, n=9, identity=identity))

    async def check(client: Client) -> None:
        page = await body_of(client, "events?limit=4")
        assert [event["seq"] for event in page["events"]] == [6, 5, 4, 3]
        assert page["events"][0]["schema"] == "streamd.event/1"
        assert "runner_up" not in page["events"][0]
        rest = await body_of(client, f"events?limit=4&before={page['next']}")
        assert ([event["seq"] for event in rest["events"]], rest["next"]) == ([2, 1], None)
        for query, wanted in (("camera=yard", 1), ("type=face.appeared", 5), ("person=ana", 1), ("camera=nobody", 0)):
            assert len((await body_of(client, f"events?{query}"))["events"]) == wanted, query
        assert len((await body_of(client, "events?camera=yard&camera=door"))["events"]) == 6
        await body_of(client, "events?type=face.nonsense", 422)
        await body_of(client, "events?limit=100000", 422)

    box.run(check)


def test_events_are_asked_for_by_any_moment_of_rfc_3339(tmp_path: Path) -> None:
    box = Box(tmp_path)
    first = seen("door", EventType.FACE_APPEARED, n=0)  # at 2026-09-21T14:13:20.000Z
    box.record(first, seen("door", EventType.FACE_APPEARED, n=1))

    async def check(client: Client) -> None:
        for moment in ("2026-09-21T14:13:20.5Z", "2026-09-21T14:13:21Z", "2026-09-21T16:13:21%2B02:00", first.at):
            wanted = [2, 1] if moment == first.at else [2]
            found = (await body_of(client, f"events?from={moment}"))["events"]
            assert [event["seq"] for event in found] == wanted, moment
            assert len((await body_of(client, f"events?until={moment}"))["events"]) == 2 - len(wanted), moment
        for wrong in ("2026-09-21", "2026-09-21T14:13:20", "2026-99-21T14:13:20Z", "0001-01-01T00:00:00%2B02:00", "2h"):
            refused = await body_of(client, f"events?from={wrong}", 422)
            assert "such as 2026-03-01T21:00:00Z" in refused["error"], wrong

    box.run(check)


def test_a_person_is_last_seen_where_the_journal_says(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1)

    async def check(client: Client) -> None:
        (ana,) = await body_of(client, "people")
        assert ana["last_seen"] is None
        box.record(seen("yard", EventType.FACE_IDENTIFIED, identity={"id": ana["id"], "name": "Ana"}))
        (ana,) = await body_of(client, "people")
        assert ana["last_seen"]["camera"] == "yard"

    box.run(check)


def test_an_event_says_what_a_later_one_made_of_it(tmp_path: Path) -> None:
    box = Box(tmp_path)
    (first,) = box.record(seen("door", EventType.FACE_UNKNOWN, stranger="unknown-7f3a"))
    box.record(seen("door", EventType.FACE_REVISED, revises=first.id, identity={"id": "p1", "name": "Ana"}))

    async def check(client: Client) -> None:
        newest, oldest = (await body_of(client, "events"))["events"]
        assert "revised" not in newest
        assert oldest["revised"]["identity"]["name"] == "Ana"
        assert oldest["revised"]["seq"] == 2

    box.run(check)


def test_an_event_is_explained(tmp_path: Path) -> None:
    box = Box(tmp_path)
    account = {"faces": 3, "refused": {"too_small": 3}, "best": {"too_small": 31}, "needed": {"min_face_px": 40}}
    (event, offline) = box.record(
        seen("door", EventType.FACE_UNKNOWN, account=account),
        seen("door", EventType.CAMERA_OFFLINE, track=None),
    )

    async def check(client: Client) -> None:
        why = await body_of(client, f"events/{event.id}/explanation")
        assert why["reason"] == "3 faces, 3 too small (31 px, need 40)"
        assert why["account"] == account
        assert [e["seq"] for e in why["events"]] == [1]
        await body_of(client, f"events/{offline.id}/explanation", 404)
        await body_of(client, "events/nonsense/explanation", 404)

    box.run(check)


def test_snapshots_are_given_and_nothing_else(tmp_path: Path) -> None:
    box = Box(tmp_path)
    folder = box.config.snapshots_dir / "2026-11-25"
    folder.mkdir(parents=True)
    (folder / "door-x-1-face.jpg").write_bytes(jpeg())
    (folder / "secret.txt").write_text("secret")
    (folder / "link.jpg").symlink_to(box.file)

    async def check(client: Client) -> None:
        answer = await client.get("/api/v1/snapshots/2026-11-25/door-x-1-face.jpg")
        assert (answer.status, await answer.read()) == (200, jpeg())
        for path in (
            "2026-11-25/secret.txt",
            "2026-11-25/link.jpg",
            "2026-11-25/..%2f..%2f..%2fstreamd.yaml",
            "2026-11-25/%2e%2e%2f%2e%2e%2fgallery.sqlite",
            "2026-11-25/none.jpg",
            "../2026-11-25/door-x-1-face.jpg",
        ):
            answer = await client.get(f"/api/v1/snapshots/{path}")
            assert answer.status == 404, path

    box.run(check)


def test_new_events_are_pushed(tmp_path: Path) -> None:
    from streamd.gateway.eventfeed import EventFeed

    async def follow() -> list[int]:
        feed = EventFeed(Box(tmp_path).config.events)
        feed.publish(seen("door", EventType.FACE_APPEARED).numbered(7))
        found: list[int] = []

        async def listen() -> None:
            async for event in feed.follow(6):
                found.append(event.seq)
                if len(found) == 2:
                    return

        task = asyncio.create_task(listen())
        while not found:
            await asyncio.sleep(0)
        feed.publish(seen("door", EventType.FACE_LEFT).numbered(8))
        await task
        return found

    assert asyncio.run(follow()) == [7, 8]


def test_a_stream_of_events_takes_up_at_a_number_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def check(client: Client) -> None:
        for since in ("²", "-1", "x" * 20):
            async with client.get("/api/v1/events/stream", headers={"Last-Event-ID": since}) as answer:
                assert await answer.content.readline() == b"retry: 2000\n"

    Box(tmp_path).run(check)
    assert not caplog.records


def test_cameras_are_shown_without_their_passwords(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.record(seen("door", EventType.CAMERA_OFFLINE, track=None, message="no route to host"))

    async def check(client: Client) -> None:
        answer = await client.get("/api/v1/cameras")
        assert "geheim" not in await answer.text()
        door, yard = await answer.json()
        assert (door["url"], door["kind"], door["online"]) == ("rtsp://***@192.0.2.1/main", "url", True)
        assert door["message"] == "no route to host"
        assert (yard["kind"], yard["online"], yard["url"]) == ("remote", None, None)

    box.run(check)


def test_a_camera_is_added_changed_and_taken_away(tmp_path: Path) -> None:
    box = Box(tmp_path)

    async def check(client: Client) -> None:
        added = await change(client, "POST", "cameras", {"name": "hall", "url": "rtsp://a:b@192.0.2.7/s"}, status=201)
        assert (added["name"], added["url"]) == ("hall", "rtsp://***@192.0.2.7/s")
        await change(client, "POST", "cameras", {"name": "hall", "url": "x.mp4"}, status=409)
        # As it was shown: the password stays.
        await change(
            client, "PUT", "cameras/hall", {"url": "rtsp://***@192.0.2.7/s", "substream": "rtsp://192.0.2.7/t"}
        )
        text = box.file.read_text()
        assert text.startswith("# mine\n")
        assert "rtsp://a:b@192.0.2.7/s" in text
        assert "rtsp://192.0.2.7/t" in text
        await change(client, "DELETE", "cameras/hall", status=204)
        assert [camera["name"] for camera in await body_of(client, "cameras")] == ["door", "yard"]
        assert box.reloads == 3

    box.run(check)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "hall", "url": "rstp://192.0.2.7"}, "did you mean 'rtsp'"),
        ({"name": "not a name", "url": "x.mp4"}, "name"),
        ({"name": "hall"}, "give either url"),
        ({"name": "hall", "url": "http://192.0.2.7/${cred:milvus}"}, "by hand"),
    ],
)
def test_a_camera_that_cannot_be_is_refused_and_the_file_stays(
    tmp_path: Path, body: dict[str, Any], words: str
) -> None:
    box = Box(tmp_path)
    before = box.file.read_text()

    async def check(client: Client) -> None:
        refused = await change(client, "POST", "cameras", body, status=422)
        assert words in refused["error"]

    box.run(check)
    assert box.file.read_text() == before
    assert box.reloads == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"url": "x.mp4", "substream": "rtsp://bob:geheim@h/2"}, "the url must be rtsp://"),
        ({"url": "rtsp://bob:geheim@h/1", "substream": "x.mp4"}, "the substream must be rtsp://"),
    ],
)
def test_what_cannot_be_a_camera_is_not_tried(tmp_path: Path, body: dict[str, Any], words: str) -> None:
    async def check(client: Client) -> None:
        refused = await change(client, "POST", "cameras/test", body, status=422)
        assert words in refused["error"]
        assert "geheim" not in str(refused)

    Box(tmp_path).run(check)


def test_a_phone_gets_a_token_that_is_shown_once(tmp_path: Path) -> None:
    box = Box(tmp_path)

    async def check(client: Client) -> None:
        added = await change(client, "POST", "cameras", {"name": "phone", "whip": True}, status=201)
        assert (added["kind"], added["has_token"]) == ("whip", False)
        token = await change(client, "POST", "cameras/phone/token")
        assert token["whip_url"] == "/whip/phone"
        assert token["token"] not in box.file.read_text()
        await change(client, "POST", "cameras/door/token", status=409)

    box.run(check)


def test_the_system_is_told_from_the_metrics(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.enroll("Ana", 1, 2)

    async def check(client: Client) -> None:
        system = await body_of(client, "system")
        assert system["ready"] is True
        assert system["gallery"] == {"people": 1, "faces": 2, "unknowns": 0, "version": 2}
        assert system["processes"][0]["name"] == "worker@0"
        assert system["may_edit"] is True

    box.run(check)


def test_an_upload_that_is_no_form_of_photos_is_refused(tmp_path: Path) -> None:
    box = Box(tmp_path)

    async def post(client: Client, data: Any, headers: dict[str, str] | None = None) -> Any:
        return await client.post("/api/v1/people/Ana/photos", data=data, headers=await csrf(client) | (headers or {}))

    async def check(client: Client) -> None:
        assert (await post(client, b"x", {"Content-Type": "image/jpeg"})).status == 415
        form = FormData()
        form.add_field("file", b"x", filename="x.jpg")
        assert (await post(client, form)).status == 422
        assert (await post(client, b"x", {"Content-Type": "multipart/form-data"})).status == 422
        empty = FormData(default_to_multipart=True)
        assert (await post(client, empty)).status == 422
        large = FormData()
        large.add_field("photo", io.BytesIO(b"x" * (21 << 20)), filename="x.jpg")
        answer = await post(client, large)
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")

    box.run(check)
    assert list((box.config.state_dir / "uploads").iterdir()) == []
