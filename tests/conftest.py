"""What tests share: pulled models, and freely usable photographs of real people."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shell that starts this in the background has told it, and so every child, to ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: to look for garbage in it again and again costs each process seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever wants pulled models or photographs is marked: the rest is quick, and needs no network."""
    for item in items:
        if {"models_dir", "faces_dir"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("models")


def unavailable(message: str) -> None:
    """Skip, or fail where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder of the pulled and prepared models."""
    from streamd.config import Config

    folder = Path(os.environ.get("STREAMD_TEST_MODELS") or Config().models_path)
    missing = [name for name in ("yunet", "sface", "ssd") if not (folder / f"{name}.onnx").exists()]
    if missing:
        unavailable(f"no model {', '.join(missing)} in {folder}: run 'streamd models pull'")
    return folder


@pytest.fixture(scope="session")
def faces_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with obama.jpg obama2.jpg obama3.jpg biden.jpg astronaut.png carphone_pristine.mp4."""
    from streamd.config import Config
    from streamd.demo.faces import pull_faces
    from streamd.errors import ModelError

    folder = Path(os.environ.get("STREAMD_TEST_FACES") or Config().state_dir / "demo" / "faces")
    try:
        pull_faces(folder)
    except ModelError as error:
        unavailable(f"no photographs: {error}")
    return folder
