"""Whether what the sinks need is there: extras, programs, folders, and servers that listen."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from streamd.commands.finding import Finding, Level
from streamd.config import Config
from streamd.errors import UnavailableError
from streamd.sinkconfig import CommandSink, FileSink, SinkConfig

_TIMEOUT_S = 3.0
_PORTS = {"mqtt": 1883, "mqtts": 8883, "nats": 4222, "tls": 4222, "http": 80, "https": 443}


def sinks(config: Config, *, network: bool = True) -> Iterator[Finding]:
    """A finding for each sink; without ``network`` nothing is connected to."""
    for name, sink in config.sinks.items():
        problem = _missing(sink) or (_unreachable(sink) if network else None)
        topic = f"sink {name}"
        if problem is None:
            yield Finding(Level.OK, topic, sink.kind)
        else:
            yield Finding(Level.FAIL, topic, *problem)


def _missing(sink: SinkConfig) -> tuple[str, str] | None:
    """What is wrong on this host, and what to do."""
    from streamd.courier import destination_of

    try:
        destination_of(sink)
    except UnavailableError as error:
        return str(error), "install the extra, and start the daemon again"
    if isinstance(sink, CommandSink) and shutil.which(sink.command[0]) is None:
        return f"{sink.command[0]}: no such program", "give its whole path in sinks.*.command"
    if isinstance(sink, FileSink):
        folder = sink.path.parent
        while not folder.exists():
            folder = folder.parent
        if not os.access(folder, os.W_OK):
            return f"{folder} may not be written by this user", "change its owner, or sinks.*.path"
    return None


def _unreachable(sink: SinkConfig) -> tuple[str, str] | None:
    if isinstance(sink, FileSink | CommandSink):
        return None
    parts = urlsplit(sink.url)
    try:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]
        socket.create_connection((host, port), _TIMEOUT_S).close()
    except (OSError, ValueError) as error:
        return f"{parts.scheme}://{parts.hostname}: {error}", "start the server, or mend sinks.*.url"
    return None
