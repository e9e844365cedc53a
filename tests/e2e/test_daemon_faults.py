"""What the daemon survives: every child killed, a server that goes, a worker that hangs, bad files, slow readers."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from e2e.conftest import MakeDaemon
from e2e.daemon import Daemon, assert_contiguous, eventually
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer

Picture = NDArray[np.uint8]


def two_cameras(rtsp: RtspServer) -> dict[str, dict[str, str]]:
    return {"door": {"url": rtsp.url("cam1")}, "yard": {"url": rtsp.url("cam2")}}


def await_both_online(daemon: Daemon) -> None:
    for camera in ("door", "yard"):
        daemon.await_event("camera.online", camera=camera)


@pytest.mark.parametrize("victim", ["capture@door", "worker@0", "publisher", "gateway"])
def test_a_killed_child_runs_again_and_the_daemon_goes_on(
    victim: str, rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, nobody: Picture
) -> None:
    with make_daemon(two_cameras(rtsp)) as daemon:
        await_both_online(daemon)
        rtsp.show("cam2", obama)
        named = daemon.await_event("face.identified", camera="yard")
        rtsp.show("cam2", nobody)
        daemon.await_event("face.left", camera="yard", after=named.seq)
        last = daemon.journal()[-1].seq
        killed = daemon.kill(victim)
        eventually(lambda: daemon.running(victim, instead_of=killed), timeout_s=60, what=f"{victim} again")
        for mount, camera in (("cam1", "door"), ("cam2", "yard")):
            rtsp.show(mount, obama)
            daemon.await_event("face.identified", camera=camera, after=last)
        assert_contiguous(daemon.journal())
        eventually(lambda: daemon.get("/readyz")[0] == 200)
        assert daemon.metrics().total("streamd_restarts_total", child=victim) == 1


def test_an_rtsp_server_that_dies_and_returns_costs_one_camera_for_a_while(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, nobody: Picture
) -> None:
    extra = {"capture": {"read_timeout_s": 2, "open_timeout_s": 3, "retry_max_s": 1}}
    with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra=extra) as daemon:
        online = daemon.await_event("camera.online")
        pid = daemon.child("capture@door").pid
        rtsp.kill()
        offline = daemon.await_event("camera.offline", after=online.seq)
        assert offline.message
        rtsp.start()
        rtsp.show("cam1", nobody)
        again = daemon.await_event("camera.online", after=offline.seq)
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified", after=again.seq)
        assert daemon.child("capture@door").pid == pid


@pytest.mark.parametrize("victim", ["worker@0", "capture@door"])
def test_a_child_that_hangs_is_replaced(victim: str, rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra={"supervision": {"stall_after_s": 6}}) as daemon:
        daemon.await_event("camera.online")
        hung = daemon.kill(victim, signal.SIGSTOP)
        eventually(lambda: daemon.running(victim, instead_of=hung), timeout_s=60)
        last = daemon.journal()[-1].seq
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified", after=last)
        assert_contiguous(daemon.journal())


def test_a_worker_clears_away_what_one_that_was_killed_left_behind(rtsp: RtspServer, make_daemon: MakeDaemon) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("camera.online")
        half_written = daemon.state / "snapshots" / "2026-03-01" / "door-3fa1-1-0b9f6a3c-face.jpg.part"
        half_written.parent.mkdir(parents=True)
        half_written.write_bytes(b"jpeg")
        daemon.kill("worker@0")
        eventually(lambda: not half_written.exists(), timeout_s=60)


def test_a_machine_that_halts_costs_no_restart(rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture) -> None:
    """As a virtual machine that is paused: nobody runs, and time goes on."""
    # Longer than the machine's own short halts, which are not excused, and a beat.
    with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra={"supervision": {"stall_after_s": 6}}) as daemon:
        daemon.await_event("camera.online")
        assert daemon.process is not None
        children = {child.name: child.pid for child in daemon.status().children}
        everybody = [daemon.process.pid, *(pid for pid in children.values() if pid is not None)]
        before = len(daemon.logged())
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(9)  # the halt itself, longer than a child may be silent
        for pid in everybody:  # the supervisor first, before anybody could give a sign of life
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: "the machine halted" in daemon.logged()[before:], what="it was noticed")
        rtsp.show("cam1", obama)
        daemon.await_event("face.identified")
        assert {child.name: child.pid for child in daemon.status().children} == children
        assert_contiguous(daemon.journal())


def test_events_decided_while_the_publisher_is_dead_reach_the_journal_once(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, nobody: Picture
) -> None:
    # Six deaths in a row: with the usual back-off the last restart alone would wait twenty seconds.
    patient = {"supervision": {"backoff_max_s": 1}}
    with make_daemon({"door": {"url": rtsp.url("cam1")}}, extra=patient) as daemon:
        daemon.await_event("camera.online")
        for _ in range(3):
            last = daemon.journal()[-1].seq
            daemon.kill("publisher")
            rtsp.show("cam1", obama)
            named = daemon.await_event("face.identified", after=last)
            daemon.kill("publisher")
            rtsp.show("cam1", nobody)
            daemon.await_event("face.left", after=named.seq)
            eventually(lambda: daemon.running("publisher"))
        assert_contiguous(daemon.journal())


def test_a_good_file_is_taken_over_and_a_bad_one_is_not(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("camera.online", camera="door")
        pids = {c.name: c.pid for c in daemon.status().children}
        daemon.body["cameras"]["yard"] = {"url": rtsp.url("cam2")}
        daemon.write_config()
        daemon.reload()
        daemon.await_event("camera.online", camera="yard")
        rtsp.show("cam2", obama)
        daemon.await_event("face.identified", camera="yard")
        assert {c.name: c.pid for c in daemon.status().children if c.name in pids} == pids

        good = daemon.config.read_text()
        daemon.config.write_text(good + "\nnonsense: 1\ndetection: {min_score: 7}\n")
        daemon.reload()
        eventually(lambda: "nonsense" in daemon.logged() and "detection.min_score" in daemon.logged())
        assert daemon.running("capture@yard")

        del daemon.body["cameras"]["door"]
        daemon.write_config()
        daemon.reload()
        eventually(lambda: "capture@door" not in {c.name for c in daemon.status().children})
        assert daemon.child("capture@yard").pid
        assert daemon.child("worker@0").pid == pids["worker@0"]


def test_a_drain_under_load_ends_every_appearance_and_loses_nothing(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, biden: Picture
) -> None:
    with make_daemon(two_cameras(rtsp)) as daemon:
        await_both_online(daemon)
        rtsp.show("cam1", obama)
        rtsp.show("cam2", biden)
        daemon.await_event("face.identified", camera="door")
        daemon.await_event("face.appeared", camera="yard")
        assert daemon.stop() == 0
        events = daemon.journal()
        assert_contiguous(events)
        appeared = {e.track for e in events if e.type.value == "face.appeared"}
        assert appeared == {e.track for e in events if e.type.value == "face.left"}


def test_a_subscriber_that_does_not_read_holds_up_nobody(
    rtsp: RtspServer, make_daemon: MakeDaemon, obama: Picture, nobody: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon, daemon.subscribe(since=0) as idle:
        assert idle.next(60) is not None
        with daemon.subscribe(since=0) as busy:
            last = daemon.journal()[-1]
            for _ in range(3):
                rtsp.show("cam1", obama)
                last = daemon.await_event("face.identified", after=last.seq)
                rtsp.show("cam1", nobody)
                last = daemon.await_event("face.left", after=last.seq)
            seen = []
            while not seen or seen[-1] < last.seq:
                event = busy.next(60)
                assert event is not None
                seen.append(event.seq)
            assert seen == list(range(1, last.seq + 1))


def test_children_leave_when_the_supervisor_is_killed(rtsp: RtspServer, make_daemon: MakeDaemon) -> None:
    daemon = make_daemon({"door": {"url": rtsp.url("cam1")}})
    daemon.start()
    pids = [c.pid for c in daemon.status().children if c.pid]
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait()
    eventually(lambda: not any(_alive(pid) for pid in pids), timeout_s=60, what="children gone")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_second_daemon_and_a_port_in_use_say_so(rtsp: RtspServer, make_daemon: MakeDaemon) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        command = [sys.executable, "-m", "streamd", "run", "-c", str(daemon.config)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 69
        assert "another streamd runs with this state_dir" in second.stderr

        other = make_daemon({"door": {"url": rtsp.url("cam1")}})
        other.body["events"]["publish"] = daemon.publish
        other.write_config()
        other.start(wait=False)
        assert other.process is not None
        assert other.process.wait(60) == 69
        assert "address in use" in other.logged()
        assert daemon.publish in other.logged()


def test_a_missing_and_a_wrong_configuration_name_the_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("config")
    wrong = folder / "wrong.yaml"
    wrong.write_text("cameras:\n  door:\n    urll: x\ndetection:\n  min_score: 3\n")
    for path, expected in (
        (folder / "none.yaml", ["none.yaml"]),
        (wrong, ["wrong.yaml:3:5", "cameras.door.urll", "wrong.yaml:5:3", "detection.min_score"]),
    ):
        command = [sys.executable, "-m", "streamd", "run", "-c", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 78
        for text in expected:
            assert text in done.stderr


def test_ctrl_c_while_everybody_starts_ends_all_in_good_order(rtsp: RtspServer, make_daemon: MakeDaemon) -> None:
    """A terminal sends it to the whole process group, also to children that are loading their libraries."""
    daemon = make_daemon({"door": {"url": rtsp.url("cam1")}})
    daemon.start(wait=False)
    process = daemon.process
    assert process is not None

    def loading() -> list[int]:
        """The children, once each has begun to load its libraries."""
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return (
            list(map(int, found)) if all("pydantic" in Path(f"/proc/{pid}/maps").read_text() for pid in found) else []
        )

    for pid in (process.pid, *eventually(loading)):
        os.kill(pid, signal.SIGINT)
    assert process.wait(60) == 0
    assert "Traceback" not in daemon.logged()


def test_two_signals_end_it_at_once(rtsp: RtspServer, make_daemon: MakeDaemon) -> None:
    daemon = make_daemon({"door": {"url": rtsp.url("cam1")}})
    daemon.start()
    daemon.kill("worker@0", signal.SIGSTOP)
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGINT)
    eventually(lambda: "stopping" in daemon.logged())
    daemon.process.send_signal(signal.SIGINT)
    daemon.process.wait(15)  # a drain would take ``drain_s``, 20 s: the worker does not answer
