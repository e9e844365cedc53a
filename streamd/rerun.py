"""Runs the daemon's own pipeline over files: as fast as it can, and twice with the same result.

The clock is the file's. A frame is looked at when the daemon's scheduler would ask for it; what a look costs does not
count, so a slow machine sees no less than a fast one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from streamd.config import CameraConfig, Config
from streamd.domain import FrameId, Track
from streamd.elapsed import Elapsed
from streamd.errors import SourceEnded
from streamd.events import Event
from streamd.interfaces import DecodedFrame
from streamd.metrics import Metrics
from streamd.motion import CutDetector, MotionMeter
from streamd.pipeline import Models, Pipeline
from streamd.reading import converted, luma_sample
from streamd.scheduling import Intervals, Scheduler
from streamd.sources.opening import open_source

_READ_TIMEOUT_S = 60.0
_BUDGET = 1000
"""Faces that one look may embed: all that a frame can show."""
_EPOCH = "file"
"""Of frames and tracks: the same file gives the same."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when in the file it came."""

    at_s: float
    event: Event


@dataclass(frozen=True, slots=True)
class Played:
    """What was read of a file so far."""

    frames: int = 0
    looks: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A face as it stands at some moment, for drawing."""

    track: Track
    text: str


class Rerun:
    """One file, as one camera."""

    def __init__(self, video: Path, config: Config, models: Models) -> None:
        self.played = Played()
        self._video = video
        self._camera = camera_name(video)
        self._config = CameraConfig(
            url=str(video),
            detection=config.detection,
            tracking=config.tracking,
            recognition=config.recognition,
            capture=config.capture.model_copy(update={"pace": "fast", "loop": False}),
        )
        self._now_s = 0.0
        self._pipeline = Pipeline(
            models,
            Metrics(),
            embeddings_per_step=_BUDGET,
            epoch=_EPOCH,
            wall_s=lambda: self._now_s,
            monotonic_s=lambda: self._now_s,
        )
        self._pipeline.set_cameras({self._camera: self._config})

    def events(self, *, shown: Callable[[DecodedFrame, float], None] | None = None) -> Iterator[Told]:
        """Play the file to its end.

        Args:
            shown: gets every frame with its time, after it was looked at.

        Raises:
            SourceError: the file cannot be read.
        """
        camera = self._camera
        scheduler = Scheduler({camera: Intervals.of(self._config.detection)}, max_batch=1)
        meter, cuts = MotionMeter(), CutDetector()
        for frame, at_s in self._frames():
            self._now_s = at_s
            sample = luma_sample(frame)
            motion = meter.look(sample, at_s)
            cuts.look(sample)
            scheduler.ready(camera, motion, at_s)
            if scheduler.grants(at_s):
                scheduler.arrived(camera, at_s)
                meter.refer_to(sample)
                frame_id = FrameId(camera, _EPOCH, self.played.frames)
                side_px = self._config.detection.image_side_px
                taken = converted(frame, frame_id, side_px, motion=motion, cut=cuts.seen)
                cuts.seen = False
                taken = replace(taken, captured_at_s=at_s, captured_wall_s=at_s)
                yield from self._told(self._pipeline.process([taken]))
                scheduler.looked(camera, self._pipeline.attention(camera), at_s)
                self.played = replace(self.played, looks=self.played.looks + 1)
            else:
                yield from self._told(self._pipeline.idle(camera, at_s))
            if shown is not None:
                shown(frame, at_s)
        yield from self._told(self._pipeline.end_tracks(camera))

    def faces(self) -> list[Seen]:
        """Who is followed now."""
        return [
            Seen(a.track, a.told.identity.name if a.told.identity else a.state)
            for a in self._pipeline.appearances(self._camera)
        ]

    def _frames(self) -> Iterator[tuple[DecodedFrame, float]]:
        source = open_source(str(self._video), self._config.capture)
        try:
            elapsed = Elapsed(source.open().fps)
            while True:
                try:
                    frame = source.read(_READ_TIMEOUT_S)
                except SourceEnded:
                    return
                at_s = elapsed.at_s(frame.media_s)
                self.played = replace(self.played, frames=self.played.frames + 1, seconds=at_s)
                yield frame, at_s
        finally:
            source.close()

    def _told(self, events: list[Event]) -> Iterator[Told]:
        for event in events:
            yield Told(self._now_s, event)


def camera_name(video: Path) -> str:
    """What a file is called as a camera: letters, digits and dashes."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in video.stem).strip("-")
    return name[:32] or "video"
