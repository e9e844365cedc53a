"""The doctor on settings that weaken security or privacy: each may be meant, and each is said."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from streamd.commands.finding import Finding, Level
from streamd.config import Config

_PASSWORD = re.compile(r"://[^\s:/@'\"]*:(?!\$\{)[^\s'\"]*@|^\s*(password|secret|token|dsn):\s*(?!['\"]?\$\{)\S", re.M)
"""A password in the file itself, not one that a variable or a credential brings."""


def security(config: Config, file: Path | None = None) -> Iterator[Finding]:
    """A warning for each setting, or one line that there is none."""
    found = [*_gateway(config), *_kept(config), *_sent(config), *_files(config, file)]
    yield from found or [Finding(Level.OK, "security", "no setting that weakens it")]


def _warn(topic: str, message: str, advice: str) -> Finding:
    return Finding(Level.WARN, topic, message, advice)


def on_loopback(address: str) -> bool:
    """Whether ``host:port`` is this machine's own."""
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def _gateway(config: Config) -> Iterator[Finding]:
    gateway = config.gateway
    if not gateway.enabled:
        return
    beyond = not on_loopback(gateway.listen)
    if gateway.plain and beyond:
        yield _warn("gateway.plain", "passwords travel unencrypted", "give gateway.certificate and gateway.key")
    if gateway.public_metrics:
        advice = "'streamd user token prometheus --role viewer', and public_metrics: false"
        yield _warn("gateway.public_metrics", "whoever reaches the port reads the names of cameras", advice)
    if not gateway.users and not gateway.tokens and (others := _logins()) > 1:
        message = f"without users everybody with an account on this machine ({others}) is an admin"
        yield _warn("gateway.users", message, "streamd user add NAME --role admin")
    if any(network.endswith("/0") for network in gateway.trusted_proxies):
        yield _warn(
            "gateway.trusted_proxies", "every address is believed to be a proxy", "name the proxy's own address"
        )


def _logins() -> int:
    """Accounts of people on this machine, root left out."""
    try:
        lines = Path("/etc/passwd").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    rows = [line.split(":") for line in lines if line.count(":") == 6]
    return sum(1000 <= int(row[2]) < 60000 and not row[6].endswith(("nologin", "false")) for row in rows)


def _kept(config: Config) -> Iterator[Finding]:
    if config.gallery.key_file is None:
        message = "faces and embeddings lie on the disk unencrypted: whoever takes the disk has them"
        yield _warn("gallery.key_file", message, "streamd gallery new-key FILE; docs/gallery.md")
    if config.snapshots.frames == "full":
        message = "whole pictures are kept, with people who are not enrolled"
        yield _warn("snapshots.frames", message, "frames: blurred, or none")
    if config.events.retention_days > 90 or config.snapshots.retention_days > 90:
        message = f"events are kept for {config.events.retention_days:g} days, pictures for "
        message += f"{config.snapshots.retention_days:g}"
        yield _warn("retention_days", message, "as long as they are needed, and no longer")


def _sent(config: Config) -> Iterator[Finding]:
    for key, address in (("events.publish", config.events.publish), ("events.replay", config.events.replay)):
        if address.startswith("ipc://"):
            continue
        if not on_loopback(address):
            message = f"{address}: names of people go to whoever connects, unencrypted"
            yield _warn(key, message, "keep it on 127.0.0.1, and let a sink with TLS deliver events")
        elif (others := _logins()) > 1:
            message = f"{address}: everybody with an account on this machine ({others}) reads whom it saw"
            yield _warn(key, message, f"ipc://{config.sockets_dir}/{key.removeprefix('events.')}.sock")
    for name, sink in config.sinks.items():
        if getattr(sink, "plain", False):
            yield _warn(f"sinks.{name}.plain", "names of people travel unencrypted", "mqtts://, https:// or tls://")


def _files(config: Config, file: Path | None) -> Iterator[Finding]:
    if os.geteuid() == 0:
        message = "this runs as root: a fault in a decoder would have the whole machine"
        yield _warn("user", message, "a user of its own, as systemd/streamd.service has it")
    keys = {"gallery.key_file": config.gallery.key_file, "gateway.key": config.gateway.key}
    for key, path in keys.items():
        if path is not None and path.is_file() and path.stat().st_mode & 0o077:
            yield _warn(key, f"{path}: others can read it", f"chmod 600 {path}")
    if file is not None and file.is_file():
        yield from _configuration(file)


def _configuration(file: Path) -> Iterator[Finding]:
    try:
        secret = _PASSWORD.search(_without_comments(file.read_text(errors="replace"))) is not None
    except OSError:
        return
    mode = file.stat().st_mode
    if secret and mode & 0o044:
        message = f"{file} holds a password, and has mode {mode & 0o777:04o}: others can read it"
        yield _warn("configuration", message, f"chmod 600 {file}; or ${{NAME}} and ${{cred:name}} in its place")
    if mode & 0o022:
        message = f"{file} has mode {mode & 0o777:04o}: others can change it"
        yield _warn("configuration", message, f"chmod go-w {file}")


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
