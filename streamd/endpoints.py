"""Where the processes of one daemon meet: names of the sockets in the runtime directory."""

from __future__ import annotations

from pathlib import Path


def control_endpoint(sockets_dir: Path) -> str:
    return f"ipc://{sockets_dir}/control.sock"


def verdicts_endpoint(sockets_dir: Path) -> str:
    return f"ipc://{sockets_dir}/verdicts.sock"


def views_endpoint(sockets_dir: Path) -> str:
    """Where captures give the gateway pictures to be watched."""
    return f"ipc://{sockets_dir}/views.sock"


def overlays_endpoint(sockets_dir: Path) -> str:
    """Where workers tell the gateway what to draw over them."""
    return f"ipc://{sockets_dir}/overlays.sock"


def offers_endpoint(sockets_dir: Path, camera: str) -> str:
    """Where the capture of a ``whip://`` camera takes the offers of browsers and phones."""
    return f"ipc://{sockets_dir}/whip-{camera}.sock"


def frames_endpoint(sockets_dir: Path, worker: int) -> str:
    return f"ipc://{sockets_dir}/frames-{worker}.sock"


def remote_frames_endpoint(listen: str, worker: int) -> str:
    """The worker's own port: ``listen`` is the first worker's."""
    host, _, port = listen.rpartition(":")
    return f"{host}:{int(port) + worker}"
