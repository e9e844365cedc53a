"""A daemon on a real RTSP server, with one person enrolled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from e2e.daemon import Daemon
from numpy.typing import NDArray
from rtsp_fixtures import RtspServer, placed

SIZE = (640, 360)
OBAMA = "Barack Obama"

LONG = ("page", "daemon_faults", "delivery_kills", "docs", "gallery_kills", "embedder_change", "daemon_workers")
"""Files that take longest, which are begun first: the others fill what is left."""

MakeDaemon = Callable[..., Daemon]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture
def gallery(tmp_path: Path, faces_dir: Path) -> Path:
    folder = tmp_path / "gallery"
    (folder / OBAMA).mkdir(parents=True)
    shutil.copy(faces_dir / "obama.jpg", folder / OBAMA)
    return folder


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[RtspServer]:
    folder = tmp_path / "rtsp"
    folder.mkdir()
    with RtspServer(folder, size=SIZE) as server:
        yield server


@pytest.fixture
def make_daemon(tmp_path: Path, models_dir: Path, gallery: Path) -> Iterator[MakeDaemon]:
    made: list[Daemon] = []

    def make(cameras: Mapping[str, Mapping[str, Any]], **more: Any) -> Daemon:
        daemon = Daemon(tmp_path / f"d{len(made)}", models=models_dir, cameras=cameras, gallery=gallery, **more)
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.__exit__(None, None, None)


@pytest.fixture
def visits(tmp_path: Path, obama: NDArray[np.uint8], nobody: NDArray[np.uint8]) -> Path:
    """Somebody who comes for two seconds, and goes for three."""
    folder = tmp_path / "visits"
    folder.mkdir()
    for number in range(25):
        cv2.imwrite(str(folder / f"{number:03}.png"), obama if number < 10 else nobody)
    return folder


@pytest.fixture(scope="session")
def obama(faces_dir: Path) -> NDArray[np.uint8]:
    """A view with a known face of about 110 px, from a photograph that is not the enrolled one."""
    return placed(_read(faces_dir / "obama2.jpg")[100:900], SIZE, height=340)


@pytest.fixture(scope="session")
def biden(faces_dir: Path) -> NDArray[np.uint8]:
    """A view with a stranger."""
    return placed(_read(faces_dir / "biden.jpg")[50:950, 200:900], SIZE, height=340)


@pytest.fixture(scope="session")
def nobody() -> NDArray[np.uint8]:
    return np.full((SIZE[1], SIZE[0], 3), (96, 104, 100), np.uint8)


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)
