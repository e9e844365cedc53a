"""What becomes of a main stream beside a sub-stream."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class MainWork:
    """What became of a main stream's packets and of the pictures that were asked for, over all connections."""

    decoded: int = 0
    passed: int = 0
    """Packets that nobody needed."""
    corrupt: int = 0
    cpu_s: float = 0.0
    up: bool = False
    sent: int = 0
    far: int = 0
    """No frame of the moment that was asked for."""
    down: int = 0
    """There was no main stream."""
