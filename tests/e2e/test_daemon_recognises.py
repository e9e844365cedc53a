"""The main job on a real RTSP camera."""

import shutil
from pathlib import Path

import numpy as np
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import assert_contiguous, eventually
from mediafiles import write_video
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

Picture = NDArray[np.uint8]


def test_a_known_face_is_named_a_stranger_is_not_and_both_leave(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, biden: Picture, nobody: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("camera.online", camera="door")
        daemon.await_event("person.enrolled", name=OBAMA)  # a name that comes later is not counted as a time to it
        rtsp.show("cam1", obama)
        named = daemon.await_event("face.identified", camera="door")
        assert named.identity is not None
        assert named.identity["name"] == OBAMA
        assert named.identity["similarity"] >= named.identity["threshold"]
        rtsp.show("cam1", nobody)
        left = daemon.await_event("face.left", camera="door", name=OBAMA)
        assert left.track == named.track
        rtsp.show("cam1", biden)
        stranger = daemon.await_event("face.unknown", camera="door", after=left.seq)
        assert stranger.identity is None
        assert stranger.track != named.track
        eventually(lambda: daemon.metrics().total("streamd_time_to_identity_seconds_count") >= 1)
        assert_contiguous(daemon.journal())


def test_a_new_photo_in_the_folder_counts_while_the_person_stands_there(
    rtsp: RtspServer, make_daemon: MakeDaemon, gallery: Path, faces_dir: Path, biden: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("camera.online")
        rtsp.show("cam1", biden)
        unknown = daemon.await_event("face.unknown")
        (gallery / "Joe Biden").mkdir()
        shutil.copy(faces_dir / "biden.jpg", gallery / "Joe Biden")
        named = daemon.await_event("face.identified", name="Joe Biden")
        assert named.track == unknown.track
        assert named.revises == unknown.id
        enrolled = daemon.await_event("person.enrolled", name="Joe Biden")
        assert enrolled.camera == "-"
        shutil.rmtree(gallery / "Joe Biden")
        revised = daemon.await_event("face.revised")
        assert revised.revises == named.id
        assert revised.identity is None
        forgotten = daemon.await_event("person.forgotten")
        assert forgotten.identity == {"id": (enrolled.identity or {})["id"]}


def test_what_is_looked_at_where_nothing_moves_is_not_old(tmp_path: Path, make_daemon: MakeDaemon) -> None:
    """Key frames are two seconds apart, looks three, and the packets in between say that nothing moves."""
    picture = np.random.default_rng(1).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    clip = write_video(tmp_path / "still.mp4", [picture] * 400, fps=5)
    camera = {"url": str(clip), "detection": {"still_interval_s": 3.0}}
    with make_daemon({"still": camera}) as daemon:
        eventually(
            lambda: daemon.metrics().total("streamd_packets_total", outcome="skipped") > 20,
            timeout_s=60,
            what="packets held back",
        )
        age = "streamd_frame_age_seconds"

        def three_young_ones() -> bool:
            before = daemon.metrics()
            eventually(lambda: daemon.metrics().total(f"{age}_count") >= before.total(f"{age}_count") + 3)
            looked = daemon.metrics().since(before)
            return looked.total(f"{age}_count") == looked.total(f"{age}_bucket", le="0.5")

        # Looks keep their distance to the key frames, so that each would be old; the machine may halt in one of three.
        eventually(three_young_ones, timeout_s=60)


def test_a_camera_with_the_wrong_password_says_so_and_shows_it_nowhere(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture
) -> None:
    cameras = {
        "locked": {"url": rtsp.url("private", user="user:wr0ngsecret")},
        "door": {"url": rtsp.url("cam1")},
    }
    with make_daemon(cameras) as daemon:
        offline = daemon.await_event("camera.offline", camera="locked")
        assert "password" in (offline.message or "")
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified", camera="door")
        assert daemon.process is not None
        pids = [daemon.process.pid, *(child.pid for child in daemon.status().children if child.pid)]
        seen = [Path(f"/proc/{pid}/{what}").read_bytes() for pid in pids for what in ("cmdline", "environ")]
        everything = b"".join(seen) + eventually(daemon.exposed).encode() + daemon.log.read_bytes()
        everything += b"".join(event.to_json() for event in daemon.journal())
        assert b"wr0ngsecret" not in everything


def test_metrics_tell_of_the_camera_the_frames_and_the_gallery(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified")

        def told() -> bool:
            metrics = daemon.metrics()
            return (
                metrics.total("streamd_source_up", camera="door") == 1
                and metrics.total("streamd_frames_total", outcome="looked_at") > 0
                and metrics.total("streamd_frames_skipped_total", reason="not_asked") > 0
                and metrics.total("streamd_gallery_people") == 1
                and metrics.total("streamd_journal_seq") >= 3
            )

        eventually(told)
