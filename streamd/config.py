"""The configuration, one place per option: name, type, default, unit and a sentence each.

The file is read by ``streamd.configfile``, which merges the sections that a camera may override
(``capture detection tracking recognition search``) before these models validate it. Every process gets the same
frozen objects; children receive theirs as one JSON line on standard input.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from unicodedata import normalize

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from streamd.configtypes import (
    MOST_DAYS,
    CameraName,
    Days,
    EventsEndpoint,
    PositiveSeconds,
    Seconds,
    Section,
    Share,
    TcpEndpoint,
    TokenHash,
)
from streamd.gatewayconfig import GatewayConfig
from streamd.placement import Placement, Runtime
from streamd.sinkconfig import SinkConfig
from streamd.zoneconfig import Polygon, ZoneConfig

LONGEST_SOCKETS_DIR = 80
"""Bytes. The path of a Unix socket has room for 107, name of the socket included."""
TILE_OVERLAP = 0.25
"""Share of a tile that its neighbour sees too: a face on the border is whole in one of the two."""
WHIP_URL = "whip://"
SECTIONS_PER_CAMERA = ("capture", "detection", "tracking", "recognition", "search")

LabelKey = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]


def _label_values(given: object) -> tuple[str, ...]:
    """One text, or a list of them, in NFC as labels are kept."""
    values = given if isinstance(given, list | tuple) else (given,)
    for value in values:
        if not isinstance(value, str) or not 1 <= len(value) <= 80:
            raise ValueError("should be a text of 1 to 80 characters, or a list of them (numbers in quotes)")
    return tuple(normalize("NFC", value) for value in values)


LabelValues = Annotated[
    tuple[str, ...],
    BeforeValidator(_label_values),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Search = dict[LabelKey, LabelValues]


def _devices(given: object) -> object:
    """A device, or a list of them."""
    values = given if isinstance(given, list | tuple) else (given,)
    for value in values or ("nothing",):
        if not isinstance(value, str) or re.fullmatch(_DEVICE, value) is None:
            raise ValueError(f"should be auto, cpu, or cuda:0, or a list of these, not {str(value)[:40]!r}")
    return tuple(values) if isinstance(given, list | tuple) else given


_DEVICE = r"auto|cpu|cuda:\d{1,2}"
_DEVICE_SCHEMA = {"type": "string", "pattern": f"^({_DEVICE})$"}
Devices = Annotated[
    str | tuple[str, ...],
    BeforeValidator(_devices),
    WithJsonSchema({"anyOf": [_DEVICE_SCHEMA, {"type": "array", "items": _DEVICE_SCHEMA, "minItems": 1}]}),
]


def default_state_dir() -> Path:
    """systemd's StateDirectory, else the XDG state directory."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "streamd"


class CaptureConfig(Section):
    """How a camera is read. May be overridden per camera."""

    transport: Literal["tcp", "udp"] = "tcp"
    """RTSP transport. UDP loses packets silently; use it only where TCP is refused."""
    open_timeout_s: PositiveSeconds = 10.0
    """A camera that does not answer for this long while being opened counts as off."""
    read_timeout_s: PositiveSeconds = 5.0
    """A stream without a frame for this long counts as lost and is opened again."""
    retry_min_s: PositiveSeconds = 0.5
    """First pause before a lost camera is tried again; doubles with each failure, with jitter, until it has stayed for
    half a minute."""
    retry_max_s: PositiveSeconds = 30.0
    """Longest pause between tries. After a wrong password it is the first, and ten times that the longest: cameras lock
    out whoever gives several."""
    loop: bool = True
    """Files and image folders start again at their end; false plays them once."""
    pace: Literal["real", "fast"] = "real"
    """Files play at their own speed (real), or as fast as they can be decoded (fast)."""
    image_fps: Annotated[float, Field(gt=0, le=240)] = 1.0
    """Pictures per second from an image folder."""
    idle: Literal["all", "packets", "keyframes"] = "packets"
    """What is decoded while nothing moves and nobody is followed: everything; key frames, until the size of packets
    says that something moves (where a person would not show in it, as at a constant rate, key frames and a glance now
    and then, see ``glance_s``); or key frames alone, which see who comes at the next key frame only."""
    glance_s: PositiveSeconds = 0.7
    """While nothing moves, and packets would not tell that somebody comes, pictures are at most this far apart: that
    long somebody may go unnoticed. What comes between the last of them and the next key frame is never decoded."""
    decoder_threads: Annotated[int, Field(ge=1, le=16)] = 1
    """Threads of the decoder. More than one gained nothing where it was measured."""
    hwaccel: Literal["none", "auto", "cuda", "vaapi", "qsv", "vulkan", "videotoolbox"] = "none"
    """What decodes: the CPU (``none``), the named kind of device, which is refused where it is missing, or ``auto``,
    the first device that answers, else the CPU. 'streamd doctor' tells which there are."""


class DetectionConfig(Section):
    """How faces are found, and how often. May be overridden per camera."""

    model: str = "yunet"
    """Detector: a name from ``streamd models list``, or ``package.module:Class``."""
    longer_side_px: Annotated[int, Field(ge=96, le=4096)] = 640
    """The view, or each tile of it, has this longer side when faces are looked for; faces from about 24 pixels there
    are found."""
    tiles: Annotated[str, Field(pattern=r"^[1-4]x[1-4]$")] = "1x1"
    """Columns and rows: wide views are searched in overlapping tiles, for small faces, and as a whole, for large."""
    min_score: Share = 0.6
    """Detections below this score are dropped."""
    min_face_px: Annotated[int, Field(ge=8)] = 40
    """Faces with a shorter side under this many full-resolution pixels are followed but never decide."""
    undecided_interval_s: Seconds = 0.1
    """Pause between looks at a camera with a face that has no verdict yet."""
    tracked_interval_s: Seconds = 0.4
    """Pause between looks at a camera on which every face has its verdict."""
    motion_interval_s: Seconds = 0.2
    """Pause between looks at a camera on which something moves but no face is followed."""
    still_interval_s: Seconds = 2.0
    """Pause between looks at a camera on which nothing moves and no face is followed."""
    whole_interval_s: Seconds = 0.5
    """While faces are followed the whole view is searched this often, and only their surroundings in between; 0
    searches it always."""
    motion_share: Share = 0.004
    """Share of the view that must change to count as motion."""

    @property
    def grid(self) -> tuple[int, int]:
        """Columns and rows of tiles."""
        columns, _, rows = self.tiles.partition("x")
        return int(columns), int(rows)

    @property
    def image_side_px(self) -> int:
        """Longer side of the image that is cut into tiles, which overlap by a quarter of their size."""
        most = max(self.grid)
        return round(self.longer_side_px * (most - (most - 1) * TILE_OVERLAP))


class TrackingConfig(Section):
    """How faces are followed. May be overridden per camera."""

    max_gap_s: PositiveSeconds = 1.5
    """A face unseen for this long is not followed any more."""
    reappear_s: Seconds = 5.0
    """Somebody who was looked at well and comes back within this long, seen by their face, continues their appearance;
    until then their departure is not told."""
    min_hits: Annotated[int, Field(ge=1)] = 2
    """Looks in which a face must be found before it counts as an appearance."""
    start_score: Share = 0.7
    """A face must be found with this score once; lower ones, down to ``detection.min_score``, continue a track."""
    min_iou: Share = 0.15
    """Overlap below which a detection cannot continue a track."""


class RecognitionConfig(Section):
    """When a face gets a name. May be overridden per camera."""

    embedder: str = "sface"
    """Embedding model, one for all cameras: a name from ``streamd models list``, or ``package.module:Class``."""
    target_far: Annotated[float, Field(ge=1e-9, le=0.5)] = 1e-4
    """Share of strangers' appearances that may be given a name; the threshold follows from it, from the model and
    from how many people are searched."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Cosine similarity needed for a name, in place of ``target_far``; empty computes it."""
    margin: Share = 0.08
    """How much more similar the best person must be than the second best; on the scale of ``sface``, and smaller in
    proportion for embedders that find everybody similar."""
    min_views: Annotated[int, Field(ge=1, le=50)] = 2
    """Good views needed before a name is given."""
    unknown_after_views: Annotated[int, Field(ge=1, le=50)] = 5
    """Good views without a match after which a face counts as unknown."""
    max_views: Annotated[int, Field(ge=1, le=50)] = 10
    """Views kept per track; better ones replace the worst."""
    recheck_s: PositiveSeconds = 2.0
    """A decided face is embedded again after this long, so that a wrong name is taken back; after twice as long where
    more views would hardly change the verdict."""
    min_quality: Share = 0.35
    """Views of a lower quality (0..1) do not count."""


class CameraConfig(Section):
    """One camera."""

    url: Annotated[str, Field(min_length=1)] | None = None
    """``rtsp:// rtsps:// http:// https://`` URL, a video file, an image folder, ``/dev/videoN``, or ``whip://`` for a
    browser, a telephone or another program that sends its picture to ``/whip/<name>``."""
    whip_token: TokenHash | None = None
    """Of a camera with the url ``whip://``: the hash of the token that lets it send; the page makes one."""
    substream: Annotated[str, Field(min_length=1)] | None = None
    """A second, smaller RTSP stream of the same view, which is watched and searched for faces in place of ``url``: that
    is then the main stream, and decoded only around the faces that are cut out of it."""
    remote: bool = False
    """The camera is captured on another host, which connects to ``frames.listen``; no url is given here."""
    zones: dict[CameraName, ZoneConfig] = Field(default_factory=dict)
    """Parts of the view by name; events carry the names of those in which the face is."""
    masks: tuple[Polygon, ...] = ()
    """Polygons that are never looked at: they are blackened before a picture leaves the camera's process."""
    capture: CaptureConfig = CaptureConfig()
    detection: DetectionConfig = DetectionConfig()
    tracking: TrackingConfig = TrackingConfig()
    recognition: RecognitionConfig = RecognitionConfig()
    search: Search = {}

    @model_validator(mode="after")
    def _one_origin(self) -> CameraConfig:
        if self.remote == (self.url is not None):
            raise ValueError("give either a url, or remote: true for a camera captured on another host")
        return self

    @property
    def is_whip(self) -> bool:
        """Whether pictures come by WebRTC, from whoever sends them."""
        return self.url == WHIP_URL

    @model_validator(mode="after")
    def _two_streams(self) -> CameraConfig:
        if self.substream is None:
            return self
        if self.url is None:
            raise ValueError("give the substream on the host that captures the camera: streamd capture --substream")
        for key, given in (("url", self.url), ("substream", self.substream)):
            if not given.lower().startswith(("rtsp://", "rtsps://")):
                raise ValueError(f"with a substream the {key} must be rtsp:// or rtsps://: {redacted_url(given)}")
        return self


class WorkersConfig(Section):
    """The processes that detect, embed and decide."""

    count: Annotated[int, Field(ge=1, le=64)] | None = None
    """Worker processes; cameras are spread over them by what they cost. Empty takes one for each device."""
    device: Devices = "auto"
    """``auto`` (an NVIDIA GPU where onnxruntime has one, else the CPU), ``cpu``, or ``cuda:0``. Of a list,
    ``[cuda:0, cuda:1]``, the first worker takes the first device, the second the next, and so on, round and round."""
    allow_cpu: bool = False
    """With ``cuda:N``: go on without the GPU where it cannot be used, instead of refusing."""
    max_batch: Annotated[int, Field(ge=1, le=64)] | None = None
    """Frames per batch; empty takes 1 on a CPU, where batches gain nothing, and 8 on a GPU."""
    latency_budget_ms: Annotated[float, Field(ge=0, le=1000)] = 15.0
    """How long a batch may wait for further cameras."""
    shed_load: bool = True
    """Whether a worker that cannot keep up does without something, step by step: the pace of cameras on which nobody is
    followed, small faces, further views of people whose names are sure. Else all cameras slow down alike."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of one inference."""
    runtime: Runtime = "auto"
    """What runs networks on a CPU: ``onnxruntime``, ``openvino`` (an extra), ``openvino-bf16`` (half the bits),
    ``onnxruntime-int8`` or ``openvino-int8`` (a quarter, once ``streamd models quantize`` has made that form), or
    ``auto``, the fastest whose outputs agree, as ``streamd models pull`` has measured on this machine."""
    runtimes: dict[str, Runtime] = {}
    """The same for single models: ``{sface: openvino}``."""
    tensorrt: bool = False
    """On a GPU: whether networks go through TensorRT, whose engines are built at the first start, for minutes, and
    kept."""
    fp16: bool = False
    """On a GPU: whether networks compute in half precision. Refused where their outputs change."""
    cuda_graphs: bool = False
    """On a GPU: whether the launches of a run are recorded, and played again as one: a third of the time for single
    faces and views. Refused where outputs change."""
    embeddings_per_step: Annotated[int, Field(ge=1, le=64)] | None = None
    """Faces embedded between two looks at the cameras; empty takes 4 on a CPU and 32 on a GPU."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Those in use, in the order of the workers that take them."""
        return (self.device,) if isinstance(self.device, str) else self.device

    @property
    def processes(self) -> int:
        """How many workers there are."""
        return self.count or len(self.devices)

    def of(self, index: int) -> WorkersConfig:
        """What concerns one worker: how many there are, and its own device."""
        return self.model_copy(update={"count": self.processes, "device": self.devices[index % len(self.devices)]})

    def placement(self, model: str) -> Placement:
        """Where and how this model runs; of several devices, on the first."""
        return Placement(
            device=self.devices[0],
            threads=self.threads,
            allow_cpu=self.allow_cpu,
            runtime=self.runtimes.get(model, self.runtime),
            tensorrt=self.tensorrt,
            fp16=self.fp16,
            cuda_graphs=self.cuda_graphs,
        )


class FramesConfig(Section):
    """Where captures on other hosts connect to."""

    listen: TcpEndpoint | None = None
    """``tcp://0.0.0.0:5570`` for cameras with ``remote: true``; each further worker takes the next port. Captures are
    told this one, and find their camera's worker."""
    server_key: Path | None = None
    """The worker's secret CURVE key, made by ``streamd keys new``."""
    clients: Path | None = None
    """Folder of the public keys (``<camera>.key``) of captures that may connect."""
    jpeg_quality: Annotated[int, Field(ge=50, le=100)] | None = 95
    """Pictures of these cameras come as JPEG of this quality, with an eighth of the bytes; empty has them sent as they
    are."""


class GalleryConfig(Section):
    """Known people."""

    kind: Literal["local", "milvus", "pgvector"] = "local"
    """Where the gallery is shared by several boxes: nowhere, in a Milvus, or in a PostgreSQL with pgvector. Each box
    keeps a copy, with which it goes on while the server is away; what was changed meanwhile is sent later."""
    uri: str | None = None
    """Of Milvus: ``http://host:19530``, or a file for the embedded milvus-lite."""
    token: str | None = None
    """For Milvus: ``user:password`` or an API key; better ``${cred:milvus}`` than in the file."""
    dsn: str | None = None
    """Of PostgreSQL: ``postgresql://user:${PGPASSWORD}@host/database?sslmode=verify-full``."""
    answers: Literal["box", "server"] = "box"
    """Who answers searches of a shared gallery: the box's own copy, or the server, and the copy while the server is
    away."""
    folder: Path | None = None
    """Photos as ``<person>/*.jpg``, kept in step while the daemon runs; empty takes ``gallery`` in
    ``state_dir``."""
    sync: bool = True
    """Whether the folder is watched."""
    write_folder: bool = False
    """Whether photos that are enrolled by command are put into the folder, too, and deleted from it with the person;
    views of videos are not."""
    index: Literal["auto", "exact", "hnsw"] = "auto"
    """Search structure; ``auto`` takes the exact one below ``hnsw_from`` faces."""
    hnsw_from: Annotated[int, Field(ge=1)] = 20000
    """Faces from which ``auto`` searches approximately."""
    recall: Annotated[float, Field(ge=0.5, le=1.0)] = 0.995
    """Share of known people's probes whose nearest face an approximate search is to find; it is made as broad as that
    takes, and checked while it runs."""
    key_file: Path | None = None
    """Encrypts embeddings and crops: a file with the key, made by ``streamd gallery new-key`` or kept as a systemd
    credential (``${CREDENTIALS_DIRECTORY}/gallery-key``)."""
    check_photos: bool = True
    """Whether photos in the folder are refused that are unlike the person's others, like somebody else's, or near
    duplicates."""
    unknowns: bool = True
    """Whether strangers who come again are recognised (``unknown-7f3a``); their views are kept for that."""
    unknown_retention_days: Days = 30.0
    """Strangers not seen for this long are deleted; those who are ignored stay."""
    retention_days: dict[str, Days] = {}
    """``{group=visitor: 30}``: people with that label are forgotten, from the journal as well, so many days after they
    were enrolled. Of several the shortest counts; people without such a label are kept."""
    undo_days: Annotated[float, Field(ge=0, le=MOST_DAYS)] = 7.0
    """How long removed faces are kept so that ``streamd gallery undo`` can bring them back."""

    @model_validator(mode="after")
    def _has_its_server(self) -> GalleryConfig:
        for kind, key, where in (("milvus", "uri", self.uri), ("pgvector", "dsn", self.dsn)):
            if self.kind == kind and not where:
                raise ValueError(f"kind {kind} needs {key}, the address of its server")
        return self


class EventsConfig(Section):
    """What is published, and how long it is kept."""

    publish: EventsEndpoint = "tcp://127.0.0.1:5571"
    """Where subscribers connect (ZeroMQ SUB). Every account on this machine may; to ``ipc:///run/streamd/events`` only
    streamd's own user."""
    replay: EventsEndpoint = "tcp://127.0.0.1:5572"
    """Where subscribers ask for past events (ZeroMQ DEALER or REQ)."""
    retention_days: Days = 30.0
    """Events older than this are deleted from the journal, and the pictures with them."""
    max_mb: Annotated[float, Field(ge=1)] = 1000.0
    """Of a journal larger than this the oldest events are deleted, whatever their age."""


class SnapshotsConfig(Section):
    """Pictures kept beside the journal, to which events refer."""

    faces: bool = True
    """Whether the best picture of each face is kept."""
    frames: Literal["none", "blurred", "full"] = "none"
    """Whether the whole picture of a verdict is kept: not, with everybody blurred who is not enrolled, or as it is."""
    retention_days: Days = 7.0
    """Pictures older than this are deleted; those of a person who is forgotten, with them."""
    max_mb: Annotated[float, Field(ge=1)] = 500.0
    """Of more pictures than this the oldest are deleted."""


class SupervisionConfig(Section):
    """How children are watched."""

    heartbeat_s: PositiveSeconds = 1.0
    """Pause between a child's signs of life."""
    stall_after_s: PositiveSeconds = 10.0
    """A child silent for this long is killed and started again."""
    start_timeout_s: PositiveSeconds = 60.0
    """A child that is not ready after this long is killed and started again. While it copies a file before an upgrade,
    the time counts from the copy's last progress."""
    backoff_min_s: PositiveSeconds = 0.5
    """Pause before the first restart; doubles with each, with jitter."""
    backoff_max_s: PositiveSeconds = 60.0
    """Longest pause before a restart."""
    reset_after_s: PositiveSeconds = 60.0
    """A child that ran this long starts again with the shortest pause."""
    drain_s: PositiveSeconds = 20.0
    """How long a stop may take before children are killed."""


class LogConfig(Section):
    """What is written to standard error; both may be changed by a reload, and nothing restarts."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level written."""
    format: Literal["auto", "text", "json"] = "auto"
    """``auto`` is text on a terminal and JSON for journald."""


class Config(Section):
    """A whole configuration file."""

    version: Literal[1] = 1
    """Format of this file."""
    state_dir: Path = Field(default_factory=default_state_dir)
    """Gallery, journal and models. Default: ``$STATE_DIRECTORY``, else ``~/.local/state/streamd``."""
    runtime_dir: Path | None = None
    """Sockets between the processes, mode 0700. Default: ``$RUNTIME_DIRECTORY``, else ``run`` in
    ``state_dir``, or a folder in ``/tmp`` where that path is too long for a socket."""
    models_dir: Path | None = None
    """Model files. Default: ``models`` in ``state_dir``."""
    cameras: dict[CameraName, CameraConfig] = Field(default_factory=dict)
    """The cameras by name."""
    capture: CaptureConfig = CaptureConfig()
    detection: DetectionConfig = DetectionConfig()
    tracking: TrackingConfig = TrackingConfig()
    recognition: RecognitionConfig = RecognitionConfig()
    search: Search = {}
    """Whom faces are compared with: ``{site: hq}`` takes only people with that label ('streamd person label'),
    ``{site: [hq, depot]}`` those with either; of several keys each must fit. Empty takes everybody. May be
    overridden per camera."""
    workers: WorkersConfig = WorkersConfig()
    frames: FramesConfig = FramesConfig()
    gallery: GalleryConfig = GalleryConfig()
    events: EventsConfig = EventsConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    sinks: dict[CameraName, SinkConfig] = Field(default_factory=dict)
    """Where events are delivered to, besides ZeroMQ, by a name of your choice."""
    gateway: GatewayConfig = GatewayConfig()
    supervision: SupervisionConfig = SupervisionConfig()
    log: LogConfig = LogConfig()

    @property
    def sockets_dir(self) -> Path:
        if self.runtime_dir is not None:
            return self.runtime_dir
        if given := os.environ.get("RUNTIME_DIRECTORY"):
            return Path(given.split(":")[0])
        beside = self.state_dir.absolute() / "run"
        if len(os.fsencode(beside)) <= LONGEST_SOCKETS_DIR:
            return beside
        digest = hashlib.sha256(os.fsencode(beside)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"streamd-{os.getuid()}-{digest}"

    @property
    def models_path(self) -> Path:
        return self.models_dir or self.state_dir / "models"

    @property
    def gallery_folder(self) -> Path:
        return self.gallery.folder or self.state_dir / "gallery"

    @property
    def gallery_file(self) -> Path:
        return self.state_dir / "gallery.sqlite"

    @property
    def journal_file(self) -> Path:
        return self.state_dir / "journal.sqlite"

    @property
    def snapshots_dir(self) -> Path:
        return self.state_dir / "snapshots"

    @property
    def deliveries_file(self) -> Path:
        """How far each sink is."""
        return self.state_dir / "deliveries.sqlite"


# As far as the last @: a password may hold a slash. What is hidden too much is better than too little.
_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"]*@")
# Some recorders want it in the path: rtsp://HOST/user=admin_password=secret_channel=1_stream=0.sdp
_IN_PATH = re.compile(r"(://[^\s'\"]*?(?:passw\w*?|pass|pwd)=)[^\s'\"]*(?<!:)", re.IGNORECASE)


def redact(text: str) -> str:
    """``text`` with user names, passwords and queries of every URL in it replaced by ``***``."""
    text = _IN_PATH.sub(r"\1***", _CREDENTIALS.sub("***@", text))
    return re.sub(r"(://[^\s?]*)\?[^\s'\"]*", r"\1?***", text)


def redacted_url(url: str) -> str:
    """A camera's URL as it may be shown, be it one or not: no user, no password, no query."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    # As far as the last @, as above.
    _, credentials, shown = rest.rpartition("@")
    return _IN_PATH.sub(r"\1***", f"{scheme}://{'***@' if credentials else ''}{re.split('[?#]', shown)[0]}")
