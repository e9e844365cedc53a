"""One network on one device, in a process of its own: opened, compared, timed. Prints one line of JSON.

``python tests/gpu/inference.py MODELS_DIR sface cuda-graphs [--device N] [--seconds S] [--open-only]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from streamd.errors import ModelError
from streamd.vision import engines, nvidia
from streamd.vision.engines import CPU, GPU_BUCKETS, OnnxruntimeEngine
from streamd.vision.gpu import ShapedEngine, Wish, open_on_gpu
from streamd.vision.probing import probe

VIEWS = ((384, 640), (640, 640), (192, 320))
"""Height and width of views: 640x360 and 640x640 at the usual size, 320x180."""


def main() -> int:
    args = _arguments()
    with redirect_stdout(sys.stderr):
        found = measured(args)
    print(json.dumps(found))
    return 0


def measured(args: argparse.Namespace) -> dict[str, Any]:
    path = args.models / f"{args.model}.onnx"
    started_s = time.perf_counter()
    try:
        engine = _opened(path, args)
    except ModelError as error:
        return {"refused": str(error)}
    parts = engine.of_shapes if isinstance(engine, ShapedEngine) else [engine]
    found: dict[str, Any] = {"provider": engine.provider, "open_s": time.perf_counter() - started_s}
    if args.open_only:
        return found
    reference = engines.open_engine(path, [CPU], 4)
    agree = _threads_agree(engine)  # before the engine does without its buffers
    rows = list(_timed(engine, reference, args))
    found |= {
        "rows": rows,
        "nodes": parts[0].nodes_by_provider(),
        "page_locked": parts[0].page_locked,
        "records": parts[0].records,
    }
    found["worst"] = max((row["off"] for row in rows), default=None)
    found["least_cosine"] = min((row["cosine"] for row in rows if row["cosine"] is not None), default=None)
    if args.mode != "cpu":
        found["memory_mb"] = nvidia.memory_used_mb(args.device)
        found["threads_agree"] = agree
    return found


def _opened(path: Path, args: argparse.Namespace) -> OnnxruntimeEngine | ShapedEngine:
    if args.mode == "cpu":
        return engines.open_engine(path, [CPU], 1)
    library, _, how = args.mode.partition("-")
    wish = Wish(args.device, 1, tensorrt=library == "tensorrt", fp16=how == "fp16", records=how == "graphs")
    return open_on_gpu(path, wish)


def _timed(
    engine: OnnxruntimeEngine | ShapedEngine, reference: OnnxruntimeEngine, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Each size of batch and view, with the engine's own buffers; all in turn, as a worker has them; then without."""
    until_s = time.monotonic() + args.seconds
    free = not all(isinstance(side, int) for side in next(iter(engine.inputs.values()))[1:])
    largest = min(engine.largest_batch, GPU_BUCKETS[-1])
    sizes = [(batch, view) for view in (VIEWS if free else VIEWS[:1]) for batch in GPU_BUCKETS if batch <= largest]
    rows = []
    for batch, view in sizes:
        if time.monotonic() > until_s:
            break
        feed = {
            name: _pictures(value.shape, batch, view if free else None) for name, value in probe(engine.inputs).items()
        }
        row: dict[str, Any] = {"batch": batch, "view": f"{view[1]}x{view[0]}" if free else "face"}
        started_s = time.perf_counter()
        first = engine.run(feed)
        row["first_s"] = time.perf_counter() - started_s
        engine.run(feed)
        row |= _difference(engine.run(feed), reference.run(feed))
        row["stays"] = all(np.allclose(a, b, atol=1e-3) for a, b in zip(first, engine.run(feed), strict=True))
        row["ms"] = _median_ms(lambda feed=feed: engine.run(feed))  # type: ignore[misc]
        rows.append((row, feed, first))
    for row, feed, first in 3 * rows:
        started_s = time.perf_counter()
        got = engine.run(feed)
        row["in_turn_ms"] = 1000 * (time.perf_counter() - started_s)
        row["stays"] &= all(np.allclose(a, b, atol=1e-3) for a, b in zip(first, got, strict=True))
    for part in engine.of_shapes if isinstance(engine, ShapedEngine) else [engine]:
        part.unbind()
    for row, feed, _ in rows:
        if time.monotonic() < until_s and args.mode != "cpu":
            engine.run(feed)
            row["plain_ms"] = _median_ms(lambda feed=feed: engine.run(feed))  # type: ignore[misc]
        yield row


def _pictures(shape: tuple[int, ...], batch: int, view: tuple[int, int] | None) -> engines.Array:
    height, width = view or shape[2:4]
    random = np.random.default_rng(batch)
    coarse = random.uniform(0, 255, (batch, shape[1], -(-height // 16), -(-width // 16)))
    whole = coarse.repeat(16, axis=2).repeat(16, axis=3)[:, :, :height, :width]
    return np.asarray(0.7 * whole + 0.3 * random.uniform(0, 255, whole.shape), np.float32)


def _difference(got: Any, wanted: Any) -> dict[str, float | None]:
    """Of the largest value of each output, and the least cosine of rows."""
    off = max(float(np.abs(a - b).max() / max(1e-9, np.abs(b).max())) for a, b in zip(got, wanted, strict=True))
    cosine = None
    if len(wanted) == 1 and wanted[0].ndim == 2:
        a, b = got[0], wanted[0]
        cosine = float(((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))).min())
    return {"off": off, "cosine": cosine}


def _median_ms(once: Callable[[], object], *, for_s: float = 0.25) -> float:
    taken_s, until_s = [], time.perf_counter() + for_s
    while not taken_s or (time.perf_counter() < until_s and len(taken_s) < 500):
        started_s = time.perf_counter()
        once()
        taken_s.append(time.perf_counter() - started_s)
    return 1000 * statistics.median(taken_s)


def _threads_agree(engine: OnnxruntimeEngine | ShapedEngine) -> bool:
    """Whether four threads that share the engine, with its buffers, each get their own answers."""
    free = not all(isinstance(side, int) for side in next(iter(engine.inputs.values()))[1:])
    (name, picture), *_ = probe(engine.inputs).items()
    feeds = [{name: _pictures(picture.shape, 1 + i, VIEWS[2] if free else None)} for i in range(4)]
    feeds = [{name: feed[name][:1]} for feed in feeds]
    wanted = [engine.run(feed) for feed in feeds]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(100):
            got = engine.run(feeds[number])
            if not all(np.allclose(a, b, atol=1e-2, rtol=1e-2) for a, b in zip(got, wanted[number], strict=True)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return not wrong


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("model")
    parser.add_argument("mode", choices=("cpu", "cuda", "cuda-graphs", "cuda-fp16", "tensorrt", "tensorrt-fp16"))
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=30.0, help="for timing")
    parser.add_argument("--open-only", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
