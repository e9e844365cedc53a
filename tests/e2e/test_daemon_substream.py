"""Recognition on a camera that is watched in its sub-stream."""

from pathlib import Path

import cv2
import numpy as np
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import Daemon, eventually
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

MAIN, SUB = (1920, 1080), (640, 360)


def test_a_face_that_is_small_in_the_sub_stream_is_named_from_the_main_stream(
    tmp_path: Path, make_daemon: MakeDaemon, obama: NDArray[np.uint8], nobody: NDArray[np.uint8]
) -> None:
    """The face has about 40 pixels where it is found, and 120 where it is cut."""
    folder = tmp_path / "pair"
    folder.mkdir()
    empty = np.asarray(cv2.resize(nobody, MAIN), np.uint8)
    scene = empty.copy()
    scene[400:760, 600:1240] = obama
    with RtspServer(folder, size=MAIN, sub=SUB, fps=10) as server:
        server.show_both(empty)
        camera = {"url": server.url("main"), "substream": server.url("sub"), "detection": {"min_face_px": 80}}
        with make_daemon({"door": camera}) as daemon:
            daemon.await_event("camera.online", camera="door")
            eventually(lambda: counted(daemon, "packets", "passed"), what="nobody asks for pictures")
            server.show_both(scene)
            named = daemon.await_event("face.identified", camera="door", timeout_s=20)
            assert named.identity is not None
            assert named.identity["name"] == OBAMA
            assert named.frame is not None
            assert tuple(named.frame["size"]) == MAIN
            eventually(lambda: counted(daemon, "pictures", "sent"), what="the picture is counted")


def counted(daemon: Daemon, what: str, outcome: str) -> float:
    return daemon.metrics().total(f"streamd_main_stream_{what}_total", camera="door", outcome=outcome)
