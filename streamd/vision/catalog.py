"""The models that streamd knows: one YAML manifest each, shipped, or a user's own beside the model files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from streamd.errors import ModelError
from streamd.scores import ScoreModel, Spread
from streamd.vision.fetch import Source, parse_sources

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Triple = tuple[float, float, float]
Positive = Annotated[int, Field(ge=1)]
Similarity = Annotated[float, Field(gt=0, lt=1)]

SHIPPED = Path(__file__).parent / "models"
DEFAULT_MODELS = ("yunet", "sface", "ssd")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelFile(_Part):
    """One file to fetch."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
    """File name in the models folder's ``sources``."""
    sha256: Sha256
    sources: tuple[Source, ...]
    """Where it can be had, best first."""

    @field_validator("sources", mode="before")
    @classmethod
    def _read_sources(cls, raw: object) -> object:
        if not isinstance(raw, list) or not raw or not all(isinstance(entry, Mapping) for entry in raw):
            raise ValueError("must be a list of sources, at least one")
        try:
            return parse_sources(raw)
        except ModelError as error:
            raise ValueError(str(error)) from error


class ModelInput(_Part):
    """What the prepared model is fed: ``(pixel - mean) * scale``, float32."""

    name: str
    """Name of the graph's input."""
    size: tuple[Positive, Positive] | None
    """Width and height; null where the model takes any multiple of ``stride``."""
    stride: Positive = 1
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colour: Literal["bgr", "rgb"]
    """Order of the channels."""
    mean: Triple = (0.0, 0.0, 0.0)
    """Per channel, in the order of ``colour``, in units of 0..255."""
    scale: Annotated[float, Field(gt=0)] = 1.0
    standardise: bool = False
    """Instead of ``mean`` and ``scale``: each picture by its own mean and standard deviation."""


class NormalSpread(_Part):
    """A kind of similarities, taken as normally distributed."""

    mean: Annotated[float, Field(gt=-1, lt=1)]
    std: Annotated[float, Field(gt=0, lt=1)]

    def spread(self) -> Spread:
        return Spread(self.mean, self.std)


class ScoreStatistics(_Part):
    """How similar the embedder finds photographs, measured on labelled data."""

    impostor: NormalSpread
    """Of different people."""
    genuine: NormalSpread
    """Of one person; wider than on good portraits, because cameras at doors see worse."""

    def model(self, grey: ScoreModel | None = None) -> ScoreModel:
        return ScoreModel(self.impostor.spread(), self.genuine.spread(), grey)


class MeasuredScores(ScoreStatistics):
    """The statistics, with those of pictures without colour and where they come from."""

    grey: ScoreStatistics | None = None
    """Of a picture without colour against photographs with it."""
    measured: str
    """On what, and by what."""

    def model(self, grey: ScoreModel | None = None) -> ScoreModel:
        return ScoreStatistics.model(self, self.grey.model() if self.grey else grey)


class AnchorHeads(_Part):
    """The heads of an anchor-based detector: which output is what, and where the anchors lie."""

    strides: Annotated[tuple[Positive, ...], Field(min_length=1)]
    """Pixels per cell of each head."""
    scores: Annotated[tuple[str, ...], Field(min_length=1)]
    """Outputs with the scores: one per stride (scrfd), or one for all (retinaface: background, face)."""
    boxes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Outputs with the boxes, in the same order."""
    points: tuple[str, ...] = ()
    """Outputs with the landmarks, in the same order; empty where there are none."""
    per_cell: Positive = 2
    """scrfd: anchors on each cell."""
    sizes_px: tuple[tuple[Positive, ...], ...] = ()
    """retinaface: sides of the prior boxes of each stride."""
    variances: tuple[float, float] = (0.1, 0.2)
    """retinaface: factors of offsets and of sizes."""

    @model_validator(mode="after")
    def _heads_agree(self) -> AnchorHeads:
        heads = len(self.scores)
        if len(self.boxes) != heads or (self.points and len(self.points) != heads):
            raise ValueError("scores, boxes and points must name as many outputs each")
        if heads not in (1, len(self.strides)) or (self.sizes_px and len(self.sizes_px) != len(self.strides)):
            raise ValueError("outputs and sizes_px must be one per stride (or one output for all)")
        return self


class Certainty(_Part):
    """How the length of a vector, before it is made a unit one, tells what the network made of the face."""

    none: Annotated[float, Field(ge=0)]
    """At and below this length the vector says nothing."""
    full: Annotated[float, Field(gt=0)]
    """At and above it no doubt is left."""


class Manifest(_Part):
    """One model, as its YAML file describes it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    kind: Literal["detector", "embedder"]
    summary: str
    licence: str
    """SPDX identifier of the weights' licence."""
    origin: str
    """Page of the people who made it."""
    files: tuple[ModelFile, ...] = ()
    """The first one's hash names the weights."""
    library: str | None = None
    """Python package that has the weights inside, instead of files."""
    prepared: Literal["yunet", "sface", "ssd", "centerface", "cascade", "bundle", "weights", "as_is"] = "as_is"
    """Recipe by which the fetched files become the ONNX file that runs."""
    input: ModelInput
    decoding: Literal["yunet", "ssd", "centerface", "mtcnn", "haar", "dlib", "retinaface", "scrfd", "embedding"]
    """How the outputs are read."""
    landmarks: bool = False
    """Detector: whether it gives five landmarks."""
    anchors: AnchorHeads | None = None
    """Detector of the families retinaface and scrfd: its heads."""
    threshold: Similarity
    """Detector: least score. Embedder: similarity at which one view is believed in a small gallery."""
    dim: Positive | None = None
    """Embedder: length of its vectors."""
    zoom: Annotated[float, Field(gt=0.2, lt=3)] = 1.0
    """Embedder: how much larger the face lies in its chip than in ArcFace's, relative to the shorter side."""
    rise: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0
    """Embedder: how much higher it lies there, as a share of the shorter side."""
    accept_license: str | None = None
    """A restriction that the user must accept before the model is used, like ``non-commercial``."""
    accepted: bool = False
    """Whether the user has: ``streamd models import --accept-license``."""
    pair_threshold: Similarity | None = None
    """Embedder: similarity at which two photographs show the same person, with nobody else in question."""
    scores: MeasuredScores | None = None
    """Embedder: what thresholds for a false-accept rate are computed from."""
    certainty: Certainty | None = None
    """Embedder: where the length of its raw vectors predicts errors."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Manifest:
        embedder = self.kind == "embedder"
        if embedder != (self.decoding == "embedding"):
            raise ValueError(f"kind '{self.kind}' cannot have decoding '{self.decoding}'")
        if embedder != (self.dim is not None):
            raise ValueError("an embedder has a dim, a detector has none")
        if embedder and self.input.size is None:
            raise ValueError("input.size: an embedder takes aligned faces of one size")
        if (self.decoding in ("retinaface", "scrfd")) != (self.anchors is not None):
            raise ValueError("anchors: needed by decoding 'retinaface' and 'scrfd', and by no other")
        if self.decoding == "retinaface" and self.anchors is not None and not self.anchors.sizes_px:
            raise ValueError("anchors.sizes_px: needed by decoding 'retinaface'")
        if self.anchors is not None and self.landmarks != bool(self.anchors.points):
            raise ValueError("landmarks: true where anchors.points names outputs, else false")
        if self.decoding == "ssd" and self.input.size is None:
            raise ValueError("input.size: decoding 'ssd' needs a size")
        if (self.decoding == "dlib") != (self.library is not None):
            raise ValueError("library: needed by decoding 'dlib', and by no other")
        if bool(self.files) == (self.library is not None):
            raise ValueError("files: at least one, or a library instead")
        return self

    @property
    def prepared_name(self) -> str:
        """File name of the form that runs."""
        return self.name + {"cascade": ".xml", "bundle": ".zip", "weights": ".dat"}.get(self.prepared, ".onnx")

    @property
    def score_model(self) -> ScoreModel:
        """What the embedder's similarities are worth; assumed from its thresholds where it was not measured."""
        return self.scores.model() if self.scores else ScoreModel.assumed(self.pair_threshold or self.threshold)

    @property
    def model_id(self) -> str:
        """Names the weights, and stays the same when they are only prepared differently."""
        return f"{self.name}@{self.files[0].sha256[:12]}" if self.files else self.name


def catalogue(own: Path | None = None) -> dict[str, Manifest]:
    """Every known model by name: the shipped ones, then those of the folder ``own``, where it exists.

    Raises:
        ModelError: a manifest is wrong; the message has ``file: key: problem`` a line.
    """
    found = dict(_shipped())
    if own is not None and own.is_dir():
        found.update(_read_folder(own))
    return found


@cache
def _shipped() -> Mapping[str, Manifest]:
    return _read_folder(SHIPPED)


def _read_folder(folder: Path) -> dict[str, Manifest]:
    manifests = (read_manifest(path) for path in sorted(folder.glob("*.yaml")))
    return {manifest.name: manifest for manifest in manifests}


def read_manifest(path: Path) -> Manifest:
    """The manifest in ``path``.

    Raises:
        ModelError: it cannot be read, or a key of it is missing, unknown or wrong.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot read this manifest: {error}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"{path}: a manifest is a mapping, this is {type(raw).__name__}")
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        raise ModelError("\n".join(f"{path}: {line}" for line in _problems(error))) from error
    if manifest.name != path.stem:
        raise ModelError(f"{path}: name: '{manifest.name}' must be the file's name, '{path.stem}'")
    return manifest


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(str(key) for key in problem['loc']) or 'manifest'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    ]


def find_manifest(name: str, *, kind: str | None = None, own: Path | None = None) -> Manifest:
    """The model called ``name``.

    Raises:
        ModelError: there is none, or it is of another kind.
    """
    known = catalogue(own)
    manifest = known.get(name)
    if manifest is None:
        raise ModelError(f"no model is called '{name}'; there are: {', '.join(sorted(known))}")
    if kind is not None and manifest.kind != kind:
        raise ModelError(f"model '{name}' has the kind '{manifest.kind}', where '{kind}' is needed")
    return manifest
