"""A long wire between two network namespaces: delay, jitter, loss and a cut, where the kernel has no netem.

Each end is a TUN device; this process carries the packets. Needs root.

usage: longwire.py SPACE_A ADDRESS_A SPACE_B ADDRESS_B

Commands on standard input, each answered by "did ...":

    shape DELAY_MS JITTER_MS LOSS_PERCENT   one way; packets keep their order, as on a real line
    cut | join                              nothing passes; everything passes again
    count                                   bytes carried so far, A to B and B to A: "did count N M"
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field

_TUNSETIFF, _TUN_WITHOUT_HEADER, _CLONE_NEWNET = 0x400454CA, 0x1001, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
MOST_WAITING = 2000
"""Packets in one direction, as in a router's queue; further ones are lost."""


def tun(space: str, name: str, address: str) -> int:
    """A device in a namespace, held by this process."""
    home, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/var/run/netns/{space}", os.O_RDONLY)
    _enter(there)
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
        subprocess.run(["ip", "addr", "add", f"{address}/30", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up", "mtu", "1500"], check=True)
    finally:
        _enter(home)
        os.close(home)
        os.close(there)
    return device


def _enter(space: int) -> None:
    if _libc.setns(space, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass
class Wire:
    ends: tuple[int, int]
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    joined: bool = True
    carried: list[int] = field(default_factory=lambda: [0, 0])
    _queue: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    _waiting: list[int] = field(default_factory=lambda: [0, 0])
    _latest_s: list[float] = field(default_factory=lambda: [0.0, 0.0])
    _count: int = 0

    def wait_s(self) -> float | None:
        return max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None

    def take(self, end: int) -> None:
        """Everything that was written into one end."""
        while True:
            try:
                packet = os.read(self.ends[end], 2048)
            except BlockingIOError:
                return
            if not self.joined or random.random() < self.loss or self._waiting[end] >= MOST_WAITING:
                continue
            due_s = time.monotonic() + max(0.0, self.delay_s + random.uniform(-self.jitter_s, self.jitter_s))
            self._latest_s[end] = due_s = max(due_s, self._latest_s[end])
            self._count += 1
            self._waiting[end] += 1
            heapq.heappush(self._queue, (due_s, self._count, end, packet))

    def deliver(self) -> None:
        """What is due comes out of the other end."""
        now_s = time.monotonic()
        while self._queue and self._queue[0][0] <= now_s:
            _, _, end, packet = heapq.heappop(self._queue)
            self._waiting[end] -= 1
            try:
                os.write(self.ends[1 - end], packet)
            except (BlockingIOError, OSError):
                continue
            self.carried[end] += len(packet)

    def obey(self, words: list[str]) -> str:
        if words[0] == "shape":
            self.delay_s, self.jitter_s = float(words[1]) / 1000, float(words[2]) / 1000
            self.loss = float(words[3]) / 100
        elif words[0] in ("cut", "join"):
            self.joined = words[0] == "join"
        elif words[0] == "count":
            return f"did count {self.carried[0]} {self.carried[1]}"
        return f"did {words[0]}"


def main() -> None:
    (space_a, address_a, space_b, address_b), random_seed = sys.argv[1:5], 7
    random.seed(random_seed)
    wire = Wire((tun(space_a, f"wire-{space_b[-8:]}", address_a), tun(space_b, f"wire-{space_a[-8:]}", address_b)))
    print("READY", flush=True)
    commands = os.fdopen(0, "rb", buffering=0)
    while True:
        readable, _, _ = select.select([*wire.ends, commands], [], [], wire.wait_s())
        if commands in readable:
            line = commands.readline().decode().split()
            if not line:
                return
            print(wire.obey(line), flush=True)
        for end in (0, 1):
            if wire.ends[end] in readable:
                wire.take(end)
        wire.deliver()


if __name__ == "__main__":
    main()
