"""Truth for ``streamd replay --truth`` of only what can be asked for: faces large enough, and turned little enough.

usage: python tests/bench/visible_truth.py VIDEO TRUTH_DIR OUT.csv [LEAST_PX] [MOST_DEGREES]

``TRUTH_DIR`` has ``gt.txt`` (MOTChallenge: boxes of faces) and ``meta.json`` (``fps``, ``ids``: names by id,
``enrolled``). The yaw is that of YuNet's landmarks in the box; frames in which it finds none are left out.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import av

from streamd.config import Config
from streamd.domain import Box
from streamd.vision.loading import load_detector
from streamd.vision.pose import pose_of

GAP_FRAMES = 3
SAME_IOU = 0.3


def main(video: Path, truth: Path, out: Path, least_px: float, most_degrees: float) -> None:
    meta = json.loads((truth / "meta.json").read_text())
    boxes: defaultdict[int, list[tuple[str, Box]]] = defaultdict(list)
    for line in (truth / "gt.txt").read_text().splitlines():
        frame, face, x, y, width, height, counts = (float(value) for value in line.split(",")[:7])
        name = meta["ids"].get(str(int(face)))
        if counts and name in meta["enrolled"] and min(width, height) >= least_px:
            boxes[int(frame) - 1].append((name, Box(x, y, x + width, y + height)))
    seen: defaultdict[str, list[int]] = defaultdict(list)
    detector = load_detector("yunet", models=Config().models_path, device="cpu", threads=2, allow_cpu=True)
    with av.open(str(video)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if not boxes.get(number):
                continue
            found = detector.detect([frame.to_ndarray(format="bgr24")], min_score=0.3)[0]
            for name, box in boxes[number]:
                best = max(found, key=lambda d, box=box: d.box.iou(box), default=None)  # type: ignore[misc]
                if best is None or best.landmarks is None or best.box.iou(box) < SAME_IOU:
                    continue
                if abs(pose_of(best.landmarks).yaw) < most_degrees:
                    seen[name].append(number)
    with out.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["label", "enrolled", "start_s", "end_s"])
        for name, frames in seen.items():
            first = last = frames[0]
            for number in (*frames[1:], None):
                if number is not None and number - last <= GAP_FRAMES:
                    last = number
                    continue
                rows.writerow([name, 1, round(first / meta["fps"], 3), round((last + 1) / meta["fps"], 3)])
                first = last = number or 0


if __name__ == "__main__":
    limits = [float(text) for text in sys.argv[4:6]]
    main(*map(Path, sys.argv[1:4]), *(limits + [40.0, 45.0][len(limits) :]))
