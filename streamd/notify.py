"""Tells systemd how the service fares: sd_notify(3), without its library."""

from __future__ import annotations

import os
import socket


def notify(*assignments: str) -> bool:
    """Send ``READY=1``, ``STATUS=...`` and the like to ``$NOTIFY_SOCKET``.

    False where there is no such socket or nobody reads it. Never blocks, never raises: a service must not hang on its
    reports, nor end by them.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):  # Linux's abstract sockets begin with a NUL
        address = "\0" + address[1:]
    # A line break in a status would begin another assignment.
    message = "\n".join(" ".join(assignment.splitlines()) for assignment in assignments)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto(message.encode(), address)
    except OSError:  # perhaps there is no file descriptor left
        return False
    return True


def watchdog_interval_s() -> float | None:
    """Half of what systemd allows between two ``WATCHDOG=1``; None where it does not watch this process."""
    try:
        allowed_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        watched_pid = int(os.environ.get("WATCHDOG_PID") or os.getpid())
    except ValueError:
        return None
    if allowed_us <= 0 or watched_pid != os.getpid():
        return None
    return allowed_us / 2 / 1_000_000
