"""The API on a running daemon: what takes the supervisor's and the worker's help."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import Daemon, eventually

pytestmark = pytest.mark.e2e


def ask(daemon: Daemon, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """As a program on the same machine does, where nobody needs to log in."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{daemon.http}/api/v1/{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.fixture
def daemon(make_daemon: MakeDaemon, visits: Path) -> Daemon:
    made = make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}})
    made.config.write_text("# of the house\n" + made.config.read_text())
    made.start()
    return made


def test_a_person_is_forgotten_with_a_receipt(daemon: Daemon) -> None:
    daemon.await_event("face.identified", name=OBAMA)
    status, receipt = ask(daemon, "DELETE", "people/Barack%20Obama?photos=true")
    assert status == 200
    assert (receipt["forgotten"], receipt["noticed"], len(receipt["photos_deleted"])) == (OBAMA, True, 1)
    assert OBAMA not in json.dumps([event.to_json().decode() for event in daemon.journal()])
    assert ask(daemon, "GET", "people") == (200, [])


def test_cameras_are_changed_while_it_runs_and_the_file_keeps_its_comments(daemon: Daemon, visits: Path) -> None:
    daemon.await_event("camera.online", camera="door")
    pid = daemon.child("capture@door").pid
    status, tried = ask(daemon, "POST", "cameras/test", {"url": str(visits)})
    assert (status, tried["ok"], tried["picture"][:23]) == (200, True, "data:image/jpeg;base64,")
    status, tried = ask(daemon, "POST", "cameras/test", {"url": str(visits / "none.mp4")})
    assert (status, tried["ok"], tried["picture"]) == (200, False, None)
    assert "no such file" in tried["message"]

    assert ask(daemon, "POST", "cameras", {"name": "hall", "url": str(visits)})[0] == 201
    daemon.await_event("camera.online", camera="hall")
    assert ask(daemon, "PUT", "cameras/hall", {"url": str(visits)})[0] == 200  # nothing differs
    assert ask(daemon, "POST", "cameras", {"name": "phone", "whip": True})[0] == 201
    status, token = ask(daemon, "POST", "cameras/phone/token")
    assert (status, token["whip_url"]) == (200, "/whip/phone")
    assert ask(daemon, "DELETE", "cameras/hall")[0] == 204
    eventually(lambda: not any(c.name == "capture@hall" for c in daemon.status().children), what="it is gone")
    assert [camera["name"] for camera in ask(daemon, "GET", "cameras")[1]] == ["door", "phone"]
    assert daemon.config.read_text().startswith("# of the house\n")
    assert daemon.child("capture@door").pid == pid, "the others were left alone"


def test_a_face_in_view_is_enrolled_for_a_person(make_daemon: MakeDaemon, tmp_path: Path, biden: Any) -> None:
    import cv2

    folder = tmp_path / "still"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), biden)
    with make_daemon({"door": {"url": str(folder), "capture": {"image_fps": 10}}}) as daemon:
        daemon.await_event("face.unknown", camera="door")

        def enrolled() -> bool:
            """A face that was there a moment ago may be out of the worker's sight in the next."""
            face = ask(daemon, "GET", "cameras/door/faces")[1]["faces"][0]
            status, answer = ask(daemon, "POST", "cameras/door/enroll", {"person": "Joe Biden", "track": face["track"]})
            assert status in (200, 404, 503), answer
            return status == 200 and answer["accepted"] == 1

        eventually(enrolled, what="a face in view is enrolled")
        daemon.await_event("face.identified", name="Joe Biden")
        assert ask(daemon, "POST", "cameras/door/enroll", {"person": "X", "track": "door-none-1"})[0] == 404
        assert ask(daemon, "POST", "cameras/door/enroll", {"person": "X", "box": [9000, 0, 9100, 100]})[0] == 422
