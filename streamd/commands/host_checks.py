"""The doctor on the host: directories, disk, clock, ports and keys."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import streamd
from streamd.commands.finding import Finding, Level
from streamd.config import Config
from streamd.endpoints import control_endpoint

LITTLE_DISK_BYTES = 1 << 30
NO_DISK_BYTES = 200 << 20
_TIMESYNC = Path("/run/systemd/timesync")


def directories(config: Config) -> Iterator[Finding]:
    """State and sockets: writable, and private."""
    yield from private_directory("state_dir", config.state_dir)
    yield from private_directory("runtime_dir", config.sockets_dir)


def private_directory(key: str, path: Path) -> Iterator[Finding]:
    if path.exists() and not path.is_dir():
        yield Finding(Level.FAIL, key, f"{path} is not a directory", f"move it away, or set {key}")
        return
    place = _nearest(path)
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"probe")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        advice = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "chown it to this user"
        yield Finding(Level.FAIL, key, f"{place} cannot be written: {reason}", f"{advice}, or set {key}")
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o700
    if mode & 0o077:
        yield Finding(Level.WARN, key, f"{path} has mode {mode:04o}: others can read it", f"chmod 700 {path}")
    else:
        yield Finding(Level.OK, key, f"{path}" if path.exists() else f"{path} (will be made)")


def disk(config: Config) -> Iterator[Finding]:
    place = _nearest(config.state_dir)
    free = shutil.disk_usage(place).free
    message = f"{free / (1 << 30):.1f} GiB free at {place}"
    wanted = (config.events.max_mb + config.snapshots.max_mb) * 1e6
    if free >= LITTLE_DISK_BYTES and wanted - _kept_bytes(config) > free:
        advice = "lower events.max_mb and snapshots.max_mb, or put state_dir on a larger disk"
        message += f", and events and pictures may take {wanted / (1 << 30):.1f}"
        yield Finding(Level.WARN, "disk", message, advice)
    elif free < LITTLE_DISK_BYTES:
        level = Level.FAIL if free < NO_DISK_BYTES else Level.WARN
        yield Finding(level, "disk", message, "free some space, or put state_dir on a larger disk")
    else:
        yield Finding(Level.OK, "disk", message)


def _kept_bytes(config: Config) -> int:
    """What events and pictures take already."""
    files = [config.journal_file, *config.snapshots_dir.rglob("*.jpg*")]
    return sum(path.stat().st_size for path in files if path.is_file())


def clock(config: Config) -> Iterator[Finding]:
    yield clock_finding(time.time(), Path(streamd.__file__).stat().st_mtime)
    if _TIMESYNC.is_dir() and not (_TIMESYNC / "synchronized").exists():
        message = "not yet synchronised with a time server"
        yield Finding(Level.WARN, "clock", message, "timedatectl set-ntp true; see 'timedatectl timesync-status'")


def clock_finding(now_wall_s: float, installed_wall_s: float) -> Finding:
    """A clock that is behind the installation's files has not been set since power came back."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_wall_s))
    if now_wall_s < installed_wall_s - 3600:
        return Finding(Level.FAIL, "clock", f"{shown} is before streamd was installed", "set the clock (timedatectl)")
    return Finding(Level.OK, "clock", shown)


def ports(config: Config) -> Iterator[Finding]:
    """Whether each address can be listened on, or is the running daemon's."""
    addresses = {"events.publish": config.events.publish, "events.replay": config.events.replay}
    if config.gateway.enabled:
        addresses["gateway.listen"] = config.gateway.listen
    if config.frames.listen:
        addresses["frames.listen"] = config.frames.listen
    ours = daemon_answers(config)
    for key, address in addresses.items():
        if address.startswith("ipc://"):
            continue  # a file: whoever listens there replaces it
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        yield port_finding(key, host.strip("[]"), int(port), ours=ours)


def port_finding(key: str, host: str, port: int, *, ours: bool) -> Finding:
    target = ("" if host == "*" else host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
        except OSError as error:
            if ours:
                return Finding(Level.OK, key, f"{host}:{port} is in use while the daemon runs")
            reason = (error.strerror or str(error)).lower()
            advice = f"'ss -ltnp sport = :{port}' shows who has it; stop that, or change {key}"
            return Finding(Level.FAIL, key, f"{host}:{port}: {reason}", advice)
    return Finding(Level.OK, key, f"{host}:{port} is free")


def daemon_answers(config: Config) -> bool:
    """Whether a daemon with this runtime directory listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(control_endpoint(config.sockets_dir).removeprefix("ipc://"))
        except OSError:
            return False
    return True


def keys(config: Config) -> Iterator[Finding]:
    """The secret key must be there, and nobody else's."""
    path = config.frames.server_key
    if path is None:
        return
    if not path.is_file():
        yield Finding(Level.FAIL, "frames.server_key", f"{path}: no such file", "streamd keys new")
    elif path.stat().st_mode & 0o077:
        yield Finding(Level.WARN, "frames.server_key", f"{path}: others can read it", f"chmod 600 {path}")
    else:
        yield Finding(Level.OK, "frames.server_key", str(path))
    clients = config.frames.clients
    if clients is not None and not clients.is_dir():
        yield Finding(Level.FAIL, "frames.clients", f"{clients}: no such folder", "make it, and put public keys there")


def _nearest(path: Path) -> Path:
    """``path``, or the nearest directory above it that exists."""
    return next(p for p in (path.absolute(), *path.absolute().parents) if p.is_dir() and os.access(p, os.X_OK))
