from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamd.config import Config, redact, redacted_url
from streamd.configfile import MAX_BYTES, load_config, load_text
from streamd.errors import ConfigError, ConfigProblem
from streamd.events import timestamp

BASE = Path("/srv/cams")
URL = "url: rtsp://192.0.2.1/s"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STREAMD_CONFIG", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "PASSWORD", "EMPTY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/streamd")


def load(text: str) -> Config:
    return load_text(text, file="s.yaml", base=BASE)


def problems(text: str) -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return list(caught.value.problems)


def only(text: str) -> ConfigProblem:
    found = problems(text)
    assert len(found) == 1, [str(p) for p in found]
    return found[0]


def test_a_file_with_only_its_version_takes_every_default() -> None:
    assert load("version: 1") == Config()


def test_a_camera_inherits_the_global_sections_key_by_key() -> None:
    config = load(
        "capture: {loop: false, retry_min_s: 2}\ncameras:\n"
        f"  door: {{{URL}, capture: {{retry_min_s: 3}}}}\n  yard: {{{URL}}}\n"
    )
    door, yard = config.cameras["door"].capture, config.cameras["yard"].capture
    assert (door.loop, door.retry_min_s) == (False, 3)
    assert (yard.loop, yard.retry_min_s) == (False, 2)


def test_a_camera_can_empty_what_the_global_section_sets() -> None:
    config = load(
        f"recognition: {{threshold: 0.5}}\ncameras:\n  door:\n    {URL}\n    recognition:\n      threshold:\n"
    )
    assert config.cameras["door"].recognition.threshold is None


def test_sections_left_empty_mean_their_defaults() -> None:
    config = load(f"capture:\ncameras:\n  door:\n    {URL}\n    detection:\n")
    assert config.capture == Config().capture
    assert config.cameras["door"].detection == Config().detection


def test_all_problems_come_at_once_sorted_by_line() -> None:
    found = problems("stat_dir: x\ncapture:\n  read_timeout_s: -3\nworkers: {count: many}\nlog:\n  level: loud\n")
    assert [(p.line, p.column, p.path) for p in found] == [
        (1, 1, "stat_dir"),
        (3, 3, "capture.read_timeout_s"),
        (4, 11, "workers.count"),
        (6, 3, "log.level"),
    ]


@pytest.mark.parametrize(
    ("text", "position", "path", "message"),
    [
        ("stat_dir: x", (1, 1), "stat_dir", "unknown key; did you mean 'state_dir'?"),
        ("threshold: 0.4", (1, 1), "threshold", "unknown key; it belongs in 'recognition'"),
        ("url: a", (1, 1), "url", "unknown key; it belongs in 'cameras.<name>'"),
        ("gateway: {xyzzy: 1}", (1, 11), "gateway.xyzzy", "unknown key; known here: certificate, enabled, key"),
        ("capture:\n  loop: maybe", (2, 3), "capture.loop", "should be true or false, not 'maybe'"),
        ("capture: 3", (1, 1), "capture", "should hold 'key: value' lines, not '3'"),
        ("capture: [1]", (1, 1), "capture", "should hold 'key: value' lines, not a list"),
        ("workers: {count: 1.5}", (1, 11), "workers.count", "should be a whole number, not '1.5'"),
        ("workers: {threads: }", (1, 11), "workers.threads", "but is empty; leave the key out"),
        (
            "workers: {device: gpu}",
            (1, 11),
            "workers.device",
            "should be auto, cpu, or cuda:0, or a list of these, not 'gpu'",
        ),
        (
            "events: {publish: foo}",
            (1, 10),
            "events.publish",
            "should be like tcp://127.0.0.1:5571, or ipc:///run/streamd/events, not 'foo'",
        ),
        ("events: {publish: 'ipc://events'}", (1, 10), "events.publish", "or ipc:///run/streamd/events, not"),
        ("gateway: {listen: '0.0.0.0'}", (1, 11), "gateway.listen", "should be an address and a port"),
        ("log: {level: loud}", (1, 7), "log.level", "should be debug, info, warning or error, not 'loud'"),
        ("recognition: {embedder: 5}", (1, 15), "recognition.embedder", "should be text"),
        ("capture: {read_timeout_s: .inf}", (1, 27), "capture.read_timeout_s", "should be a finite number"),
        ("capture: {read_timeout_s: 'inf'}", (1, 27), "capture.read_timeout_s", "should be a finite number"),
        ("state_dir: ''", (1, 1), "state_dir", "should not be empty"),
        ("version: 0", (1, 1), "version", "should be 1, not '0'"),
        ("log: {level: info, level: debug}", (1, 20), "log.level", "given twice (first in line 1)"),
        ("workers: {count: !!binary aGk=}", (1, 18), "workers.count", "is not understood"),
        ("log: !thing {level: info}", (1, 6), "log", "the tag '!thing' is not understood"),
        ("? [1]\n: 2", (1, 3), "", "a key should be text"),
        ('state_dir: "a\\0b"', (1, 12), "state_dir", "a character that no text can have"),
        ('state_dir: "\\ud800"', (1, 12), "state_dir", "a character that no text can have"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(text: str, position: tuple[int, int], path: str, message: str) -> None:
    problem = only(text)
    assert ((problem.line, problem.column), problem.path) == (position, path)
    assert message in problem.message


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("events", "retention_days"),
        ("snapshots", "retention_days"),
        ("gallery", "unknown_retention_days"),
        ("gallery", "undo_days"),
    ],
)
def test_times_in_days_are_such_that_there_is_a_date_so_long_ago(section: str, key: str) -> None:
    days = getattr(getattr(load(f"{section}: {{{key}: 36500}}"), section), key)
    assert timestamp(-days * 86400).startswith("1870")  # of a clock that was not set
    assert "36500" in only(f"{section}: {{{key}: 1000000}}").message
    assert "36500" in only("gallery: {retention_days: {group=visitor: 1000000}}").message


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", (1, 1), "the file is empty"),
        ("# nothing\n", (1, 1), "the file is empty"),
        ("- a\n", (1, 1), "not a list"),
        ("word", (1, 1), "not a single value"),
        ("a: b: c", (1, 5), "a ':' where no key can be"),
        ("capture:\n\tloop: true", (2, 1), "a tab"),
        ("a: 1\n---\nb: 2", (2, 1), "a second document"),
        ("a: *nowhere", (1, 4), "undefined alias"),
        ("a: 'open", (1, 9), "not YAML"),
        ("a: \x07", (1, 4), "U+0007"),
        ("a: " + "[" * 100, (1, 27), "nested more than 24 levels"),
        ("a: &x [*x]", (1, 4), "aliases that expand without end"),
    ],
)
def test_text_that_is_no_configuration_is_refused(text: str, position: tuple[int, int], message: str) -> None:
    problem = only(text)
    assert (problem.line, problem.column) == position
    assert message in problem.message


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "aliases that expand without end" in only("\n".join(lines)).message


def test_anchors_and_merge_keys_work_and_own_keys_win() -> None:
    config = load(
        f"cameras:\n  a: &a\n    {URL}\n    capture: {{loop: false}}\n    tracking: {{min_hits: 3}}\n"
        "  b:\n    <<: *a\n    tracking: {min_hits: 4}\n"
    )
    assert config.cameras["b"].url == "rtsp://192.0.2.1/s"
    assert not config.cameras["b"].capture.loop
    assert config.cameras["b"].tracking.min_hits == 4


def test_a_problem_in_an_anchor_is_reported_once() -> None:
    found = only(f"cameras:\n  a: &a\n    {URL}\n    capture: {{lop: false}}\n  b: *a\n  c:\n    <<: *a\n")
    assert (found.line, found.path) == (4, "cameras.a.capture.lop")


def test_a_problem_in_a_global_section_is_reported_once_where_it_stands() -> None:
    found = only(f"cameras:\n  a: {{{URL}}}\n  b: {{{URL}}}\nrecognition:\n  threshold: 1.5\n")
    assert (found.line, found.path) == (5, "recognition.threshold")


def test_a_refused_url_does_not_also_count_as_missing() -> None:
    assert only("cameras:\n  door:\n    url: 5\n").path == "cameras.door.url"


def test_a_camera_without_url_is_reported_beside_its_other_problems() -> None:
    found = problems("cameras:\n  door:\n    capture: {loop: perhaps}\n")
    assert [p.path for p in found] == ["cameras.door", "cameras.door.capture.loop"]


def test_keys_are_text_whatever_yaml_makes_of_them() -> None:
    assert list(load(f"cameras: {{on: {{{URL}}}, 007: {{{URL}}}}}").cameras) == ["on", "007"]


def test_numbers_are_decimal() -> None:
    assert load("workers: {threads: 010}").workers.threads == 10


# Substitution


def test_variables_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "se${X}cret")
    config = load("cameras: {door: {url: 'rtsp://u:${PASSWORD}@h/${STREAM:-main}$$1$'}}")
    assert config.cameras["door"].url == "rtsp://u:se${X}cret@h/main$1$"


def test_a_default_stands_in_for_an_empty_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    assert load("workers: {count: '${EMPTY:-3}'}").workers.count == 3


def test_a_missing_variable_is_reported_where_it_stands() -> None:
    problem = only("cameras:\n  door:\n    url: rtsp://u:${PASSWORD}@h/s\n")
    assert (problem.line, problem.column, problem.path) == (3, 19, "cameras.door.url")
    assert "PASSWORD is not set" in problem.message


@pytest.mark.parametrize("expression", ["${", "${1x}", "${A-b}", "${cred:../x}", "${cred:}", "${a${b}}"])
def test_malformed_expressions_are_refused(expression: str) -> None:
    assert only(f"state_dir: 'x{expression}'").path == "state_dir"


def test_credentials_come_from_systemds_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "door").write_text("pa ss\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert load("cameras: {door: {url: 'rtsp://u:${cred:door}@h/'}}").cameras["door"].url == "rtsp://u:pa ss@h/"


def test_a_missing_credential_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert "credential 'door' cannot be read" in only("state_dir: ${cred:door}").message


def test_a_substituted_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "geheim")
    assert "geheim" not in str(only("log: {level: '${PASSWORD}'}"))


@pytest.mark.parametrize("url", ["rstp://bob:geheim@h/s", "rtsp://bob:geheim@", "rtsp://bob:ge/heim@h"])
def test_a_password_in_a_url_is_never_shown(url: str) -> None:
    assert "heim" not in str(only(f"cameras: {{door: {{url: '{url}'}}}}"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://cam/1?token=geheim#x", "rtsp://cam/1"),
        ("rtsp://bob:geheim@cam:554/1?x=1", "rtsp://***@cam:554/1"),
        ("rtsp://bob:ge#heim@cam/1", "rtsp://***@cam/1"),
        ("rtsp://bob:ge/h?eim@cam/1", "rtsp://***@cam/1"),
        ("rtsp://bob:geheim@[::1", "rtsp://***@[::1"),
        ("rtsp://cam/user=bob_password=ge_heim_channel=1.sdp", "rtsp://cam/user=bob_password=***"),
        ("rtsp://cam/user=bob&Passwd=geheim&stream=0.sdp?real", "rtsp://cam/user=bob&Passwd=***"),
        ("http://cam/pwd=/1", "http://cam/pwd=***"),
        ("/videos/a?b#c.mp4", "/videos/a?b#c.mp4"),
    ],
)
def test_an_address_is_shown_without_its_password_though_it_is_none(url: str, shown: str) -> None:
    assert redacted_url(url) == shown
    assert redact(f"{redacted_url(url)}: gone") == f"{shown}: gone"
    assert "heim" not in redact(f"cannot open '{url}'")


# Paths


def test_relative_paths_start_at_the_files_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    config = load(
        "state_dir: state\nmodels_dir: ~/models\nruntime_dir: /run/x\n"
        "gallery: {folder: ../people, key_file: gallery.key, kind: milvus, uri: ~/lite.db}\n"
        "frames: {listen: 'tcp://127.0.0.1:5570', server_key: keys/w, clients: keys/c}\n"
        f"cameras:\n  a: {{url: clips/a.mp4}}\n  b: {{url: /dev/video0}}\n  c: {{{URL}}}\n"
    )
    assert config.state_dir == BASE / "state"
    assert config.models_dir == Path("/home/ann/models")
    assert config.runtime_dir == Path("/run/x")
    assert config.gallery.folder == BASE / "../people"
    assert config.gallery.key_file == BASE / "gallery.key"
    assert config.gallery.uri == "/home/ann/lite.db"
    assert config.frames.server_key == BASE / "keys/w"
    assert config.frames.clients == BASE / "keys/c"
    assert [c.url for c in config.cameras.values()] == [str(BASE / "clips/a.mp4"), "/dev/video0", "rtsp://192.0.2.1/s"]


def test_the_home_of_nobody_is_a_problem() -> None:
    assert only("state_dir: ~nobody-of-this-name/x").path == "state_dir"


# Finding and reading the file


def test_the_variable_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("workers: {count: 2}")
    monkeypatch.setenv("STREAMD_CONFIG", str(tmp_path / "a.yaml"))
    assert load_config(None).workers.count == 2


def test_the_working_directorys_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "streamd.yaml").write_text("workers: {count: 3}\nstate_dir: here")
    monkeypatch.chdir(tmp_path)
    config = load_config(None)
    assert (config.workers.count, config.state_dir) == (3, tmp_path / "here")


def test_without_any_file_the_defaults_apply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamd.configfile.STANDARD_FILES", (Path("streamd.yaml"),))
    assert load_config(None) == Config()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: \xff", "2:1: byte 0xff is not UTF-8"),
        ("version: 1".encode("utf-16"), "is not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "larger than 1000000 bytes"),
    ],
)
def test_bytes_that_are_no_configuration_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"s\.yaml") as caught:
        load_config(path)
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert load_config(path) == Config()


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: no such file"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(tmp_path)


# Rules


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("frames: {listen: 'tcp://0.0.0.0:5570'}", "frames.listen", "give frames.server_key and frames.clients"),
        (
            "frames: {listen: 'tcp://127.0.0.1:5570', server_key: k}",
            "frames.server_key",
            "server_key and clients belong together",
        ),
        ("cameras: {a: {remote: true}}", "cameras.a.remote", "needs frames.listen"),
        ("gateway: {listen: '127.0.0.1:5572'}", "gateway.listen", "port 5572 is asked for twice: events.replay"),
        ("gateway: {listen: 'localhost:5572'}", "gateway.listen", "port 5572 is asked for twice"),
        ("events: {publish: 'tcp://127.0.0.1:70000'}", "events.publish", "port 70000 does not exist"),
        (
            "frames: {listen: 'tcp://127.0.0.1:5570'}\nworkers: {count: 2}",
            "frames.listen",
            "frames.listen of worker 1",
        ),
        ("events: {publish: 'tcp://0.0.0.0:5571'}", "events.publish", "unencrypted"),
        ("events: {publish: 'ipc:///e', replay: 'ipc:///e'}", "events.replay", "is events.publish, too"),
        (f"runtime_dir: /{'x' * 100}", "runtime_dir", "set runtime_dir to a shorter path"),
        ("cameras: {a: {url: 'rstp://h/s'}}", "cameras.a.url", "did you mean 'rtsp'?"),
        ("cameras: {a: {url: 'rtsp:///s'}}", "cameras.a.url", "'rtsp' is not followed by a host"),
        ("cameras: {a: {url: 'rtsp://u:p/w@h/s'}}", "cameras.a.url", "percent-encoded"),
        ("cameras: {a: {url: 'rtsp://u:p[w]@h/s'}}", "cameras.a.url", "percent-encoded"),
        ("sinks: {a: {kind: mqtt, url: 'mqtts://u:p[w]@h'}}", "sinks.a.url", "percent-encoded"),
        ("cameras: {a: {url: 'rtsp://h/1', substream: 'rtsp:///2'}}", "cameras.a.substream", "not followed by a host"),
        ("capture: {retry_min_s: 50}", "capture.retry_min_s", "(50) is more than retry_max_s (30)"),
        ("supervision: {stall_after_s: 0.2}", "supervision.stall_after_s", "heartbeat_s (1) is more than"),
        ("recognition: {max_views: 1}", "recognition.max_views", "min_views (2) is more than max_views (1)"),
        (
            "cameras: {a: {url: 'rtsp://h/1', recognition: {embedder: dlib_resnet}}}",
            "cameras.a.recognition.embedder",
            "one gallery has one embedder, 'sface'",
        ),
    ],
)
def test_a_broken_rule_is_reported_at_a_key_that_the_file_gives(text: str, path: str, message: str) -> None:
    problem = only(text)
    assert problem.path == path
    assert message in problem.message
    assert problem.line


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ("{url: 'rtsp://h/1', substream: 'http://bob:geheim@h/2'}", "the substream must be rtsp:// or rtsps://"),
        ("{url: /videos/a.mp4, substream: 'rtsp://bob:geheim@h/2'}", "the url must be rtsp:// or rtsps://"),
        ("{remote: true, substream: 'rtsp://bob:geheim@h/2'}", "on the host that captures the camera"),
    ],
)
def test_a_substream_goes_with_a_stream_of_the_same_kind(camera: str, message: str) -> None:
    problem = only(f"frames: {{listen: 'tcp://127.0.0.1:5570'}}\ncameras: {{a: {camera}}}")
    assert message in problem.message
    assert "geheim" not in str(problem)


def test_a_listener_with_both_keys_may_be_reached_from_outside() -> None:
    config = load("frames: {listen: 'tcp://0.0.0.0:5580', server_key: k, clients: c}\ncameras: {a: {remote: true}}")
    assert config.cameras["a"].remote


def test_the_same_port_on_different_loopback_addresses_is_fine() -> None:
    assert load("gateway: {listen: '127.0.0.2:5572'}").gateway.listen == "127.0.0.2:5572"


def test_the_embedder_of_all_cameras_may_be_named_again_at_one() -> None:
    cameras = "cameras: {a: {url: '/a.mp4', recognition: {embedder: other}}, b: {url: '/b.mp4'}}"
    text = f"recognition: {{embedder: other}}\n{cameras}"
    assert {camera.recognition.embedder for camera in load(text).cameras.values()} == {"other"}


def test_rules_are_checked_beside_other_problems() -> None:
    found = problems("log: {level: loud}\nevents: {publish: 'tcp://0.0.0.0:5571'}")
    assert [p.path for p in found] == ["log.level", "events.publish"]


def test_the_module_loads_neither_numpy_nor_zmq() -> None:
    code = "import sys, streamd.configfile; print(*{'numpy', 'zmq', 'cv2', 'av'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_sink_needs_a_kind_that_exists() -> None:
    assert only("sinks: {a: {url: x}}").message == "'kind' is needed: mqtt, nats, webhook, file, command"
    assert only("sinks: {a: {kind: fax}}").message == "'kind' should be one of mqtt, nats, webhook, file, command"


@pytest.mark.parametrize(
    ("sink", "path", "message"),
    [
        ("{kind: webhook}", "sinks.a.url", "is needed"),
        ("{kind: file, path: x, urk: 1}", "sinks.a.urk", "unknown key; known here"),
        ("{kind: webhook, url: 'ftp://h/'}", "sinks.a.url", "should begin with http:// or https://"),
        ("{kind: mqtt, url: 'mqtt://127.0.0.1:99999'}", "sinks.a.url", "port 99999 does not exist"),
        ("{kind: mqtt, url: 'mqtt://'}", "sinks.a.url", "is not followed by a host"),
        ("{kind: mqtt, url: 'mqtt://192.0.2.1'}", "sinks.a.url", "unencrypted; use mqtts://, or say plain: true"),
        ("{kind: file, path: x, types: [face.seen]}", "sinks.a.types", "no events of the type 'face.seen'"),
        ("{kind: file, path: x, cameras: [attic]}", "sinks.a.cameras", "there is no camera 'attic'"),
        ("{kind: command, command: []}", "sinks.a.command", "at least 1 item"),
    ],
)
def test_what_is_wrong_with_a_sink_is_said_at_its_key(sink: str, path: str, message: str) -> None:
    problem = only(f"sinks:\n  a: {sink}\n")
    assert problem.path == path
    assert message in problem.message
    assert problem.line == 2


def test_a_password_in_a_sinks_url_is_never_shown() -> None:
    assert "secret" not in str(only("sinks: {a: {kind: mqtt, url: 'mqtt://me:secret@192.0.2.1'}}"))


def test_paths_of_sinks_are_relative_to_the_file() -> None:
    sink = load("sinks: {a: {kind: file, path: events.jsonl}}").sinks["a"]
    assert sink.path == BASE / "events.jsonl"  # type: ignore[union-attr]


def test_zones_and_masks_belong_to_a_camera() -> None:
    corners = "[[0, 0], [1, 0], [1, 1]]"
    config = load(
        f"cameras: {{door: {{{URL}, zones: {{step: {{points: {corners}, dwell_s: 2}}}}, masks: [{corners}]}}}}"
    )
    assert config.cameras["door"].zones["step"].dwell_s == 2
    assert config.cameras["door"].masks == (((0, 0), (1, 0), (1, 1)),)
    problem = only(f"cameras: {{door: {{{URL}, zones: {{step: {{points: {corners}, dwel_s: 2}}}}}}}}")
    assert problem.message == "unknown key; did you mean 'dwell_s'?"


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("[[0, 0], [1, 1]]", "should have at least 3 items, not 2"),
        ("3", "should be a list, not '3'"),
        ("[[0, 0], [2, 0], [1, 1]]", "should be less than or equal to 1, not '2'"),
    ],
)
def test_corners_that_are_none_are_refused_in_words(points: str, message: str) -> None:
    found = only(f"cameras: {{door: {{{URL}, zones: {{step: {{points: {points}}}}}}}}}")
    assert found.path.startswith("cameras.door.zones.step.points")
    assert found.message == message


def test_a_sink_that_lacks_something_does_not_hide_what_is_wrong_with_the_others() -> None:
    found = problems("sinks:\n  a: {kind: file}\n  b: {kind: mqtt, url: 'ftp://h'}\n")
    assert [p.path for p in found] == ["sinks.a.path", "sinks.b.url"]


def test_a_camera_that_browsers_send_to_has_no_more_of_an_address() -> None:
    assert load("cameras: {phone: {url: 'whip://'}}").cameras["phone"].is_whip
    assert not load("cameras: {door: {url: whippet.mp4}}").cameras["door"].is_whip
    for wrong in ("whip:phone", "whip://h/phone", "WHIP:"):
        assert "should be just 'whip://'" in only(f"cameras: {{phone: {{url: '{wrong}'}}}}").message


def test_the_longest_socket_of_a_camera_that_browsers_send_to_counts() -> None:
    name = "a" * 50
    camera = f"cameras: {{{name}: {{url: 'whip://'}}}}"
    assert "runtime_dir" in only(f"runtime_dir: /{'x' * 60}\n{camera}").path
    load(f"runtime_dir: /{'x' * 30}\n{camera}")
