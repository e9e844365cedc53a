"""Sinks, zones, pictures and explanations of a real daemon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
from brokers import Mosquitto, MqttListener, Receiver
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import Daemon, eventually

pytestmark = pytest.mark.e2e


def streamd(daemon: Daemon, *arguments: str) -> str:
    command = [sys.executable, "-m", "streamd", *arguments, "-c", str(daemon.config)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def everywhere(**more: Any) -> dict[str, Any]:
    return {"points": [[0, 0], [1, 0], [1, 1], [0, 1]], **more}


def test_one_sink_that_refuses_and_one_that_is_dead_delay_nobody(
    tmp_path: Path, make_daemon: MakeDaemon, visits: Path
) -> None:
    receiver = Receiver()
    receiver.status = 500
    out = tmp_path / "events.jsonl"
    with Mosquitto(tmp_path / "mqtt", password="right") as broker:
        sinks = {
            "hook": {"kind": "webhook", "url": receiver.url, "attempts": 2, "types": ["face.identified"]},
            "home": {"kind": "mqtt", "url": f"mqtt://streamd:wrong@127.0.0.1:{broker.port}"},
            "dead": {"kind": "nats", "url": "nats://127.0.0.1:9"},
            "file": {"kind": "file", "path": str(out)},
        }
        camera = {"url": str(visits), "capture": {"image_fps": 5}, "zones": {"step": everywhere(), "far": nowhere()}}
        daemon = make_daemon({"kitchen": camera}, extra={"sinks": sinks, "snapshots": {"frames": "blurred"}})
        daemon.start()
        daemon.await_event("face.left", name=OBAMA)
        eventually(lambda: "face.left" in (out.read_text() if out.exists() else ""), what="the file has it")

        def told() -> list[dict[str, Any]]:
            """The sink begins with what comes next, which may be after the first name."""
            lines = [json.loads(line) for line in out.read_text().splitlines()]
            return [line for line in lines if line["type"] == "face.identified"]

        identified = eventually(told, what="somebody named")[0]
        assert identified["zones"] == ["step"]
        assert "account" not in identified
        eventually(lambda: "the broker refuses" in daemon.logged())
        assert "wrong" not in daemon.logged()
        wanted = {"file": 1, "home": 0, "dead": 0}
        eventually(lambda: wanted.items() <= daemon.metrics().by("streamd_sink_up", "sink").items())
        put_aside = f"event {identified['seq']} is put aside: answered 500"
        eventually(lambda: put_aside in daemon.logged())
        shown = streamd(daemon, "events", "--sinks")
        assert f"hook  #{identified['seq']}: answered 500" in shown
        receiver.status = 200
        streamd(daemon, "events", "--redeliver", "hook")
        eventually(lambda: identified["seq"] in receiver.seqs(), what="sent again")
        explained(daemon, identified, tmp_path)
        forgotten(daemon, identified)
    receiver.stop()


def nowhere() -> dict[str, Any]:
    return {"points": [[0, 0], [0.01, 0], [0, 0.01]]}


def explained(daemon: Daemon, identified: dict[str, Any], tmp_path: Path) -> None:
    """``streamd explain`` shows the views, the reason and the pictures."""
    shown = streamd(daemon, "explain", str(identified["seq"]))
    assert shown.startswith(f"{identified['track']}: {OBAMA} with a similarity of ")
    assert "counted" in shown
    body = json.loads(streamd(daemon, "explain", identified["track"], "--json"))
    assert sum(view["counted"] for view in body["account"]["views"]) >= 2
    assert body["account"]["needed"]["people"] == 1
    face, frame = tmp_path / "face.jpg", tmp_path / "frame.jpg"
    streamd(daemon, "explain", identified["id"], "--face", str(face), "--frame", str(frame))
    picture = cv2.imread(str(frame))
    assert picture is not None
    assert picture.shape[:2] == (360, 640)
    assert cv2.imread(str(face)) is not None


def forgotten(daemon: Daemon, identified: dict[str, Any]) -> None:
    """Nothing that shows somebody outlives them."""
    face = daemon.state / "snapshots" / identified["snapshot"]["face"]
    assert face.exists()
    streamd(daemon, "person", "forget", OBAMA, "--photos")
    assert not face.exists()
    eventually(lambda: OBAMA not in (daemon.folder.parent / "events.jsonl").read_text(), what="gone from the file")


def test_home_assistant_sees_somebody_come_and_go(tmp_path: Path, make_daemon: MakeDaemon, visits: Path) -> None:
    with Mosquitto(tmp_path / "mqtt") as broker:
        listener = MqttListener(broker.port, "streamd/#")
        sinks = {"home": {"kind": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "retry_max_s": 0.5}}
        camera = {"url": str(visits), "capture": {"image_fps": 5}, "tracking": {"reappear_s": 0.5, "max_gap_s": 0.5}}
        daemon = make_daemon({"kitchen": camera}, extra={"sinks": sinks})
        daemon.start()

        def states() -> list[str]:
            topic = "streamd/cameras/kitchen/people"
            return [json.loads(payload)["state"] for name, payload, _ in list(listener.heard) if name == topic]

        eventually(lambda: OBAMA in states())
        eventually(lambda: "nobody" in states()[states().index(OBAMA) :])
        assert listener.retained()["streamd/cameras/kitchen/status"] == b"online"
        courier = daemon.kill("courier")
        eventually(lambda: ("streamd/status", b"offline") in [(t, p) for t, p, _ in listener.heard], what="last will")
        eventually(lambda: daemon.running("courier", instead_of=courier))
        eventually(lambda: listener.retained()["streamd/status"] == b"online")
        listener.close()


def test_an_excluded_zone_and_a_mask_hide_a_face(make_daemon: MakeDaemon, visits: Path) -> None:
    cameras = {
        "open": {"url": str(visits), "capture": {"image_fps": 5}},
        "excluded": {"url": str(visits), "capture": {"image_fps": 5}, "zones": {"all": everywhere(kind="exclude")}},
        "masked": {"url": str(visits), "capture": {"image_fps": 5}, "masks": [everywhere()["points"]]},
        "patient": {"url": str(visits), "capture": {"image_fps": 5}, "zones": {"all": everywhere(dwell_s=60)}},
    }
    daemon = make_daemon(cameras)
    daemon.start()
    daemon.await_event("face.left", camera="open", name=OBAMA)
    daemon.await_event("face.identified", camera="open", after=daemon.events("face.left", camera="open")[0].seq)
    for camera in ("excluded", "masked", "patient"):
        told = {e.type.value for e in daemon.journal() if e.camera == camera}
        assert "camera.online" in told
        assert not any(kind.startswith("face.") for kind in told)


def test_a_worker_that_was_killed_leaves_no_appearance_open(make_daemon: MakeDaemon, visits: Path) -> None:
    daemon = make_daemon({"kitchen": {"url": str(visits), "capture": {"image_fps": 5}}})
    daemon.start()
    first = daemon.await_event("face.left")  # it may have been half over when the worker was ready
    named = daemon.await_event("face.identified", name=OBAMA, after=first.seq)
    daemon.kill("worker@0")
    left = eventually(lambda: [e for e in daemon.events("face.left") if e.track == named.track])[0]
    assert left.message == "the worker was started anew"
    assert (left.identity or {}).get("name") == OBAMA
