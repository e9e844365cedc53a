"""Where the time of a worker and of a capture goes: flame graphs, and the share inside networks and decoder.

usage: python tests/bench/profile.py OUT_DIR [arguments of bench pipeline]     (as root, after `pip install py-spy`)

Runs `streamd bench pipeline`, samples the stacks of its worker and of its first capture for twenty seconds with
py-spy, drops those that wait (py-spy takes some waiting for work), and writes OUT_DIR/profile-worker.png and
profile-capture.png.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

WAITS = (
    "Poller.poll",
    "Condition.wait",
    "_watch_lifeline",
    "_worker (concurrent",
    "GarbageCollectorThread.run",
    "Clock.wait",
    "AvSource._wait_for_file",
    "select",
)
INSIDE = {
    "worker": ("Session.run (onnxruntime", "InferRequest.infer"),
    "capture": ("AvSource._decode ",),
}
DEEPEST = 26


@dataclass
class Node:
    samples: int = 0
    below: dict[str, Node] = field(default_factory=lambda: defaultdict(Node))


def children(pid: int) -> dict[str, list[int]]:
    """Process ids by role."""
    found: dict[str, list[int]] = defaultdict(list)
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        child, _, words = line.strip().partition(" ")
        for role in INSIDE:
            if f"streamd {role} " in words:
                found[role].append(int(child))
    return found


def daemon_of(bench: subprocess.Popen[bytes]) -> dict[str, list[int]]:
    deadline_s = time.monotonic() + 600
    while time.monotonic() < deadline_s and bench.poll() is None:
        listed = subprocess.run(["pgrep", "-P", str(bench.pid)], capture_output=True, text=True, check=False)
        for child in listed.stdout.split():
            roles = children(int(child))
            if len(roles) == len(INSIDE):
                return roles
        time.sleep(0.5)
    raise SystemExit("the daemon did not start")


def stacks(path: Path) -> list[tuple[list[str], int]]:
    found = []
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [f for f in stack.split(";") if not f.startswith(("thread (", "process "))]
        if frames and not any(frames[-1].startswith(wait) for wait in WAITS) and not _sleeps(frames[-1]):
            found.append((frames, int(count)))
    return found


def _sleeps(frame: str) -> bool:
    """The lines that wait until a file's frame, or its next packet, is due."""
    return frame.startswith(("AvSource.read ", "AvSource._decode_one "))


def draw(role: str, found: list[tuple[list[str], int]], target: Path) -> float:
    root = Node()
    inside = 0
    for frames, count in found:
        node = root
        node.samples += count
        for frame in [f.rpartition(":")[0] for f in frames[:DEEPEST]]:
            node = node.below[frame]
            node.samples += count
        inside += count * any(frame.startswith(INSIDE[role]) for frame in frames)
    share = inside / max(1, root.samples)
    figure, axes = pyplot.subplots(figsize=(16, 9), dpi=90, layout="constrained")
    _bars(axes, root, 0.0, 0)
    axes.set_title(f"{role}: {share:.0%} of the time inside {'networks' if role == 'worker' else 'the decoder'}")
    axes.set_axis_off()
    axes.set_xlim(0, root.samples)
    figure.savefig(target)
    pyplot.close(figure)
    return share


def _bars(axes: object, node: Node, left: float, depth: int) -> None:
    for name, below in sorted(node.below.items(), key=lambda item: -item[1].samples):
        colour = pyplot.get_cmap("YlOrRd")(0.15 + (hash(name) % 60) / 100)
        axes.barh(depth, below.samples, left=left, height=0.95, color=colour, edgecolor="white", linewidth=0.3)  # type: ignore[attr-defined]
        if below.samples > 0.02 * axes.get_xlim()[1] or depth < 2:  # type: ignore[attr-defined]
            axes.text(left, depth, f" {name.partition(' (')[0]}", fontsize=7, va="center", clip_on=True)  # type: ignore[attr-defined]
        _bars(axes, below, left, depth + 1)
        left += below.samples


def main(out: Path, arguments: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "streamd",
        "bench",
        "pipeline",
        *(arguments or ["--cameras", "4"]),
        "--seconds",
        "45",
    ]
    bench = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    roles = daemon_of(bench)
    time.sleep(15)
    with tempfile.TemporaryDirectory() as folder:
        records = {role: Path(folder, role) for role in INSIDE}
        running = [
            subprocess.Popen(
                ["py-spy", "record", "-r", "400", "-d", "20", "-f", "raw", "-o", path, "-p", str(roles[role][0])]
            )
            for role, path in records.items()
        ]
        for process in running:
            process.wait()
        for role, path in records.items():
            print(f"{role}: {draw(role, stacks(path), out / f'profile-{role}.png'):.3f}")
    bench.wait()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
