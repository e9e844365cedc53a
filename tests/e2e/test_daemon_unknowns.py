"""Strangers on a running daemon: recognised again, named, ignored."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from e2e.conftest import MakeDaemon
from e2e.daemon import Daemon, eventually
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

Picture = NDArray[Any]


def command(daemon: Daemon, *args: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "streamd", *args, "-c", str(daemon.config), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def last_seq(daemon: Daemon) -> int:
    return max((event.seq for event in daemon.journal()), default=0)


def test_a_stranger_keeps_an_id_across_cameras_and_a_name_revises_the_past(
    rtsp: RtspServer, make_daemon: MakeDaemon, biden: Picture, nobody: Picture
) -> None:
    cameras = {"door": {"url": rtsp.url("cam1")}, "yard": {"url": rtsp.url("cam2")}}
    with make_daemon(cameras) as daemon:
        daemon.await_event("camera.online", camera="yard")
        rtsp.show("cam1", biden)
        first = daemon.await_event("face.unknown", camera="door")
        assert first.stranger is not None
        rtsp.show("cam1", nobody)
        daemon.await_event("face.left", camera="door", after=first.seq)
        eventually(lambda: command(daemon, "unknown", "list", "--all"))
        rtsp.show("cam2", biden)
        second = daemon.await_event("face.unknown", camera="yard")
        assert second.stranger == first.stranger
        eventually(lambda: [s["id"] for s in command(daemon, "unknown", "list")] == [first.stranger])
        assert command(daemon, "unknown", "show", first.stranger)["cameras"] == ["door", "yard"]

        command(daemon, "unknown", "assign", first.stranger, "Joe Biden")
        daemon.await_event("person.enrolled", name="Joe Biden")
        eventually(
            lambda: {first.id, second.id} <= {e.revises for e in daemon.events("face.revised", name="Joe Biden")}
        )
        # The face that is still there gets the name of its own accord.
        daemon.await_event("face.identified", camera="yard", name="Joe Biden")
        eventually(lambda: command(daemon, "unknown", "list", "--all") == [])


def test_an_ignored_face_is_never_told_of_again(
    rtsp: RtspServer, make_daemon: MakeDaemon, biden: Picture, obama: Picture, nobody: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        rtsp.show("cam1", biden)
        first = daemon.await_event("face.unknown")
        assert first.stranger is not None
        rtsp.show("cam1", nobody)
        left = daemon.await_event("face.left", after=first.seq)
        eventually(lambda: command(daemon, "unknown", "list", "--all"))
        command(daemon, "unknown", "ignore", first.stranger)
        eventually(lambda: daemon.metrics().total("streamd_gallery_ignored_strangers") == 1)
        before = daemon.metrics().total("streamd_faces_total", outcome="embedded")
        rtsp.show("cam1", biden)
        eventually(lambda: daemon.metrics().total("streamd_faces_total", outcome="embedded") >= before + 5)
        rtsp.show("cam1", nobody)
        eventually(lambda: daemon.metrics().total("streamd_tracks", camera="door") == 0)
        rtsp.show("cam1", obama)
        named = daemon.await_event("face.identified", after=left.seq)
        told = [e for e in daemon.journal() if left.seq < e.seq <= named.seq and e.type.value.startswith("face.")]
        assert {e.track for e in told} == {named.track}
