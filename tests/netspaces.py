"""Boxes for tests: network namespaces around a router, joined by short cables and by long wires."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import unavailable

WIRE = Path(__file__).parent / "longwire.py"
HERE = "10.204.0.1"
"""This process's address, as every box sees it."""
_ROUTER = "sd-router"


class Boxes:
    """A router, and boxes around it. Use as a context manager; needs root."""

    def __init__(self) -> None:
        self._spaces: list[str] = []
        self._wires: list[LongWire] = []

    def __enter__(self) -> Boxes:
        for need in ("ip", "sysctl"):
            if shutil.which(need) is None:
                unavailable(f"no '{need}': apt-get install iproute2 procps")
        if not Path("/dev/net/tun").exists():
            unavailable("no /dev/net/tun here")
        try:
            self._space(_ROUTER)
            self._do("ip link add sd-here type veth peer name sd-here netns " + _ROUTER)
            self._do(f"ip addr add {HERE}/30 dev sd-here")
            self._do("ip link set sd-here up")
            self._in(_ROUTER, "ip addr add 10.204.0.2/30 dev sd-here")
            self._in(_ROUTER, "ip link set sd-here up")
            self._in(_ROUTER, "sysctl -qw net.ipv4.ip_forward=1")
            self._do("ip route add 10.204.0.0/16 via 10.204.0.2")
        except subprocess.CalledProcessError as error:
            self.__exit__()
            unavailable(f"no network namespaces here: {' '.join(error.cmd)}: {error.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        for wire in self._wires:
            wire.close()
        for space in self._spaces:
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        subprocess.run(["ip", "link", "delete", "sd-here"], capture_output=True)

    def near(self, name: str) -> Box:
        """A box beside the router."""
        number, box = self._box(name)
        self._do(f"ip link add sd-cable netns {box.space} type veth peer name sd-{name} netns {_ROUTER}")
        self._in(_ROUTER, f"ip addr add 10.204.{number}.1/30 dev sd-{name}")
        self._in(_ROUTER, f"ip link set sd-{name} up")
        self._in(box.space, f"ip addr add {box.address}/30 dev sd-cable")
        self._in(box.space, "ip link set sd-cable up")
        self._in(box.space, f"ip route add default via 10.204.{number}.1")
        return box

    def far(self, name: str) -> tuple[Box, LongWire]:
        """A box at the other end of a long wire."""
        number, box = self._box(name)
        wire = LongWire(box.space, box.address, _ROUTER, f"10.204.{number}.1")
        self._wires.append(wire)
        self._in(box.space, f"ip route add default via 10.204.{number}.1")
        return box, wire

    def _box(self, name: str) -> tuple[int, Box]:
        number = len(self._spaces)
        box = Box(name, f"sd-{name}", f"10.204.{number}.2")
        self._space(box.space)
        return number, box

    def _space(self, space: str) -> None:
        subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        self._do(f"ip netns add {space}")
        self._spaces.append(space)
        self._in(space, "ip link set lo up")

    def _in(self, space: str, command: str) -> None:
        self._do(f"ip netns exec {space} {command}")

    def _do(self, command: str) -> None:
        subprocess.run(command.split(), check=True, capture_output=True, text=True)


class Box:
    """One namespace."""

    def __init__(self, name: str, space: str, address: str) -> None:
        self.name = name
        self.space = space
        self.address = address

    def command(self, *words: str) -> list[str]:
        """To be run as on that box."""
        return ["ip", "netns", "exec", self.space, *words]

    def streamd(self, *words: str, log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = self.command(sys.executable, "-m", "streamd", *words)
        with log.open("ab") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=file, cwd=log.parent, env={**os.environ, **(env or {})}
            )


class LongWire:
    """The process of ``longwire.py`` as a test holds it."""

    def __init__(self, space_a: str, address_a: str, space_b: str, address_b: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WIRE), space_a, address_a, space_b, address_b],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "READY"

    def shape(self, *, delay_ms: float, jitter_ms: float = 0.0, loss_percent: float = 0.0) -> None:
        self._tell(f"shape {delay_ms} {jitter_ms} {loss_percent}")

    def cut(self) -> None:
        self._tell("cut")

    def join(self) -> None:
        self._tell("join")

    def carried_bytes(self) -> int:
        """From the far end, so far."""
        return int(self._tell("count").split()[2])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _tell(self, command: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the wire ended"
        return line.strip()
