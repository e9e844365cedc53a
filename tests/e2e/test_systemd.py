"""The daemon as a service, under the unit's whole sandbox: a real systemd in namespaces of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import unavailable

from streamd.installation import HIDDEN

pytestmark = pytest.mark.timeout(360)

ROOT = Path(__file__).parents[2]
BOX = ROOT / "tests" / "systemd_box.sh"
SYSTEMD = Path("/lib/systemd/systemd")

PROGRAM = """#!/bin/sh
export PYTHONPATH=/opt/streamd/source:/opt/streamd/site PYTHONDONTWRITEBYTECODE=1
exec {python} -m streamd "$@"
"""
CONFIG = """
cameras:
  door: {url: /var/lib/streamd/visits}
  gate: {remote: true}
frames: {listen: "tcp://127.0.0.1:5580", server_key: worker.key_secret, clients: clients}
state_dir: /var/lib/streamd
runtime_dir: /run/streamd
gallery: {folder: /var/lib/streamd/gallery}
capture: {image_fps: 5}
"""
# Slower than needed outside of tests; systemd's own times are long, so that nothing is given up too soon.
DROP_IN = """[Service]
WatchdogSec=4
RestartSec=100ms
StandardError=append:/run/box/service.log
ExecStopPost=/bin/sh -c 'echo "ended: $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS" >&2'
"""
DRIVER = """#!/bin/bash
# Each answer is a line 'name<TAB>value'.
say() { printf '%s\\t%s\\n' "$1" "$2"; }
shown() { systemctl show streamd -P "$1"; }
until_true() { for i in $(seq 600); do if eval "$1"; then return 0; fi; sleep 0.1; done; say timeout "$1"; return 1; }
streamd() { /opt/streamd/bin/streamd "$@"; }
as_service() { runuser -u streamd -- /opt/streamd/bin/streamd "$@"; }
identified() { as_service events --type face.identified --camera "$1" --last 1 2>/dev/null | grep -c Obama; }

cp /run/box/program /opt/streamd/bin/streamd
streamd install --program /opt/streamd/bin/streamd --json > /run/box/install.json || say install failed
say again "$(streamd install --program /opt/streamd/bin/streamd --json | grep -c '"ran": true')"
say config "$(stat -c '%U:%G %a' /etc/streamd/streamd.yaml)"
cat /run/box/config > /etc/streamd/streamd.yaml
cd /etc/streamd
mkdir -p clients captures/gate
streamd keys new worker --dir . > /dev/null
streamd keys new gate --dir captures/gate > /dev/null
cp worker.key captures/gate
mv captures/gate/gate.key clients
printf 'STREAMD_URL=/opt/visits\\nCONNECT=tcp://127.0.0.1:5580\\n' > captures/gate/env
chmod 700 captures/gate
chown -R streamd: worker.key_secret clients
cp -r /run/box/visits /opt/visits
for unit in streamd.service streamd-capture@.service; do
  mkdir -p "/etc/systemd/system/$unit.d"
  cp /run/box/drop-in "/etc/systemd/system/$unit.d/test.conf"
done
systemctl daemon-reload
cp -r /run/box/models /run/box/visits /run/box/gallery /var/lib/streamd/
chown -R streamd: /var/lib/streamd

systemctl start streamd; say started $?
say active "$(shown ActiveState) $(shown StatusText)"
say slice "$(shown Slice)"
systemctl start streamd-capture@gate; say capture_started $?
for camera in door gate; do
  until_true "identified $camera > /dev/null"
  say "identified_$camera" "$(identified "$camera")"
done
capture=$(systemctl show streamd-capture@gate -P MainPID)
say capture_user "$(ps -o user:32= -p "$capture")"
pid=$(shown MainPID)
say user "$(ps -o user= -p "$pid")"
say no_new_privileges "$(grep NoNewPrivs /proc/$pid/status | cut -f2)"
say seccomp "$(grep Seccomp: /proc/$pid/status | cut -f2)"
inside() { nsenter --target "$pid" --mount --root "$@" 2>&1; }
say read_only "$(inside touch /etc/streamd/x /usr/x /var/lib/x | grep -c 'Read-only')"
say writable "$(inside touch /var/lib/streamd/x /run/streamd/x; echo $?)"
say homes_are_hidden "$(inside ls /root /home | grep -c -v -e '^/' -e '^$')"
say children "$(pgrep -P "$pid" | wc -l)"
say faces_are_private "$(stat -c %a /var/lib/streamd) $(stat -c %a /run/streamd)"

systemctl reload streamd; say reloaded $?
until_true 'systemctl is-active -q streamd'
say same_process "$([ "$(shown MainPID)" = "$pid" ] && echo yes)"

kill -STOP "$pid"
until_true '[ "$(shown NRestarts)" -ge 1 ] && systemctl is-active -q streamd'
say hung "$(grep -m 1 'ended: ' /run/box/service.log)"
say another_process "$([ "$(shown MainPID)" != "$pid" ] && echo yes)"

systemctl stop streamd; say stopped $?
say end "$(shown Result) $(shown ExecMainStatus)"
say left_over "$(pgrep -u streamd | wc -l)"

echo 'nonsense: 1' > /etc/streamd/streamd.yaml
systemctl start streamd; say wrong_config $?
say wrong_config_end "$(shown Result) $(shown ExecMainStatus) $(shown NRestarts)"

systemctl enable -q streamd streamd-capture@gate
streamd uninstall --json > /run/box/uninstall.json || say uninstall failed
say capture_known "$(systemctl is-active streamd-capture@gate)"
say known "$(systemctl cat streamd 2>/dev/null | wc -l)"
say kept "$(ls /etc/streamd/streamd.yaml /var/lib/streamd/gallery.sqlite | wc -l)"
say links "$(ls /etc/systemd/system/multi-user.target.wants 2>/dev/null | grep -c streamd)"
"""


def python_that_a_service_may_run() -> str:
    """Of this version, and not in a folder that the sandbox hides."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (f"/usr/bin/{name}", f"/usr/local/bin/{name}", os.path.realpath(sys.executable)):
        real = Path(candidate).resolve()
        if real.exists() and not any(real.is_relative_to(hidden) for hidden in (*HIDDEN, "/tmp")):
            return candidate
    unavailable(f"no {name} outside of {', '.join(HIDDEN)}: apt-get install {name}")
    raise AssertionError


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    if os.getuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None:
        unavailable("no systemd to run, or not root: apt-get install systemd")
    folder = tmp_path_factory.mktemp("systemd")
    box = folder / "box"
    box.mkdir()
    (box / "models").mkdir()
    for path in models_dir.iterdir():
        if path.is_file() and path.name.startswith(("yunet", "sface")):
            shutil.copy(path, box / "models")
    (box / "program").write_text(PROGRAM.format(python=python_that_a_service_may_run()))
    (box / "program").chmod(0o755)
    (box / "config").write_text(CONFIG)
    (box / "drop-in").write_text(DROP_IN)
    (box / "driver").write_text(DRIVER)
    (box / "driver").chmod(0o755)
    return folder


def run_box(folder: Path) -> dict[str, str]:
    command = ["unshare", "--pid", "--mount", "--cgroup", "--net", "--uts", "--ipc", "--fork", "--kill-child"]
    environment = {**os.environ, "BOX": str(folder), "SOURCE": str(ROOT), "SITE": sysconfig.get_paths()["purelib"]}
    # After a time-out, what was told until then says more.
    with (folder / "log").open("wb") as log, suppress(subprocess.TimeoutExpired):
        subprocess.run([*command, "bash", str(BOX)], env=environment, stdout=log, stderr=log, timeout=300)
    out = folder / "out"
    if not out.exists():
        unavailable(f"systemd does not start here: {(folder / 'log').read_text(errors='replace')[-1000:]}")
    lines = out.read_text().splitlines()
    told = (path.read_text(errors="replace")[-6000:] for path in (folder / "log", folder / "box" / "service.log"))
    print("\n".join(lines), *told, sep="\n")
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def test_the_daemon_runs_under_systemd_with_the_whole_sandbox(prepared: Path, visits: Path, gallery: Path) -> None:
    shutil.copytree(visits, prepared / "box" / "visits")
    shutil.copytree(gallery, prepared / "box" / "gallery")
    told = run_box(prepared)
    installed: dict[str, Any] = json.loads((prepared / "box" / "install.json").read_text())
    assert [command["ran"] for command in installed["commands"]] == [True] * 3
    assert "timeout" not in told
    assert told["again"] == "0"
    assert told["config"] == "root:streamd 640"
    # READY=1 ends the start, and says how it fares.
    assert (told["started"], told["active"]) == ("0", "active watching 2 cameras")
    assert told["slice"] == "streamd.slice"
    # A face was found, embedded, searched and written down, in there.
    assert told["identified_door"] == "1"
    # So it was through a camera's own unit, which is another user.
    assert (told["capture_started"], told["identified_gate"]) == ("0", "1")
    assert told["capture_user"] == "streamd-capture"
    assert int(told["children"]) >= 4
    assert told["user"] == "streamd"
    assert (told["no_new_privileges"], told["seccomp"]) == ("1", "2")
    assert (told["read_only"], told["writable"], told["homes_are_hidden"]) == ("3", "0", "0")
    assert told["faces_are_private"] == "700 700"
    assert (told["reloaded"], told["same_process"]) == ("0", "yes")
    # A supervisor that hangs feeds no watchdog. (A machine that halts for seconds may cost a second restart.)
    assert (told["hung"], told["another_process"]) == ("ended: watchdog killed ABRT", "yes")
    assert (told["stopped"], told["end"], told["left_over"]) == ("0", "success 0", "0")
    # A wrong file is not tried again.
    assert (told["wrong_config"], told["wrong_config_end"]) == ("1", "exit-code 78 0")
    assert (told["known"], told["kept"], told["links"]) == ("0", "2", "0")
    assert told["capture_known"] == "inactive"
    assert "install" not in told
    assert "uninstall" not in told
