"""The daemon's directories: made, private, writable, and taken by one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from streamd.config import Config
from streamd.errors import UnavailableError


def prepare_directories(config: Config) -> None:
    """Make the state and socket directories, private to this user.

    Raises:
        UnavailableError: one cannot be made or written to.
    """
    for path in (config.state_dir, config.sockets_dir):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = path / f".probe-{os.getpid()}"
            probe.write_bytes(b"probe")
            probe.unlink()
        except OSError as error:
            raise UnavailableError(f"{path}: cannot be written: {error.strerror}") from error
    config.sockets_dir.chmod(0o700)


def lock_state(state_dir: Path) -> int:
    """Take the state directory for this process alone; the lock goes with the process.

    Raises:
        UnavailableError: another daemon has it.
    """
    descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UnavailableError(f"{state_dir}: another streamd runs with this state_dir") from error
    return descriptor
