"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
from galleryparts import ColourEmbedder, SquareDetector

from streamd.gallery import opening
from streamd.gallery.opening import PhotoModels


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a configuration with an empty state; its models understand coloured squares, and no daemon runs."""
    config = tmp_path / "streamd.yaml"
    config.write_text("state_dir: state\n")
    monkeypatch.setenv("STREAMD_CONFIG", str(config))
    models = PhotoModels(SquareDetector(), ColourEmbedder())
    monkeypatch.setattr(opening, "load_photo_models", lambda config: models)
    monkeypatch.setattr("streamd.forgetting.ANSWERS_WITHIN_S", 0.02)
    return tmp_path / "state"
