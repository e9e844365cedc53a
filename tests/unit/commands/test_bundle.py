from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path

import pytest
import yaml
from gatewayparts import new_face

from streamd.cli import main
from streamd.commands import library_checks
from streamd.errors import ExitCode
from streamd.gallery.store import GalleryStore

SECRETS = ["hunter2", "geheim", "s3cr3t-hook", "Bearer-xyz", "from-the-environment", "from-a-credential"]
NAMES = ["Ann", "Smith", "Jörg", "Müller", "J\\u00f6rg", "grandma"]
CONFIG = """\
# the password is hunter2, Ann Smith knows it
state_dir: {state}
gallery: {{folder: {folder}}}
cameras:
  door: {{url: 'rtsp://viewer:hunter2@192.0.2.1/main?token=geheim'}}
  yard: {{url: 'rtsp://viewer:${{YARD_PASSWORD}}@192.0.2.2/user=admin_password=geheim_channel=1'}}
sinks:
  hook: {{kind: webhook, url: 'https://127.0.0.1:9/x', secret: s3cr3t-hook, headers: {{Authorization: Bearer-xyz}}}}
  bell: {{kind: command, command: [/bin/true, --password, geheim]}}
  mail: {{kind: webhook, url: 'https://127.0.0.1:9/y', secret: '${{cred:hook}}'}}
gateway:
  users:
    joerg-mueller:
      password: 'scrypt:14:AAAAAAAAAAAAAAAAAAAAAA:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB'
      role: admin
"""
LOG = """\
21:00:00.000 INFO    worker@0  gallery folder: Ann Smith/with grandma.jpg enrolled, quality 0.91
21:00:01.000 WARNING capture@door  rtsp://viewer:hunter2@192.0.2.1/main?token=geheim: connection refused
21:00:02.000 WARNING courier  sink hook: 401 for s3cr3t-hook from-the-environment from-a-credential
{"at": "x", "role": "gateway", "message": "PATCH /api/v1/people/J\\u00f6rg M\\u00fcller from 10.0.0.9: no"}
21:00:03.000 INFO    supervisor  ready: 2 cameras
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, a log and a gallery with every secret and name in them."""
    monkeypatch.setattr(library_checks, "libraries", lambda config: iter([]))  # which takes seconds
    monkeypatch.setenv("YARD_PASSWORD", "from-the-environment")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))  # of whoever runs this, models are none of a test's
    (tmp_path / "hook").write_text("from-a-credential")
    state, folder = tmp_path / "state", tmp_path / "gallery"
    state.mkdir(mode=0o700)
    (folder / "Grandma Smith").mkdir(parents=True)
    (tmp_path / "streamd.yaml").write_text(CONFIG.format(state=state, folder=folder))
    (tmp_path / "log.txt").write_text(LOG)
    with GalleryStore(state / "gallery.sqlite") as store:
        store.add_faces("Ann Smith", [new_face(1)])
        store.add_faces("Jörg Müller", [new_face(2)])
    return tmp_path


def bundled(box: Path, *more: str) -> dict[str, str]:
    """What is in the bundle, by name."""
    path = box / "report.tar.gz"
    main(["doctor", "--no-cameras", "-c", str(box / "streamd.yaml"), "--bundle", str(path), *more])
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name.removeprefix("report/"): file.read().decode() for name, file in files.items() if file}


def test_a_bundle_has_what_a_report_needs_and_no_secret_and_no_name(box: Path) -> None:
    bundle = bundled(box, "--log", str(box / "log.txt"))
    assert bundle.keys() == {"README.txt", "findings.json", "versions.json", "config.yaml", "log.txt"}
    whole = "\n".join(bundle.values())
    assert [secret for secret in SECRETS if secret.casefold() in whole.casefold()] == []
    assert [name for name in NAMES if re.search(rf"(?i)(?<![^\W_]){re.escape(name)}(?![^\W_])", whole)] == []
    assert "scrypt" not in whole
    config = yaml.safe_load(bundle["config.yaml"])
    assert config["cameras"]["door"]["url"] == "rtsp://***@192.0.2.1/main?***"
    assert config["sinks"]["bell"] == {"kind": "command", "command": "***"}
    assert "connection refused" in bundle["log.txt"]
    assert "ready: 2 cameras" in bundle["log.txt"]
    assert "enrolled, quality 0.91" in bundle["log.txt"]
    assert {"numpy", "pyzmq"} <= json.loads(bundle["versions.json"])["libraries"].keys()
    assert any(finding["topic"] == "disk" for finding in json.loads(bundle["findings.json"]))
    assert "no daemon runs" in bundle["README.txt"]


def test_where_names_cannot_be_known_there_is_no_log(box: Path) -> None:
    (box / "state" / "gallery.sqlite").write_bytes(b"not a database, and larger than a header " * 50)
    bundle = bundled(box, "--log", str(box / "log.txt"))
    assert "log.txt" not in bundle
    assert "names of people could be in it" in bundle["README.txt"]


def test_a_broken_configuration_is_bundled_too(box: Path) -> None:
    (box / "streamd.yaml").write_text("cameras: {door: {url: 'rtsp://a:hunter2@192.0.2.1/x', nonsense: 1}}")
    bundle = bundled(box, "--log", str(box / "log.txt"))
    assert "nonsense" in bundle["config.yaml"]
    assert "hunter2" not in "\n".join(bundle.values())


def test_a_file_that_is_there_is_not_written_over(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (box / "report.tar.gz").write_text("precious")
    arguments = ["doctor", "--no-cameras", "-c", str(box / "streamd.yaml"), "--bundle", str(box / "report.tar.gz")]
    assert main(arguments) == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    assert (box / "report.tar.gz").read_text() == "precious"


def test_a_journald_that_does_not_answer_costs_the_log_alone(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "journalctl").write_text("#!/bin/sh\nexec sleep 600\n")
    (programs / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setattr("streamd.commands.bundle._JOURNALD_S", 0.2)
    bundle = bundled(box)
    assert "no log.txt: journald does not answer" in bundle["README.txt"]
    assert "findings.json" in bundle
