"""Heavy or dangerous work for the gateway, in a process of its own: photographs, statistics, cameras on trial.

It is started when there is something to do, keeps its models while more comes, ends after a while without, and is
killed where it does not answer. Line by line: a task as JSON goes in, an answer comes out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from streamd.config import Config
from streamd.errors import UnavailableError

logger = logging.getLogger(__name__)

KEPT_S = 120.0
"""How long the process is kept without anything to do."""
LONGEST_LINE_BYTES = 8 * 1024 * 1024
"""Of an answer; a picture on trial has some hundred kilobytes."""
MODULE = "streamd.gateway.chore"


class Chores:
    """Belongs to the loop; one thing is done at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._started_with: Config | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._shared: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def do(self, task: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Have a task done.

        Raises:
            UnavailableError: it failed, in words; or no answer came in time, and the process was killed.
        """
        async with self._lock:
            if self._leaving is not None:
                self._leaving.cancel()
            try:
                answer = await asyncio.wait_for(self._asked(task), timeout_s)
            except TimeoutError as error:
                await self._kill()
                raise UnavailableError(f"no answer within {timeout_s:.0f} s: given up") from error
            except asyncio.CancelledError:
                await self._kill()
                raise
            self._leaving = asyncio.get_running_loop().call_later(KEPT_S, self._let_go)
        if error_words := answer.get("error"):
            raise UnavailableError(str(error_words))
        return answer

    async def do_once(self, task: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
        """Like ``do``, once for all who ask meanwhile, for a task that changes nothing; it is done though they go."""
        kind = str(task["do"])
        running = self._shared.get(kind)
        if running is None or running.done():
            running = self._shared[kind] = asyncio.create_task(self.do(task, timeout_s=timeout_s))
            running.add_done_callback(_heard)
        return await asyncio.shield(running)

    async def close(self) -> None:
        for running in self._shared.values():
            running.cancel()
        if self._leaving is not None:
            self._leaving.cancel()
        await self._kill()

    async def _asked(self, task: dict[str, Any]) -> dict[str, Any]:
        process = await self._running()
        if process.stdin is None or process.stdout is None:
            raise UnavailableError("the process for photographs has no pipes")
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except (ConnectionError, ValueError) as error:
            await self._kill()
            raise UnavailableError(f"the process for photographs failed: {error}") from error
        if not line:
            code = await process.wait()
            self._process = None
            raise UnavailableError(f"the process for photographs ended (exit code {code}); the log says more")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def _running(self) -> asyncio.subprocess.Process:
        process = self._process
        if process is not None and process.returncode is None and self._started_with == self.config:
            return process
        await self._kill()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE_BYTES,
        )
        self._process, self._started_with = process, self.config
        if process.stdin is not None:
            process.stdin.write(self.config.model_dump_json().encode() + b"\n")
        return process

    def _let_go(self) -> None:
        """The end of its input ends the process; what is asked from now on is another's."""
        self._started_with = None
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.kill()
        await process.wait()


def _heard(task: asyncio.Task[dict[str, Any]]) -> None:
    """Its error is nobody's any more where all who asked have gone."""
    if not task.cancelled():
        task.exception()
