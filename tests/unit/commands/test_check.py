from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from streamd.cli import main
from streamd.config import SECTIONS_PER_CAMERA, CameraConfig, Config
from streamd.configfile import load_config, load_text
from streamd.errors import ExitCode

REPOSITORY = Path(__file__).parents[3]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", (REPOSITORY / "docs" / "configuration.md").read_text(), re.M | re.S)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMD_CONFIG", "RUNTIME_DIRECTORY", "DOOR_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/streamd")
    monkeypatch.setenv("DOOR_PASSWORD", "geheim")


def test_a_good_file_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("cameras: {a: {url: a.mp4}, b: {url: b.mp4}}")
    assert main(["check", "-c", str(path)]) == ExitCode.OK
    assert capsys.readouterr().out == f"{path}: ok, 2 cameras\n"


def test_problems_go_to_standard_error_with_their_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("stat_dir: x\nlog: {level: loud}\n")
    assert main(["check", "-c", str(path)]) == ExitCode.CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        [f"{path}:1:1", "stat_dir"],
        [f"{path}:2:7", "log.level"],
    ]


def test_problems_come_as_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("stat_dir: x")
    assert main(["check", "--json", "-c", str(path)]) == ExitCode.CONFIG
    body = json.loads(capsys.readouterr().out)
    assert (body["ok"], body["problems"][0]["line"], body["problems"][0]["path"]) == (False, 1, "stat_dir")


def test_a_good_file_comes_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--json", "-c", str(REPOSITORY / "config" / "minimal.yaml")]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["cameras"] == 1


def test_the_schema_knows_every_section_of_a_camera(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == ExitCode.OK
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(Config.model_fields)
    assert set(SECTIONS_PER_CAMERA) <= set(schema["$defs"]["CameraConfig"]["properties"])
    assert schema["$defs"]["CaptureConfig"]["properties"]["loop"]["description"]


def test_the_shipped_file_is_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--print-defaults"]) == ExitCode.OK
    assert capsys.readouterr().out == (REPOSITORY / "config" / "streamd.yaml").read_text()


def test_the_manual_loads_as_all_defaults() -> None:
    assert load_config(REPOSITORY / "config" / "streamd.yaml") == Config()


def test_the_manual_names_every_key() -> None:
    text = (REPOSITORY / "config" / "streamd.yaml").read_text()
    given = yaml.safe_load(text)
    for name, value in Config().model_dump().items():
        if isinstance(value, dict) and name != "cameras":
            assert set(given[name]) == set(value)
        else:
            assert re.search(rf"^(# )?{name}:", text, re.M), name
    for name in set(CameraConfig.model_fields) - set(SECTIONS_PER_CAMERA):
        assert f"# {name}: " in text


def test_the_manuals_example_cameras_are_valid() -> None:
    text = (REPOSITORY / "config" / "streamd.yaml").read_text()
    head, _, rest = text.partition("cameras: {}\n")
    examples = "".join(line[2:] + "\n" for line in rest.split("\n\n")[0].splitlines())
    listen = "frames: {listen: 'tcp://127.0.0.1:5570'}\n"
    config = load_text(f"cameras:\n{examples}{listen}", file="s.yaml", base=Path("/srv"))
    assert list(config.cameras) == ["door", "yard"]
    assert head


def test_the_minimal_file_fits_twelve_lines() -> None:
    assert len((REPOSITORY / "config" / "minimal.yaml").read_text().splitlines()) <= 12


def test_the_documentation_has_examples() -> None:
    assert len(BLOCKS) >= 5


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_in_the_documentation_is_valid(block: str) -> None:
    assert load_text(block, file="configuration.md", base=Path("/srv")).cameras


def test_the_documentations_problems_are_the_programs(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "configuration.md").read_text()
    file = "version: 1\ncameras:\n  door:\n    url: a.mp4\n    urll: a.mp4\n\ncapture:\n  read_timeout_s: -3\n"
    with pytest.raises(Exception, match="unknown key") as caught:
        load_text(file, file="streamd.yaml", base=tmp_path)
    for line in str(caught.value).splitlines():
        assert line in text


SHIPPED = sorted(path for where in (".", "fleet") for path in (REPOSITORY / "config" / where).glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_editors_find_nothing_wrong_with_the_shipped_files(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--schema"])
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text()))) == []


def test_an_editor_marks_a_wrong_key(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--schema"])
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    assert len(list(validator.iter_errors({"cameras": {"door": {"uri": "x"}}}))) == 1


def test_a_damaged_gallery_and_missing_models_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gallery.sqlite").write_bytes(b"no database" * 1000)
    path = tmp_path / "s.yaml"
    path.write_text("state_dir: state\n")
    assert main(["check", "-c", str(path)]) == ExitCode.UNAVAILABLE
    err = capsys.readouterr().err
    assert "gallery.sqlite: " in err
    assert "model yunet: is not in" in err
    assert "model sface: is not in" in err
    assert main(["check", "-c", str(path), "--json"]) == ExitCode.UNAVAILABLE
    assert len(json.loads(capsys.readouterr().out)["faults"]) == 3
    assert main(["check", "-c", str(path), "--only-config"]) == ExitCode.OK


def test_intact_models_are_no_fault(tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").mkdir()
    path = tmp_path / "s.yaml"
    path.write_text(f"state_dir: state\nmodels_dir: {models_dir}\n")
    assert main(["check", "-c", str(path)]) == ExitCode.OK
    assert capsys.readouterr().err == ""
