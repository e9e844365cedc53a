"""Inferences a second, and CPU milliseconds of one, with one and two threads in one process and in two at once.

usage: python tests/bench/inference_threads.py [MODEL] [RUNTIME]...   (from the repository's root, after `make models`)

On a machine that does something else only the CPU milliseconds mean anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from streamd.config import Config
from streamd.vision.probing import probe
from streamd.vision.runtimes import open_library

SECONDS = 3.0


def child(model: str, library: str, threads: int) -> None:
    engine = open_library(Config().models_path / f"{model}.onnx", library, threads=threads)  # type: ignore[arg-type]
    feed = probe(engine.inputs)
    engine.run(feed)
    runs, began_s, started_s = 0, time.process_time(), time.perf_counter()
    while (elapsed_s := time.perf_counter() - started_s) < SECONDS:
        engine.run(feed)
        runs += 1
    print(json.dumps([runs / elapsed_s, 1000 * (time.process_time() - began_s) / runs]))


def main(model: str, libraries: list[str]) -> None:
    for library in libraries:
        for processes, threads in ((1, 1), (1, 2), (2, 1), (2, 2)):
            command = [sys.executable, __file__, "--child", model, library, str(threads)]
            running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
            rows = [json.loads(each.communicate()[0]) for each in running]
            rate, ms = sum(row[0] for row in rows), sum(row[1] for row in rows) / processes
            print(
                f"{model} {library}: {processes} x {threads} threads: {rate:.1f} a second, {ms:.2f} ms CPU", flush=True
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(sys.argv[1] if len(sys.argv) > 1 else "sface", sys.argv[2:] or ["onnxruntime", "openvino"])
