"""A child as the supervisor holds it: its process, its state machine, and what it last said."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from streamd.child import Launch
from streamd.config import Config
from streamd.control import ChildStatus
from streamd.lifecycle import Lifecycle, Policy
from streamd.specs import Spec

logger = logging.getLogger(__name__)

ENGINES_TIMEOUT_S = 1800.0
"""A worker may take this long to start with TensorRT, which builds its engines then, or in half precision, for which
cuDNN compiles (7 s each shape on an H100)."""
GPU_TIMEOUT_S = 300.0
"""The same on a GPU otherwise: a session for each usual shape is opened and compared with the CPU."""
THREAD_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Libraries that would each start a thread per core, in every child: the processes share the cores already, and what is
to have more threads is told so where it is opened (``workers.threads``, ``capture.decoder_threads``)."""


@dataclass(slots=True)
class Child:
    """A child process and its state machine."""

    spec: Spec
    lifecycle: Lifecycle
    process: subprocess.Popen[bytes] | None = None
    was_ready: bool = False
    trouble: str | None = None
    snapshot: bytes = b""
    told: Spec | None = None
    """The newest that the process was told to be: at its start, or by RELOAD."""
    retired: bool = False
    """Not in the configuration any more: removed once it has ended."""

    @property
    def identity(self) -> bytes:
        """On the control socket."""
        return self.spec.name.encode()

    def start(self, endpoint: str, now_s: float) -> None:
        """Start the process and hand it its launch line; its standard input stays open as its lifeline.

        Raises:
            OSError: there can be no further process.
        """
        command = [sys.executable, "-m", "streamd", self.spec.role, "--supervised"]
        # Ctrl-C reaches the whole process group: a child ignores it once it can (``run_supervised``), and until then,
        # while it loads its libraries, it is held back.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.lifecycle.on_started(now_s)
        self.told = self.spec
        line = Launch(self.spec.name, self.spec.index, endpoint, self.spec.config).to_line()
        try:
            if self.process.stdin is not None:
                _make_room(self.process.stdin, len(line))
                self.process.stdin.write(line)
                self.process.stdin.flush()
        except BrokenPipeError:
            logger.warning("%s ended before it was told what to do", self.spec.name)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def exit_code(self) -> int | None:
        """Of a process that ended since the last call, negative for a signal; None while it runs or there is none."""
        code = self.process.poll() if self.process is not None else None
        if code is not None and self.process is not None:
            if self.process.stdin is not None:
                with suppress(BrokenPipeError):  # what it ended without having read
                    self.process.stdin.close()
            self.process = None
        return code

    def status(self, now_s: float) -> ChildStatus:
        life = self.lifecycle
        pid = self.process.pid if self.process is not None else None
        for_s = now_s - life.since_s
        return ChildStatus(self.spec.name, life.state.value, pid, life.restarts, for_s, self.trouble)


def _make_room(pipe: IO[bytes], size: int) -> None:
    """A child may hang before it reads: nobody is to wait for that. The line of many cameras is longer than what a pipe
    holds by itself."""
    with suppress(OSError):  # the most that a user's pipes may hold together is reached
        if size > fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)


def environment() -> dict[str, str]:
    """Of a child: this process's own, with thread pools of one unless they were set by whoever started it."""
    return dict.fromkeys(THREAD_POOLS, "1") | os.environ


def policy(config: Config, role: str) -> Policy:
    supervision = config.supervision
    start_timeout_s = supervision.start_timeout_s
    if role == "worker":
        slow = config.workers.tensorrt or config.workers.fp16
        gpu = any(device.startswith("cuda") for device in config.workers.devices)
        start_timeout_s = max(start_timeout_s, ENGINES_TIMEOUT_S if slow else GPU_TIMEOUT_S if gpu else 0.0)
    return Policy(
        stall_after_s=supervision.stall_after_s,
        start_timeout_s=start_timeout_s,
        backoff_min_s=supervision.backoff_min_s,
        backoff_max_s=supervision.backoff_max_s,
        reset_after_s=supervision.reset_after_s,
        drain_s=supervision.drain_s,
    )


def cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    names = {number.value: number.name for number in signal.Signals}  # real-time signals have none
    return f"killed by {names.get(-code, f'signal {-code}')}"
