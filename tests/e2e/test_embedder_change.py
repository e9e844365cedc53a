"""Another embedder for a gallery that is in use: nobody is lost, and a worker that is killed goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import Daemon, eventually
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from streamd.events import Event
from streamd.gallery.rows import NewFace
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import StrangerRecords
from streamd.vision.catalog import Manifest
from streamd.vision.modelstore import ModelStore

pytestmark = pytest.mark.e2e

Picture = NDArray[np.uint8]
PEOPLE, FACES_EACH = 10, 30
"""Others in the gallery: embedding all of them takes seconds."""


@pytest.fixture
def models(tmp_path: Path, models_dir: Path) -> Path:
    """The models, and ``turned``: SFace with its space turned, which tells people apart as well by other vectors."""
    folder = tmp_path / "models"
    (folder / "manifests").mkdir(parents=True)
    for path in models_dir.iterdir():
        (folder / path.name).symlink_to(path)
    network = onnx.load(models_dir / "sface.onnx")
    output = network.graph.output[0]
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((128, 128)))
    network.graph.initializer.append(numpy_helper.from_array(turn.astype(np.float32), "turn"))
    network.graph.node.append(helper.make_node("MatMul", [output.name, "turn"], ["turned"]))
    output.name = "turned"
    onnx.save(network, tmp_path / "turned.onnx")
    manifest = yaml.safe_load(files("streamd.vision").joinpath("models/sface.yaml").read_text())
    digest = hashlib.sha256((tmp_path / "turned.onnx").read_bytes()).hexdigest()
    source = {"name": "turned.onnx", "sha256": digest, "sources": [{"file": str(tmp_path / "turned.onnx")}]}
    manifest |= {"name": "turned", "prepared": "as_is", "files": [source]}
    (folder / "manifests" / "turned.yaml").write_text(yaml.safe_dump(manifest))
    ModelStore(folder).pull(manifest_of(folder, "turned"))
    return folder


def manifest_of(models: Path, name: str) -> Manifest:
    return ModelStore(models).manifest(name, kind="embedder")


@pytest.fixture
def comings(tmp_path: Path, obama: Picture, biden: Picture, nobody: Picture) -> Path:
    """Somebody known, nobody, a stranger, nobody; over and over."""
    folder = tmp_path / "comings"
    folder.mkdir()
    for number, picture in enumerate([*[obama] * 6, *[nobody] * 5, *[biden] * 10, *[nobody] * 5]):
        cv2.imwrite(str(folder / f"{number:03}.png"), picture)
    return folder


def add_others(file: Path, model_id: str) -> None:
    """People whose crops are noise."""
    chance = np.random.default_rng(2)

    def faces(person: int) -> Iterator[NewFace]:
        for number in range(FACES_EACH):
            chip = cv2.imencode(".jpg", chance.integers(0, 255, (112, 112, 3)).astype(np.uint8))[1].tobytes()
            vector = chance.standard_normal(128).astype(np.float32)
            name = f"{person}-{number}"
            sha256 = hashlib.sha256(name.encode()).hexdigest()
            yield NewFace(vector / np.linalg.norm(vector), model_id, chip, 0.9, f"photo:{name}.jpg", sha256)

    with GalleryStore(file, actor="tests") as store:
        for person in range(PEOPLE):
            store.add_faces(f"Person {person}", list(faces(person)))


def everybody(file: Path) -> dict[str, list[tuple[str, str]]]:
    """Each person's id with their faces' sources and crops, and each stranger's with nothing."""
    with GalleryStore(file, actor="tests") as store:
        found = {
            f"{person.id} {person.name}": sorted(
                (face.source, hashlib.sha256(store.chip_jpeg(face.id)).hexdigest())
                for face in store.faces_of(person.id)
            )
            for person in store.people()
        }
        return found | {stranger.id: [] for stranger in StrangerRecords(store.database).all()}


def embedded(file: Path) -> dict[str, int]:
    with GalleryStore(file, actor="tests") as store:
        return store.faces_by_model()


def said_by(daemon: Daemon, kind: str, model_id: str, **wanted: Any) -> Event:
    """The first event of this kind with which this model had to do."""

    def look() -> list[Event]:
        return [event for event in daemon.events(kind, **wanted) if event.model == model_id]

    return eventually(look, timeout_s=90, what=f"{kind} by {model_id}")[0]


def test_everybody_is_known_to_the_next_embedder_though_its_worker_is_killed(
    make_daemon: MakeDaemon, models: Path, comings: Path
) -> None:
    old, new = manifest_of(models, "sface").model_id, manifest_of(models, "turned").model_id
    cameras = {"door": {"url": str(comings), "capture": {"image_fps": 4}}}
    daemon = make_daemon(cameras, extra={"models_dir": str(models)})
    file = daemon.state / "gallery.sqlite"
    daemon.state.mkdir()
    add_others(file, old)
    with daemon:
        named = said_by(daemon, "face.identified", old, name=OBAMA)
        stranger = said_by(daemon, "face.unknown", old).stranger
        assert stranger is not None
        eventually(lambda: stranger in everybody(file), what="the stranger in the gallery")
        before, faces = everybody(file), embedded(file)[old]
        assert faces == PEOPLE * FACES_EACH + 1

        daemon.body["recognition"] = {"embedder": "turned"}
        daemon.write_config()
        daemon.reload()
        done = eventually(lambda: embedded(file).get(new, 0), timeout_s=90, what="first faces with the next model")
        killed = daemon.kill("worker@0")
        assert done < faces, "killed in the middle"
        assert embedded(file)[old] == faces, "the old model's vectors stay until the next one has all"

        eventually(lambda: embedded(file) == {new: faces}, timeout_s=120, what="all with the next model")
        again = said_by(daemon, "face.identified", new, name=OBAMA)
        assert again.identity is not None
        assert named.identity is not None
        assert again.identity["id"] == named.identity["id"]
        assert said_by(daemon, "face.unknown", new).stranger == stranger
        assert everybody(file) == before
        assert {event.stranger for event in daemon.events("face.unknown")} <= {stranger, None}
        assert daemon.child("worker@0").pid != killed
