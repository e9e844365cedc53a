"""A box for tests that hears whatever would leave it: a network namespace whose only way out leads to a listener.

usage: lonelybox.py DEVICE     in the namespace; a line for each packet that leaves: "example" and its bytes in hex
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from conftest import unavailable
from netspaces import Box

_SPACE, _DEVICE = "sd-alone", "sd-out"
_ADDRESS = "198.51.100.2"
_NAMES = Path("/etc/netns") / _SPACE
_IPV4, _IPV6 = 0x0800, 0x86DD
_HOP_BY_HOP, _ICMPV6 = 0, 58
"""What the kernel itself says of a new device, by IPv6."""


class LonelyBox(Box):
    """Use as a context manager; needs root."""

    def __init__(self) -> None:
        super().__init__("alone", _SPACE, _ADDRESS)
        self._listener: subprocess.Popen[str] | None = None

    def __enter__(self) -> LonelyBox:
        self._forget()
        try:
            _do(f"ip netns add {_SPACE}")
            # Names are asked of a server outside, and not of one that this machine may have on its loopback.
            _NAMES.mkdir(parents=True)
            (_NAMES / "resolv.conf").write_text("nameserver 198.51.100.53\noptions timeout:1 attempts:1\n")
            _do(f"ip -n {_SPACE} link add {_DEVICE} type veth peer name sd-nowhere")
            _do(f"ip -n {_SPACE} addr add {_ADDRESS}/24 dev {_DEVICE}")
            _do(f"ip -n {_SPACE} link set {_DEVICE} arp off")  # nobody is there to answer
            for device in ("lo", "sd-nowhere", _DEVICE):
                _do(f"ip -n {_SPACE} link set {device} up")
            _do(f"ip -n {_SPACE} route add default dev {_DEVICE}")
        except (OSError, subprocess.CalledProcessError) as error:
            self._forget()
            unavailable(f"no network namespaces here: {getattr(error, 'stderr', None) or error}")
        words = self.command(sys.executable, __file__, _DEVICE)
        self._listener = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._listener.stdout is not None
        assert self._listener.stdout.readline() == "READY\n"
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self.heard()
        self._forget()

    def heard(self) -> list[bytes]:
        """Every packet that has left; nobody listens any more."""
        assert self._listener is not None
        self._listener.terminate()
        said = self._listener.communicate()[0]
        self._listener = None
        return [bytes.fromhex(line) for line in said.splitlines()]

    def _forget(self) -> None:
        subprocess.run(["ip", "netns", "delete", _SPACE], capture_output=True)
        if _NAMES.exists():
            (_NAMES / "resolv.conf").unlink(missing_ok=True)
            _NAMES.rmdir()


def _do(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, text=True)


def _leaves(packet: bytes, kind: int) -> bool:
    return kind == _IPV4 or (kind == _IPV6 and packet[6] not in (_HOP_BY_HOP, _ICMPV6))


def _listen(device: str) -> None:
    everything = 3
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(everything)) as ear:
        ear.bind((device, everything))
        print("READY", flush=True)
        while True:
            packet, address = ear.recvfrom(65536)
            if address[2] == socket.PACKET_OUTGOING and _leaves(packet, address[1]):
                print(packet.hex(), flush=True)


if __name__ == "__main__":
    _listen(sys.argv[1])
