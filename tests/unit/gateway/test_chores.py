"""Work in a process of its own, which is played by a few lines."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gatewayparts import Box

from streamd.config import Config
from streamd.errors import UnavailableError
from streamd.gateway import chores
from streamd.gateway.chores import Chores

PROCESS = """
import json, sys, time
from pathlib import Path
sys.stdin.readline()
for line in sys.stdin:
    task = json.loads(line)
    with Path(task["told"]).open("a") as told:
        told.write(task["do"] + chr(10))
    while not Path(task["until"]).exists():
        time.sleep(0.01)
    print(json.dumps({"error": task["error"]} if "error" in task else {"done": task["do"]}), flush=True)
"""


def played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[Chores, dict[str, str]], Awaitable[None]]
) -> list[str]:
    """What the process was told to do, in ``check``, whose second argument all tasks have; it makes ``until``."""
    (tmp_path / "playedchore.py").write_text(PROCESS)
    monkeypatch.setattr(chores, "MODULE", "playedchore")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    more = {"told": str(tmp_path / "told"), "until": str(tmp_path / "until")}

    async def run() -> None:
        working = Chores(Box(tmp_path).config)
        try:
            await check(working, more)
        finally:
            await working.close()

    asyncio.run(asyncio.wait_for(run(), 30))
    return (tmp_path / "told").read_text().split()


async def begun(told: str) -> None:
    while not Path(told).exists():
        await asyncio.sleep(0.01)


def test_what_several_ask_for_meanwhile_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(working: Chores, more: dict[str, str]) -> None:
        asking = [asyncio.create_task(working.do_once({"do": "calibrate", **more}, timeout_s=20)) for _ in range(5)]
        await begun(more["told"])
        for gone in asking[:4]:
            gone.cancel()
        urgent = asyncio.create_task(working.do({"do": "try", **more}, timeout_s=20))
        await asyncio.sleep(0)
        Path(more["until"]).touch()
        assert await asking[4] == {"done": "calibrate"}
        assert await urgent == {"done": "try"}
        assert await working.do_once({"do": "calibrate", **more}, timeout_s=20) == {"done": "calibrate"}

    assert played(tmp_path, monkeypatch, check) == ["calibrate", "try", "calibrate"]


def test_an_error_comes_to_all_who_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(working: Chores, more: dict[str, str]) -> None:
        Path(more["until"]).touch()
        task = {"do": "calibrate", "error": "the gallery is empty", **more}
        found = await asyncio.gather(*(working.do_once(task, timeout_s=20) for _ in range(3)), return_exceptions=True)
        assert [(type(error), str(error)) for error in found] == [(UnavailableError, "the gallery is empty")] * 3

    assert played(tmp_path, monkeypatch, check) == ["calibrate"]


def test_what_is_asked_while_the_process_leaves_is_done_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "KEPT_S", 0.0)

    async def check(working: Chores, more: dict[str, str]) -> None:
        Path(more["until"]).touch()
        assert await working.do({"do": "enroll", **more}, timeout_s=20) == {"done": "enroll"}
        leaving = working._process
        assert leaving is not None
        assert leaving.stdin is not None
        os.kill(leaving.pid, signal.SIGSTOP)  # it takes its time
        while not leaving.stdin.is_closing():
            await asyncio.sleep(0)
        asked = asyncio.create_task(working.do({"do": "try", **more}, timeout_s=20))
        while working._process is leaving and not asked.done():
            await asyncio.sleep(0.01)
        assert await asked == {"done": "try"}

    assert played(tmp_path, monkeypatch, check) == ["enroll", "try"]


def test_a_process_whose_gateway_was_killed_ends_without_a_word(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    asked = Config(state_dir=tmp_path).model_dump_json() + '\n{"do": "enroll"}\n'
    command = [sys.executable, "-m", "streamd.gateway.chore"]
    done = subprocess.run(command, input=asked, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
