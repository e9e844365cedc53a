"""Changing a configuration file by program."""

import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from streamd.configediting import ConfigFile, edited, section
from streamd.errors import ConfigError, UnavailableError, UsageError

TEXT = """\
# the door of the house
version: 1
state_dir: ~/x   # here

cameras:
    door:  # front
        url: "rtsp://a:${PASSWORD:-b}@192.0.2.1/s"   # quoted
        zones: {step: {points: [[0.2, 0.3], [0.8, 0.3], [0.8, 1]]}}
        masks:
        - [[0, 0], [0.3, 0], [0, 0.2]]
# the end
gateway: {}
"""


def add(name: str, url: str) -> Any:
    def change(document: MutableMapping[str, Any]) -> None:
        section(document, "cameras", name)["url"] = url

    return change


def write(folder: Path, text: str = TEXT) -> ConfigFile:
    path = folder / "streamd.yaml"
    path.write_text(text)
    return ConfigFile(path)


def test_nothing_but_the_change_changes() -> None:
    after = edited(TEXT, add("yard", "rtsp://192.0.2.2/s"))
    assert after == TEXT.replace("# the end\n", "# the end\n    yard:\n        url: rtsp://192.0.2.2/s\n") or (
        after == TEXT.replace("# the end\n", "    yard:\n        url: rtsp://192.0.2.2/s\n# the end\n")
    )


def test_a_change_of_nothing_gives_the_same_text() -> None:
    assert edited(TEXT, lambda document: None) == TEXT


def test_an_empty_section_is_opened() -> None:
    def change(document: MutableMapping[str, Any]) -> None:
        section(document, "gateway", "users")["ana"] = {"role": "admin"}

    assert edited(TEXT, change).endswith("gateway:\n    users:\n        ana:\n            role: admin\n")


def test_the_file_is_replaced_with_its_mode_and_read_anew(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.path.chmod(0o640)
    assert list(file.config().cameras) == ["door"]
    config = file.edit(add("yard", "rtsp://192.0.2.2/s"))
    assert list(config.cameras) == list(file.config().cameras) == ["door", "yard"]
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["streamd.yaml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file = write(tmp_path)
    link = tmp_path / "link.yaml"
    link.symlink_to(file.path)
    ConfigFile(link).edit(add("yard", "rtsp://192.0.2.2/s"))
    assert link.is_symlink()
    assert "yard" in file.path.read_text()


def test_what_would_not_be_valid_is_not_written(tmp_path: Path) -> None:
    file = write(tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'rtsp'"):
        file.edit(add("yard", "rstp://192.0.2.2/s"))
    assert file.path.read_text() == TEXT


def test_a_change_by_somebody_else_meanwhile_is_not_lost(tmp_path: Path) -> None:
    file = write(tmp_path)

    def change(document: MutableMapping[str, Any]) -> None:
        file.path.write_text(TEXT + "# somebody was here\n")
        add("yard", "rtsp://192.0.2.2/s")(document)

    with pytest.raises(UsageError, match="changed by somebody else"):
        file.edit(change)
    assert file.path.read_text().endswith("# somebody was here\n")


@pytest.mark.parametrize("text", ["- a\n", "", "a: [\n"])
def test_what_is_no_mapping_cannot_be_changed(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be changed"):
        edited(text, lambda document: None)


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        ConfigFile(tmp_path / "none.yaml").edit(lambda document: None)


def test_two_threads_may_read_while_it_is_replaced(tmp_path: Path) -> None:
    file = write(tmp_path)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            try:
                assert "door" in ConfigFile(file.path).config().cameras
            except (ConfigError, AssertionError, KeyError) as error:
                failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(20):
        file.edit(add(f"yard{n}", "rtsp://192.0.2.2/s"))
    stop.set()
    thread.join()
    assert failures == []
