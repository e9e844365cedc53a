"""``streamd replay``: what the daemon would have said about videos, and how right that is."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamd.commands.arguments import (
    add_config_argument,
    add_json_argument,
    add_model_arguments,
    wants_colour,
    with_models,
)
from streamd.commands.outputs import admit_output
from streamd.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from streamd.annotating import AnnotatedVideo
    from streamd.config import Config
    from streamd.events import Event
    from streamd.gallery.live import LiveGallery
    from streamd.gallery.opening import PhotoModels
    from streamd.interfaces import DecodedFrame
    from streamd.rerun import Rerun
    from streamd.truth import Claim, Presence, Score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    add_model_arguments(parser)
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO")
    parser.add_argument(
        "--gallery", type=Path, metavar="DIR", help="know these people, <person>/*.jpg, in place of the gallery's"
    )
    parser.add_argument(
        "--truth",
        action="append",
        default=[],
        type=Path,
        metavar="CSV",
        help="who is there: label,enrolled,start_s,end_s; one for each video, in order",
    )
    parser.add_argument("--annotate", type=Path, metavar="OUT.mp4", help="write the video with boxes and names")


def run(args: argparse.Namespace) -> int:
    from streamd.gallery.opening import load_photo_models
    from streamd.truth import read_truth

    if args.truth and len(args.truth) != len(args.videos):
        raise UsageError(f"{len(args.videos)} videos and {len(args.truth)} --truth files: one for each is needed")
    if args.annotate and len(args.videos) > 1:
        raise UsageError("--annotate takes one video at a time")
    for video in args.videos:
        if not video.is_file():
            raise UsageError(f"{video}: not a file" if video.exists() else f"{video}: no such file")
        if args.annotate and args.annotate.exists() and args.annotate.samefile(video):
            raise UsageError(f"--annotate {args.annotate} is the video itself: name another file")
    admit_output(args.annotate, "MP4")
    truths = [read_truth(path) for path in args.truth]
    config = with_models(args)
    models = load_photo_models(config)
    with _gallery(args.gallery, config, models) as gallery:
        summary = _Replay(args, config, models, gallery).run(truths)
    if args.json:
        print(json.dumps({"summary": summary}))
    else:
        print("\n".join(_lines(summary)))
    return ExitCode.OK


class _Replay:
    """All videos one after the other; each is a camera of its own."""

    def __init__(self, args: argparse.Namespace, config: Config, models: PhotoModels, gallery: LiveGallery) -> None:
        self._args = args
        self._config = config
        self._models = models
        self._gallery = gallery
        self._seq = 0
        self._progress = _Progress()

    def run(self, truths: list[list[Presence]]) -> dict[str, Any]:
        from streamd.truth import claims, score

        made: list[list[Claim]] = []
        seconds, frames, looks, started_s = 0.0, 0, 0, time.monotonic()
        for video in self._args.videos:
            rerun = self._rerun(video)
            told = []
            with ExitStack() as stack:
                annotated = self._annotated(stack)
                for each in rerun.events(shown=self._shown(rerun, annotated, video)):
                    self._seq += 1
                    event = each.event.numbered(self._seq)
                    self._print(event)
                    told.append((each.at_s, event))
            made.append(claims(told))
            seconds += rerun.played.seconds
            frames += rerun.played.frames
            looks += rerun.played.looks
        self._progress.clear()
        took_s = time.monotonic() - started_s
        summary: dict[str, Any] = {
            "videos": len(self._args.videos),
            "seconds": round(seconds, 2),
            "frames": frames,
            "looks": looks,
            "events": self._seq,
            "times_real_time": round(seconds / took_s, 1) if took_s else None,
        }
        if truths:
            summary |= asdict(_together([score(c, t) for c, t in zip(made, truths, strict=True)], made, truths))
        return summary

    def _rerun(self, video: Path) -> Rerun:
        from streamd.pipeline import Models
        from streamd.rerun import Rerun

        name = self._config.detection.model
        return Rerun(video, self._config, Models({name: self._models.detector}, self._models.embedder, self._gallery))

    def _annotated(self, stack: ExitStack) -> AnnotatedVideo | None:
        if self._args.annotate is None:
            return None
        from streamd.annotating import AnnotatedVideo

        return stack.enter_context(AnnotatedVideo(self._args.annotate))

    def _shown(self, rerun: Rerun, annotated: AnnotatedVideo | None, video: Path) -> Any:
        def shown(frame: DecodedFrame, at_s: float) -> None:
            self._progress.show(video, at_s)
            if annotated is not None:
                annotated.add(frame, at_s, rerun.faces())

        return shown

    def _print(self, event: Event) -> None:
        self._progress.clear()
        if self._args.json:
            print(event.to_json().decode(), flush=True)
            return
        from streamd.eventlines import EventLines

        # The clock starts at midnight: times are times in the video.
        for line in EventLines(colour=wants_colour(), today=date(1970, 1, 1), zone=UTC).lines(event):
            print(line, flush=True)


class _Progress:
    """Where it is, on a terminal."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._at_s = float("-inf")

    def show(self, video: Path, at_s: float) -> None:
        if self._on and time.monotonic() - self._at_s >= 0.5:
            self._at_s = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{video.name}: {at_s:.0f} s")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._on:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def _gallery(folder: Path | None, config: Config, models: PhotoModels) -> Iterator[LiveGallery]:
    """The configured gallery, or one made of a folder's photos."""
    from streamd.gallery.enrolment import Enroller
    from streamd.gallery.live import LiveGallery
    from streamd.gallery.opening import open_store
    from streamd.gallery.store import GalleryStore
    from streamd.vision.photos import SUFFIXES

    model_id = models.embedder.model_id
    if folder is None:
        open_store(config).close()  # says what is wrong with it
        with LiveGallery(config.gallery_file, model_id=model_id, config=config.gallery) as gallery:
            yield gallery
        return
    people = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if not people:
        raise UsageError(f"{folder}: no folders of people in it: <person>/*.jpg is expected")
    with tempfile.TemporaryDirectory(prefix="streamd-") as scratch:
        file = Path(scratch) / "gallery.sqlite"
        plain = config.gallery.model_copy(update={"kind": "local", "key_file": None})
        with GalleryStore(file) as store, LiveGallery(file, model_id=model_id, config=plain) as gallery:
            enroller = Enroller(store, models.detector, models.embedder, gallery=gallery)
            for person in people:
                photos = [p for p in sorted(person.iterdir()) if p.suffix.lower() in SUFFIXES]
                for result in enroller.enroll(person.name, photos):
                    if not result.accepted:
                        sys.stderr.write(f"{result.path}: not taken: {result.message}\n")
            gallery.refresh()
            if not gallery.faces_count:
                raise UsageError(f"{folder}: no face could be enrolled from it: <person>/*.jpg is expected")
            yield gallery


def _together(scores: list[Score], made: list[list[Claim]], truths: list[list[Presence]]) -> Score:
    """Of several videos: as if one followed the other."""
    from streamd.truth import score

    if len(scores) == 1:
        return scores[0]
    all_made: list[Claim] = []
    all_truth: list[Presence] = []
    for number, (claims, truth) in enumerate(zip(made, truths, strict=True)):
        apart_s = 1e6 * number
        all_made += [replace(c, from_s=c.from_s + apart_s, to_s=c.to_s + apart_s) for c in claims]
        all_truth += [replace(p, start_s=p.start_s + apart_s, end_s=p.end_s + apart_s) for p in truth]
    return score(all_made, all_truth)


def _lines(summary: dict[str, Any]) -> list[str]:
    lines = [
        f"{summary['videos']} videos, {summary['seconds']:.1f} s, {summary['frames']} frames, {summary['looks']} looked"
        f" at, {summary['events']} events; {summary['times_real_time']} times real time"
    ]
    if "precision" not in summary:
        return lines

    def share(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f} %"

    def wait(value: float | None) -> str:
        return "-" if value is None else f"{value:.2f} s"

    p50_s, p95_s = summary["time_to_identity_p50_s"], summary["time_to_identity_p95_s"]
    return [
        *lines,
        f"precision         {share(summary['precision'])} of the seconds with a name",
        f"recall            {share(summary['recall'])} of the seconds in which enrolled people were there",
        f"identified        {summary['identified']} of {summary['presences']} presences of enrolled people",
        f"time to identity  p50 {wait(p50_s)}, p95 {wait(p95_s)}",
        f"false names       {summary['false_names']}",
        f"name switches     {summary['id_switches']}",
    ]
