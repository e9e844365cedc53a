"""How soon somebody who comes into a still view is named, by what is decoded until then; and what that costs.

usage: python tests/bench/arrivals.py [--noise 3] [--rate constant] [key=value ...]     (after `make models`)

Six cameras of 1280x720 at 15 frames a second, key frames 2 s apart, encoded as those of ``streamd bench pipeline``; on
each somebody known comes four times in 44 s, never at a key frame on purpose, and stays for three. Each group of
settings (``key=value,key=value``) is one run of the daemon: prints the delay from the first frame with the face to
``face.identified``, and the CPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from streamd.bench.lifelike import Plan, live
from streamd.bench.streams import TEXTURE, Scene
from streamd.config import Config, default_state_dir
from streamd.demo.clips import COLLINS, OBAMA_SPEAKING, Visit, encode_visits
from streamd.demo.setup import prepare_gallery

CAMERAS, VISITS, EVERY_S, STAY_S = 6, 4, 11.0, 3.0
SECONDS = VISITS * EVERY_S
NAMES = ("Barack Obama", "Eileen Collins")
FACES = (OBAMA_SPEAKING, COLLINS)
CLOCKS_S = 0.25
"""By which a clip's time and the daemon's may be apart: a camera tells of its first frame a moment late."""


def visits(camera: int, fps: int) -> list[tuple[str, Visit]]:
    """Who comes when; starts lie on frames."""
    random = np.random.default_rng(camera)
    found = []
    for number in range(VISITS):
        who = (camera + number) % len(FACES)
        start_s = round((number * EVERY_S + 5.0 + random.uniform(0, 2.0)) * fps) / fps
        x = random.uniform(0.3, 0.7)
        way = ((x - 0.1, 0.45), (x + 0.1, 0.45))
        found.append((NAMES[who], Visit(*FACES[who], start_s, STAY_S, (160.0, 175.0), way)))
    return found


def rendered(folder: Path, faces: dict[str, Path], scene: Scene) -> list[Path]:
    clips = []
    for camera in range(CAMERAS):
        clip = folder / f"arrivals-{scene.fingerprint()}-{camera}.mp4"
        clips.append(clip)
        if not clip.exists():
            encode_visits(
                f"bench{camera}",
                [visit for _, visit in visits(camera, scene.fps)],
                faces,
                clip,
                seconds=SECONDS,
                encoding=scene.encoding(),
                texture=TEXTURE,
                noise=scene.noise,
            )
    return clips


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=float, default=3.0)
    parser.add_argument("--rate", choices=("constant", "variable"), default="constant")
    parser.add_argument("settings", nargs="*", default=["capture.glance_s=0.7"], help="key=value, or key=value,key=...")
    args = parser.parse_args()
    scene = Scene(noise=args.noise, rate=args.rate)
    folder = default_state_dir() / "demo"
    faces = prepare_gallery(folder)
    clips = rendered(folder / "streams", dict(faces), scene)
    print(f"{'settings':32}{'named':>8}{'p50 s':>8}{'p95 s':>8}{'max s':>8}{'CPU-s per camera-s':>22}")
    for group in args.settings:
        settings = dict(entry.split("=", 1) for entry in group.split(","))
        plan = Plan(clips, [SECONDS] * CAMERAS, settings)
        lived = live(plan, folder / "gallery", models=Config().models_path)
        delays = []
        for camera, borne in enumerate(lived.borne):
            for name, visit in visits(camera, scene.fps):
                after_s = [b.from_s - visit.start_s for b in borne if b.name == name]
                delays += [delay_s for delay_s in after_s if -CLOCKS_S <= delay_s < STAY_S][:1]
        p50, p95, most = (float(np.percentile(delays, q)) for q in (50, 95, 100))
        cost = lived.cpu_s / lived.seconds / CAMERAS
        named = f"{len(delays)}/{CAMERAS * VISITS}"
        print(f"{group:32}{named:>8}{p50:>8.2f}{p95:>8.2f}{most:>8.2f}{cost:>22.4f}", flush=True)


if __name__ == "__main__":
    main()
