"""A long enrolment that is killed goes on where it stopped, and what it said is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import yaml

from streamd.gallery.audit import audit
from streamd.gallery.store import GalleryStore

PHOTOS = 16


def photos_of(portrait: Path, folder: Path) -> None:
    picture = cv2.imread(str(portrait))
    assert picture is not None
    folder.mkdir()
    for n in range(PHOTOS):
        cv2.imwrite(str(folder / f"{n:02}.jpg"), picture[n * 3 :, n * 2 :], [cv2.IMWRITE_JPEG_QUALITY, 90])


def test_an_enrolment_that_is_killed_keeps_what_it_accepted_and_goes_on(
    tmp_path: Path, models_dir: Path, faces_dir: Path
) -> None:
    photos_of(faces_dir / "obama.jpg", tmp_path / "photos")
    config = tmp_path / "streamd.yaml"
    config.write_text(yaml.safe_dump({"state_dir": str(tmp_path / "state"), "models_dir": str(models_dir)}))
    # The photos are all of one moment: only --force takes them.
    command = [
        sys.executable,
        "-m",
        "streamd",
        "enroll",
        "--force",
        "Obama",
        str(tmp_path / "photos"),
        "-c",
        str(config),
    ]
    accepted: list[str] = []
    for wanted in (1, 5):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("accepted"):
                    accepted.append(line.split("photos/")[1][:6])
                    if len(accepted) >= wanted:
                        process.kill()
                        break
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    duplicates = [line for line in done.stdout.splitlines() if line.endswith("(duplicate)")]
    assert len(duplicates) >= len(set(accepted))
    assert {line.split("photos/")[1][:6] for line in duplicates} >= set(accepted)
    with GalleryStore(tmp_path / "state" / "gallery.sqlite") as store:
        sources = [face.source for face in store.faces_of(store.person("Obama").id)]
        assert sorted(sources) == [f"photo:{n:02}.jpg" for n in range(PHOTOS)]
        assert audit(store) == []
