"""``streamd bench peers``: streamd and what people write instead, on the same clips with the same models and people."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streamd.bench import contenders
from streamd.bench.contenders import DEEPFACE, OPENCV, Material, Played
from streamd.bench.lifelike import Lived, Plan, live
from streamd.bench.naming import Borne, Naming, judge
from streamd.bench.photographs import people_in
from streamd.bench.stays import Stay, within
from streamd.errors import ModelError, UsageError

STREAMD = "streamd"
START_AND_END_S = 40.0
"""What a daemon plays beside what is measured, at most."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A video, and who is in it."""

    path: Path
    stays: Sequence[Stay]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared."""

    clips: Sequence[Clip]
    gallery: Path
    models: Path
    seconds: float
    """At most so much of the beginning of each clip, for everybody."""
    deepface_python: str = sys.executable
    peers: Sequence[str] = (*OPENCV, *DEEPFACE)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the daemon."""


@dataclass(frozen=True, slots=True)
class Row:
    """One contender."""

    contender: str
    cpu_seconds_per_camera_second: float | None
    """None where it could not be run."""
    naming: Naming | None
    resident_mb: float | None
    runs: Sequence[float] = ()
    """streamd's CPU seconds per camera-second before and after the peers, of which the mean is given."""
    frames: int | None = None
    """Looked at; None where not every frame is."""
    faces: int | None = None
    without_face: int | None = None
    """Frames."""
    whole_named: int | None = None
    """Of those, to how many DeepFace gives a name if it is told not to insist on a face."""
    versions: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None

    def to_json(self, streamd: Row) -> dict[str, Any]:
        body = asdict(self)
        del body["naming"]
        body["ratio"] = ratio(self, streamd)
        if self.naming is not None:
            body |= asdict(self.naming)
            body |= {"recall_stays": self.naming.recall_stays, "recall_seconds": self.naming.recall_seconds}
        return body


def ratio(row: Row, streamd: Row) -> float | None:
    """How many times streamd's CPU seconds it takes."""
    mine, other = streamd.cpu_seconds_per_camera_second, row.cpu_seconds_per_camera_second
    return None if not mine or other is None else other / mine


def compare(comparison: Comparison, *, tell: Callable[[str], None]) -> list[Row]:
    """streamd, then each peer. It is measured before them and after them, because machines have other work to do.

    Args:
        tell: who is running now.

    Raises:
        UsageError: a clip or the gallery cannot be used.
        ModelError: models are missing.
        UnavailableError: the daemon did not start.
    """
    weights = contenders.originals(comparison.models)
    people = people_in(comparison.gallery)
    rows = []
    with tempfile.TemporaryDirectory(prefix="streamd-peers-") as name:
        folder = Path(name)
        played = [
            shortened(clip.path, comparison.seconds, folder / f"{number}.mp4")
            for number, clip in enumerate(comparison.clips)
        ]
        lengths = [length_s(path) for path in played]
        stays = [within(clip.stays, length) for clip, length in zip(comparison.clips, lengths, strict=True)]
        plan = Plan(_tapes(played, lengths, folder), lengths, comparison.settings)
        tell(STREAMD)
        before = live(plan, comparison.gallery, models=comparison.models)
        material = Material(played, people, weights)
        for key in comparison.peers:
            tell(key)
            rows.append(_of_peer(key, material, stays, folder, python=comparison.deepface_python))
        tell(STREAMD)
        after = live(plan, comparison.gallery, models=comparison.models)
    return [_of_streamd((before, after), stays), *rows]


def shortened(clip: Path, seconds: float, target: Path) -> Path:
    """The clip itself if it is no longer, else its beginning, copied without encoding it again. Raises UsageError."""
    return clip if length_s(clip) <= seconds else tape(clip, target, seconds=seconds)


def tape(clip: Path, target: Path, *, seconds: float = math.inf, copies: int = 1) -> Path:
    """The beginning of a clip, some times in a row, copied without encoding it again.

    A file that is played in a loop has no time across its seam: what was not decoded before it is missing on the clock.

    Raises:
        UsageError: it has no time stamps, or the container does not take its codec.
    """
    pass_s = min(length_s(clip), seconds)
    try:
        with av.open(str(target), "w") as copy:
            into = None
            for number in range(copies):
                with av.open(str(clip)) as source:
                    stream = source.streams.video[0]
                    into = into or copy.add_stream_from_template(stream)
                    for packet in _beginning(source, stream, seconds):
                        shift = round(number * pass_s / packet.time_base)
                        packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, into
                        copy.mux(packet)
    except (OSError, av.FFmpegError, IndexError, ValueError, TypeError) as error:
        raise UsageError(f"{clip}: cannot be copied: {error}") from error
    return target


def _beginning(source: InputContainer, stream: VideoStream, seconds: float) -> Iterator[Any]:
    """The packets of the first seconds."""
    for packet in source.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            raise ValueError("its packets have no time stamps")
        if packet.pts * packet.time_base >= seconds:
            return
        yield packet


def length_s(clip: Path) -> float:
    """By the number of pictures, as a daemon plays it in a loop. Raises UsageError."""
    try:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            return float(sum(packet.size > 0 for packet in container.demux(stream)) / rate)
    except (OSError, av.FFmpegError, IndexError) as error:
        raise UsageError(f"{clip}: is not a video: {error}") from error


def _tapes(clips: Sequence[Path], lengths: Sequence[float], folder: Path) -> list[Path]:
    """Each clip often enough for a daemon's whole life."""
    life_s = 2 * max(lengths) + START_AND_END_S
    return [
        tape(clip, folder / f"tape{number}.mp4", copies=math.ceil(life_s / length))
        for number, (clip, length) in enumerate(zip(clips, lengths, strict=True))
    ]


def _of_streamd(lived: Sequence[Lived], stays: Sequence[Sequence[Stay]]) -> Row:
    """The mean cost of the runs, and the worst naming."""
    costs = [each.cpu_s / (each.seconds * len(stays)) for each in lived]
    namings = [_judged(each.borne, stays) for each in lived]
    worst = min(namings, key=lambda naming: (-naming.false_names, naming.named, naming.named_s))
    resident_mb = max(each.resident_mb for each in lived)
    return Row(STREAMD, sum(costs) / len(costs), worst, resident_mb, runs=costs)


def _of_peer(key: str, material: Material, stays: Sequence[Sequence[Stay]], folder: Path, *, python: str) -> Row:
    if key in OPENCV:
        return _tried(key, material, stays, folder, python=sys.executable)
    if not contenders.has_deepface(python):
        return Row(key, None, None, None, problem=f"deepface is not installed for {python}")
    home = folder / "deepface"
    if not home.exists():
        home.mkdir()
        contenders.deepface_home(material.weights, home)
    return _tried(key, material, stays, home, python=python)


def _tried(key: str, material: Material, stays: Sequence[Sequence[Stay]], folder: Path, *, python: str) -> Row:
    try:
        played = contenders.play(key, material, folder, python=python)
    except ModelError as error:
        return Row(key, None, None, None, problem=str(error))
    return _row(key, played, stays)


def _row(key: str, played: Played, stays: Sequence[Sequence[Stay]]) -> Row:
    return Row(
        key,
        played.cpu_s / played.video_s,
        _judged(played.borne, stays),
        played.resident_mb,
        frames=played.frames,
        faces=played.faces,
        without_face=played.without_face,
        whole_named=played.whole_named if key in DEEPFACE else None,
        versions=played.versions,
    )


def _judged(borne: Sequence[Sequence[Borne]], stays: Sequence[Sequence[Stay]]) -> Naming:
    return sum((judge(given, there) for given, there in zip(borne, stays, strict=True)), Naming())
