"""Views of one person from a video file, a stream or a configured camera."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.errors import PhotoRefused, UsageError

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.enrolment import Enroller, PhotoResult
    from streamd.gallery.footage import Footage, Shot

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".ts", ".mpg", ".mpeg", ".264", ".h264"})
CAMERA_SECONDS = 20.0
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_footage(given: str, config: Config) -> bool:
    """Whether this is a video, a stream or a camera, and no photo."""
    path = Path(given)
    is_video = path.suffix.lower() in VIDEO_SUFFIXES or given.startswith("/dev/video")
    return bool(_URL.match(given)) or is_video or (given in config.cameras and not path.exists())


def enroll_footage(
    args: argparse.Namespace, config: Config, enroller: Enroller, *, name: str, given: str
) -> Iterator[PhotoResult]:
    """Enrol the best and most varied views. Raises SourceError where the stream cannot be read."""
    from streamd.config import redacted_url
    from streamd.gallery.enrolment import PhotoResult
    from streamd.gallery.footage import LONGEST_S, best_views, look_through
    from streamd.gallery.hygiene import Bars
    from streamd.gallery.names import file_name
    from streamd.masking import Mask
    from streamd.sources.opening import open_source

    camera = config.cameras.get(given)
    if camera is not None and camera.url is None:
        raise UsageError(f"camera {given!r} is captured on another host: give a video, or its url")
    is_file = camera is None and Path(given).is_file()
    capture = (camera.capture if camera else config.capture).model_copy(
        update={"loop": False, "pace": "fast" if is_file else "real"}
    )
    url = camera.url if camera and camera.url else given
    shown = redacted_url(given)
    seconds = args.seconds or (LONGEST_S if is_file else CAMERA_SECONDS)
    mask = Mask(camera.masks if camera else ())
    footage = look_through(
        open_source(url, capture), enroller.examiner, seconds=seconds, mask=mask, noticed=_progress()
    )
    try:
        views = best_views(footage, Bars(enroller.scores), wanted=args.views, origin=shown)
    except PhotoRefused as refusal:
        yield PhotoResult(Path(shown), False, refusal.reason, str(refusal))
        return
    kind = "camera" if camera else "video"
    label = given if camera else file_name(Path(given)) if is_file else shown
    for shot in views:
        yield _enrolled(args, enroller, shot, name=name, source=f"{kind}:{label}#{shot.at_s:.1f}s", shown=shown)


def _enrolled(
    args: argparse.Namespace, enroller: Enroller, shot: Shot, *, name: str, source: str, shown: str
) -> PhotoResult:
    from streamd.gallery.enrolment import PhotoResult

    origin = f"{shown} at {shot.at_s:.1f} s"
    try:
        if not args.force:
            enroller.hygiene.judge(shot.face.vector, name, origin=origin)
    except PhotoRefused as refusal:
        return PhotoResult(Path(shown), False, refusal.reason, str(refusal))
    if not args.dry_run:
        enroller.store(name, enroller.new_view(shot, source))
    quality = shot.face.quality
    message = f"{origin}: face of {quality.size_px:.0f} pixels, quality {quality.score:.2f}"
    return PhotoResult(Path(shown), True, "would_enroll" if args.dry_run else "enrolled", message, quality.score)


def _progress() -> Callable[[Footage], None]:
    if not sys.stderr.isatty():
        return lambda footage: None

    def tell(footage: Footage) -> None:
        text = f"\r\x1b[K{footage.frames} frames, {len(footage.shots)} good views"
        print(text, end="", file=sys.stderr, flush=True)

    return tell
