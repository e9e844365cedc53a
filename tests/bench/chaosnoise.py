"""Nonsense for every socket of a daemon, as from a program that speaks something else, or almost the same."""

from __future__ import annotations

import json
import random
import socket
from contextlib import suppress

import zmq
from e2e.daemon import Daemon

from streamd.config import Config

KINDS = ("FRAME", "READY", "HEARTBEAT", "RELOAD", "DRAIN", "STATUS", "REPLAY", "EVENT", "SEND", "VIEW", "", "x")


def nonsense_at_every_socket(daemon: Daemon, chance: random.Random) -> None:
    ipc = [f"ipc://{path}" for path in Config(state_dir=daemon.state).sockets_dir.glob("*.sock")]
    for endpoint in (*ipc, daemon.publish, daemon.replay):
        _say(endpoint, chance)
    for target in (daemon.http, daemon.publish, daemon.replay):
        port = int(target.rpartition(":")[2])
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as raw:
            raw.sendall(chance.randbytes(chance.randint(1, 5000)))


def _say(endpoint: str, chance: random.Random) -> None:
    with zmq.Context() as context, context.socket(chance.choice((zmq.DEALER, zmq.PUSH))) as loud:
        loud.linger = 200
        loud.connect(endpoint)
        for _ in range(20):
            header = json.dumps({"v": 1, "kind": chance.choice(KINDS), "n": chance.choice((-1, "x", None, 1e300))})
            parts = chance.choices((b"", header.encode(), chance.randbytes(40), b"{" * 3000), k=chance.randint(1, 5))
            with suppress(zmq.Again):
                loud.send_multipart(parts, zmq.NOBLOCK)
