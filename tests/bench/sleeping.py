"""What it costs that packets come one by one: the same packets decoded without a pause, and as a camera sends them.

usage: python tests/bench/sleeping.py CLIP [--rounds 4] [--cameras 4]

Each round decodes eight seconds of a clip without a pause, in real time with sleep between the packets, in real time
while the core is kept busy in between, and in real time in as many processes as there are cameras. Prints CPU
milliseconds for a packet that is no key frame.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Literal

import av
import numpy as np

SECONDS = 8.0
Wait = Literal["none", "sleep", "spin"]


def cost_ms(clip: Path, wait: Wait) -> float:
    """CPU milliseconds a packet."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        tick_s = 1 / float(stream.average_rate or 15)
        packets = [packet for packet in container.demux(stream) if packet.size][: round(SECONDS / tick_s)]
        used_s, count, began_s = 0.0, 0, time.monotonic()
        for number, packet in enumerate(packets, start=1):
            before_s = time.thread_time()
            packet.decode()
            if not packet.is_keyframe:
                used_s, count = used_s + time.thread_time() - before_s, count + 1
            until_s = began_s + number * tick_s
            if wait == "sleep":
                time.sleep(max(0.0, until_s - time.monotonic()))
            while wait == "spin" and time.monotonic() < until_s:
                pass
    return used_s / count * 1e3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--cameras", type=int, default=4)
    args = parser.parse_args()
    print(f"{'no pause':>10}{'sleep':>10}{'spin':>10}{'sleep, ' + str(args.cameras) + ' processes':>22}")
    rows = []
    with ProcessPoolExecutor(args.cameras) as pool:
        for _ in range(args.rounds):
            alone = [cost_ms(args.clip, wait) for wait in ("none", "sleep", "spin")]
            together = pool.map(partial(cost_ms, wait="sleep"), repeat(args.clip, args.cameras))
            rows.append([*alone, float(np.mean(list(together)))])
            print("".join(f"{value:>{width}.2f}" for value, width in zip(rows[-1], (10, 10, 10, 22), strict=True)))
    ratios = np.median([np.array(row) / row[0] for row in rows], axis=0)
    print("".join(f"{value:>{width}.2f}" for value, width in zip(ratios, (10, 10, 10, 22), strict=True)) + "  (ratio)")


if __name__ == "__main__":
    main()
