"""What operators look at, on a running daemon: a real Prometheus with rules and dashboard, and the log."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
from brokers import program
from e2e.conftest import OBAMA
from e2e.daemon import Daemon, eventually, free_ports
from numpy.typing import NDArray
from promqueries import RULES, every_query
from rtsp_fixtures import RtspServer

import streamd

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory,
    models_dir: Path,
    faces_dir: Path,
    obama: NDArray[Any],
    biden: NDArray[Any],
    nobody: NDArray[Any],
) -> Iterator[Daemon]:
    """A camera with somebody known and a stranger who come and go, and one that is not there."""
    folder = tmp_path_factory.mktemp("observing")
    (folder / "visits").mkdir()
    for number in range(40):
        picture = (obama, nobody, biden, nobody)[number // 10]
        cv2.imwrite(str(folder / "visits" / f"{number:03}.png"), picture)
    gallery = folder / "gallery" / OBAMA
    gallery.mkdir(parents=True)
    (gallery / "obama.jpg").write_bytes((faces_dir / "obama.jpg").read_bytes())
    cameras = {
        "door": {"url": str(folder / "visits"), "capture": {"image_fps": 5}},
        "away": {"url": "rtsp://ana:hunter2@127.0.0.1:9/away"},
    }
    with Daemon(folder / "d", models=models_dir, cameras=cameras, gallery=gallery.parent) as made:
        made.await_event("face.identified", name=OBAMA)
        yield made


class Prometheus:
    """A server of its own that scrapes one daemon each second, with streamd's rules. Use as a context manager."""

    def __init__(self, folder: Path, target: str) -> None:
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}"
        self._log = folder / "prometheus.log"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": [{"job_name": "streamd", "static_configs": [{"targets": [target]}]}],
            "rule_files": [str(RULES)],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._command = [
            program("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    def __enter__(self) -> Prometheus:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        if exc[0] is not None:
            print(self._log.read_text()[-3000:])

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The series that it answers. Raises AssertionError with what it has against the query."""
        url = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found = json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:  # it is still starting
                    return []
                raise AssertionError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return []
        return [(series["metric"], float(series["value"][1])) for series in found]

    def value(self, query: str) -> float | None:
        found = self.ask(query)
        return found[0][1] if found else None


@pytest.fixture(scope="module")
def prometheus(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), daemon.http.removeprefix("http://")) as server:
        eventually(lambda: server.value('up{job="streamd"}') == 1, timeout_s=30, what="a scrape")
        yield server


def test_prometheus_gives_the_expected_values(daemon: Daemon, prometheus: Prometheus) -> None:
    def is_told(query: str, value: float) -> None:
        eventually(lambda: prometheus.value(query) == value, what=f"{query} is {value}")

    is_told('streamd_source_up{camera="door"}', 1)
    is_told('streamd_source_up{camera="away"}', 0)
    is_told("count(streamd_process_up == 1)", len(daemon.status().children))
    is_told("streamd_gallery_people", 1)
    is_told(f'count(streamd_build_info{{version="{streamd.__version__}"}})', 1)
    is_told('count(streamd_accelerator_info{model=~"sface.*"})', 1)
    is_told('sum(streamd_state_bytes{part="journal"}) > bool 1000', 1)
    is_told("streamd_disk_free_bytes / streamd_disk_size_bytes < bool 1", 1)
    is_told("sum(streamd_process_threads) > bool 10", 1)
    # What it has scraped is what the journal says, a little later.
    daemon.await_event("face.unknown", camera="door")
    eventually(lambda: prometheus.value('sum(streamd_events_total{type="face.unknown"})'), what="a stranger is counted")
    total = eventually(lambda: prometheus.value('sum(streamd_verdicts_total{camera="door",result="identified"})'))
    assert total is not None
    eventually(lambda: len(daemon.events("face.identified", camera="door")) >= total, what="they are in the journal")
    sure = prometheus.value('histogram_quantile(0.05, sum by (le) (streamd_verdict_probability_bucket{camera="door"}))')
    assert sure is not None
    assert sure > 0.9
    similarity = 'streamd_verdict_similarity_bucket{camera="door",result="unknown"}'
    strangers = eventually(lambda: prometheus.value(f"histogram_quantile(0.95, sum by (le) ({similarity}))"))
    assert strangers is not None
    assert strangers < 0.5


def test_prometheus_answers_every_query_of_the_rules_and_the_dashboard(prometheus: Prometheus) -> None:
    for queries in every_query().values():
        for query in queries:
            prometheus.ask(query)
    assert prometheus.value('up{job="streamd"}') == 1, "it has answered"


def test_a_camera_that_is_away_raises_its_alert(prometheus: Prometheus) -> None:
    alert = 'ALERTS{alertname="StreamdCameraDown",camera="away"}'
    eventually(lambda: prometheus.ask(alert), what="an alert")
    # Rates need two scrapes, until which there may be another one pending.
    eventually(lambda: not prometheus.ask('ALERTS{camera="door"}'), what="no alert on the other camera")
    assert prometheus.ask('ALERTS{alertstate="firing"}') == []


def test_the_log_level_changes_while_everybody_runs_on(daemon: Daemon) -> None:
    before = {child.name: child.pid for child in daemon.status().children}
    assert " DEBUG " not in daemon.logged()
    daemon.body["log"] = {"format": "json", "level": "debug"}
    daemon.write_config()
    daemon.reload()

    def told() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in daemon.logged().splitlines() if line.startswith("{")]
        return [line for line in lines if line["level"] == "debug" and "track" in line]

    last = eventually(told, what="a decision in the log")[-1]
    assert (last["role"], last["camera"]) == ("worker@0", "door")
    assert last["track"].startswith("door-")
    assert not any(OBAMA in json.dumps(line) for line in told())
    daemon.body["log"] = {"format": "text"}
    daemon.write_config()
    daemon.reload()

    def text_again() -> bool:
        lines = [line for line in daemon.logged().splitlines() if not line.startswith("{")]
        return any("configuration reloaded" in line for line in lines)

    eventually(text_again)
    assert {child.name: child.pid for child in daemon.status().children} == before
    assert "hunter2" not in daemon.logged()


def doctor(daemon: Daemon, *args: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "streamd", "doctor", "-c", str(daemon.config), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout + done.stderr


def test_a_bundle_of_a_running_daemon_names_nobody(daemon: Daemon, tmp_path: Path) -> None:
    bundle = tmp_path / "report.tar.gz"
    code, printed = doctor(daemon, "--no-cameras", "--bundle", str(bundle), "--log", str(daemon.log))
    assert code == 0, printed
    with tarfile.open(bundle) as archive:
        files = {Path(m.name).name: file.read().decode() for m in archive if (file := archive.extractfile(m))}
    whole = "\n".join(files.values())
    assert "gallery folder: ***.jpg enrolled" in files["log.txt"]
    assert not re.search("barack|obama|hunter2", whole, re.IGNORECASE)
    assert {child["name"] for child in json.loads(files["status.json"])} >= {"worker@0", "capture@door"}
    assert 'streamd_source_up{process="capture@away",camera="away"} 0.0' in files["metrics.txt"]


def test_the_doctor_says_what_a_camera_gives_and_whether_its_password_is_right(
    rtsp: RtspServer, tmp_path: Path, models_dir: Path, obama: NDArray[Any]
) -> None:
    rtsp.show("private", obama)
    cameras = {
        "right": {"url": rtsp.url("private", user="user:secret")},
        "wrong": {"url": rtsp.url("private", user="user:hunter2")},
        "missing": {"url": rtsp.url("private")},
        "off": {"url": "rtsp://127.0.0.1:9/x"},
    }
    daemon = Daemon(tmp_path / "d", models=models_dir, cameras=cameras)
    daemon.state.mkdir(mode=0o700)

    def examined() -> tuple[dict[str, dict[str, str]], str]:
        """What is found, and all that was printed. A machine that halts measures fewer pictures a second."""
        code, printed = doctor(daemon, "--json")
        assert code == 69
        found = {finding["topic"]: finding for finding in json.loads(printed)["findings"]}
        if found["camera right"]["level"] != "ok":
            raise LookupError(found["camera right"])
        return found, printed

    found, printed = eventually(examined, timeout_s=60)
    assert re.match(
        r"h264 640x360, 15 fps \(\d+\.\d measured\), first picture after \d+ ms, password accepted",
        found["camera right"]["message"],
    )
    assert "the password is wrong" in found["camera wrong"]["advice"]
    assert "the password is missing" in found["camera missing"]["advice"]
    assert "power, network" in found["camera off"]["advice"]
    assert re.search(r"runs on \S+ \(.* ms", found["accelerator sface"]["message"])
    assert "hunter2" not in printed
