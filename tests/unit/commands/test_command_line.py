"""What every command owes whoever calls it: words in place of a stack, any file name, nothing half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import zmq.auth
from galleryparts import GREEN, RED, write_photo

from streamd.cli import main
from streamd.commands import bundle
from streamd.commands.arguments import wants_colour
from streamd.commands.outputs import admit_output
from streamd.errors import ExitCode
from streamd.gallery.vault import load_vault
from streamd.journal import Journal

Output = pytest.CaptureFixture[str]


def no_room(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def written_by(monkeypatch: pytest.MonkeyPatch, *args: object) -> tuple[int, str]:
    """Exit code, and what went to a standard output that takes UTF-8 only, as a terminal's does."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    code = main([str(a) for a in args])
    return code, out.buffer.getvalue().decode()  # type: ignore[attr-defined]  # a BytesIO


@pytest.fixture
def oddly_named(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "photos" / "anna.png", RED).rename(tmp_path / "photos" / os.fsdecode(b"caf\xe9.png"))


@pytest.mark.usefixtures("state")
def test_a_photo_whose_name_is_not_utf8_is_enrolled_and_so_is_the_next(
    oddly_named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    other = write_photo(tmp_path / "photos" / "other.png", GREEN)
    code, out = written_by(monkeypatch, "enroll", "Anna", oddly_named, other, "--force")
    assert code == 0
    assert "caf\\udce9.png: face of" in out
    assert "2 of 2 photos enrolled" in out
    assert "photo:caf\ufffd.png" in written_by(monkeypatch, "person", "show", "Anna")[1]


@pytest.mark.usefixtures("state")
def test_no_file_name_steers_the_terminal_or_begins_a_line(tmp_path: Path, capsys: Output) -> None:
    photo = write_photo(tmp_path / "red\x1b[31m\nrefused x.png", RED)
    assert main(["enroll", "Anna", str(photo)]) == 0
    assert "red\\x1b[31m\\x0arefused x.png: face of" in capsys.readouterr().out
    assert main(["gallery", "import", str(tmp_path / "\x1b[31m")]) == ExitCode.UNAVAILABLE
    assert "\\x1b[31m" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
def test_json_names_such_a_file_so_that_a_program_finds_it(oddly_named: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out = written_by(monkeypatch, "enroll", "Anna", oddly_named, "--json")
    assert code == 0
    assert Path(json.loads(out)["photos"][0]["path"]).exists()


def test_such_a_photo_is_kept_in_the_folder_under_a_name_that_the_daemon_takes(
    oddly_named: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state.parent / "streamd.yaml").write_text("state_dir: state\ngallery: {write_folder: true}\n")
    assert written_by(monkeypatch, "enroll", "Anna", oddly_named)[0] == 0
    assert [path.name for path in (state / "gallery" / "Anna").iterdir()] == ["caf\ufffd.png"]


def test_a_picture_for_a_place_that_is_not_there_is_refused_in_words(
    state: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamd.commands.explain.run", lambda args: (tmp_path / "none" / "f.jpg").write_bytes(b""))
    assert main(["explain", "1"]) == ExitCode.UNAVAILABLE
    assert capsys.readouterr().err == f"streamd explain: {tmp_path}/none/f.jpg: no such file or directory\n"


def test_a_fault_of_our_own_keeps_its_stack(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def fault(args: object) -> NoReturn:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("streamd.commands.explain.run", fault)
    assert main(["explain", "1", "--json"]) == ExitCode.INTERNAL
    done = capsys.readouterr()
    assert "Traceback" in done.err
    assert json.loads(done.out) == {"error": "internal error: OSError(9, 'Bad file descriptor')", "exit": 70}


@pytest.mark.usefixtures("state")
def test_a_program_reads_a_failure_where_it_reads_results(capsys: Output) -> None:
    assert main(["person", "show", "Nobody", "--json"]) == ExitCode.UNAVAILABLE
    done = capsys.readouterr()
    assert json.loads(done.out) == {"error": "there is no person 'Nobody' in the gallery", "exit": 69}
    assert done.err == "streamd person: there is no person 'Nobody' in the gallery\n"


def test_a_program_reads_what_is_wrong_with_its_command_line(capsys: Output) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["gallery", "undo", "x", "--json"])
    assert refused.value.code == ExitCode.USAGE
    told = json.loads(capsys.readouterr().out)
    assert told == {"error": "argument VERSION: invalid int value: 'x'", "exit": 64}


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["gallery", "calibrate", "--reset"], {"reset": False, "model": "colours@0123456789ab"}),
        (["check", "--migrate"], {"file": "streamd.yaml", "version": 1, "before": None}),
        (["events", "--redeliver", "log"], {"sink": "log", "events": 0}),
    ],
)
def test_json_is_json_whatever_is_done(state: Path, capsys: Output, args: list[str], told: dict[str, Any]) -> None:
    state.mkdir()
    config = state.parent / "streamd.yaml"
    config.write_text("state_dir: state\nsinks: {log: {kind: file, path: events.jsonl}}\n")
    assert main([*args, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found | {"file": Path(found.get("file", "")).name or None} == {"file": None} | told


@pytest.mark.parametrize("verb", [["person", "forget"], ["gallery", "calibrate"], ["user", "token"]])
def test_help_of_a_verb_says_what_it_does(capsys: Output, verb: list[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb[0], "--help"])
    listed = " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main([*verb, "--help"])
    told = capsys.readouterr().out.split("\n\n")[1]
    assert f"{verb[1]} {' '.join(told.split())}" in listed


@pytest.mark.usefixtures("state")
def test_people_get_words_alone(capsys: Output) -> None:
    main(["person", "show", "Nobody"])
    main(["enroll", "Nobody", "--", "--json"])
    assert "{" not in capsys.readouterr().out


def called(redirection: str) -> subprocess.CompletedProcess[str]:
    """``streamd check`` from a shell."""
    line = f"'{sys.executable}' -m streamd check {redirection}"
    return subprocess.run(line, shell=True, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


@pytest.mark.usefixtures("state")
def test_output_for_which_there_is_no_room_is_said_without_a_stack() -> None:
    done = called(">/dev/full")
    assert (done.returncode, done.stderr) == (ExitCode.UNAVAILABLE, "streamd check: no space left on device\n")


@pytest.mark.usefixtures("state")
def test_streams_may_be_closed() -> None:
    done = called("<&- >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [["events"], ["explain", "last"]])
def test_the_journal_of_another_user_is_refused_in_words(
    state: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def denied(path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:  # root may look anywhere: no mode keeps it out
        patch.setattr("streamd.journal.Path.exists", denied)
        patch.setattr("streamd.journal.Path", Path, raising=False)
        config = ["--config", str(state.parent / "streamd.yaml")]
        assert main([*command, *config]) == ExitCode.UNAVAILABLE
    assert f"journal {state}/journal.sqlite: permission denied; if it is the service's, " in capsys.readouterr().err


def test_the_gallery_of_another_user_is_refused_in_words(
    state: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path, *_: object, **__: object) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("streamd.gallery.database._create_private", denied)
    assert main(["person", "list"]) == ExitCode.UNAVAILABLE
    assert "call this as its user (runuser -u streamd --)" in capsys.readouterr().err


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    "args",
    [
        ["gallery", "calibrate", "--plot"],
        ["bench", "accuracy", "--pairs", "pairs.csv", "--root", ".", "--plot"],
        ["bench", "quality", "--faces", ".", "--plot"],
        ["explain", "last", "--face"],
        ["replay", __file__, "--annotate"],
    ],
)
def test_no_file_of_another_kind_is_lost_to_a_picture(tmp_path: Path, capsys: Output, args: list[str]) -> None:
    config = tmp_path / "streamd.yaml"
    assert main([*args, str(config)]) == ExitCode.USAGE
    assert f"{config} is there already, and no " in capsys.readouterr().err
    assert config.read_text() == "state_dir: state\n"
    assert main([*args, str(tmp_path / "none" / "out.png")]) == ExitCode.USAGE
    assert f"{tmp_path}/none/out.png: no such folder" in capsys.readouterr().err


def test_a_picture_is_drawn_again(tmp_path: Path) -> None:
    out = tmp_path / "roc.png"
    admit_output(out, "PNG")
    for there in (b"", b"\x89PNG\r\n"):
        out.write_bytes(there)
        admit_output(out, "PNG")
    admit_output(Path("/dev/null"), "PNG")


def test_explain_last_says_that_no_appearance_is_over(state: Path, capsys: Output) -> None:
    state.mkdir()
    with Journal(state / "journal.sqlite"):
        pass
    assert main(["explain", "last"]) == ExitCode.USAGE
    assert "no appearance is over yet" in capsys.readouterr().err


def test_nothing_is_left_of_keys_for_which_there_is_no_room(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_a_pair(folder: Path, name: str) -> None:
        (folder / f"{name}.key").touch()
        no_room()

    with monkeypatch.context() as patch:
        patch.setattr(zmq.auth, "create_certificates", half_a_pair)
        assert main(["keys", "new", "worker", "--dir", str(tmp_path)]) == ExitCode.UNAVAILABLE
    assert not list(tmp_path.iterdir())
    assert main(["keys", "new", "worker", "--dir", str(tmp_path)]) == 0


def test_nothing_is_left_of_a_gallery_key_for_which_there_is_no_room(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        assert main(["gallery", "new-key", str(key)]) == ExitCode.UNAVAILABLE
    assert not key.exists()
    assert main(["gallery", "new-key", str(key)]) == 0
    assert load_vault(key)


def test_nothing_is_left_of_a_bundle_for_which_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle.tarfile.TarFile, "addfile", no_room)
    with pytest.raises(Exception, match="cannot be written: No space left") as refused:
        bundle._write(tmp_path / "report.tar.gz", {"a.txt": "a"})
    assert getattr(refused.value, "exit_code", None) == ExitCode.UNAVAILABLE
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_none_are_refused_in_words(capsys: Output) -> None:
    for args in (["person", "split", "Ann", "Bea", "--faces", "x"], ["events", "--last", "x"]):
        with pytest.raises(SystemExit) as refused:
            main(args)
        assert refused.value.code == ExitCode.USAGE
        said = capsys.readouterr().err
        assert "'x' is no" in said
        assert "_number" not in said


@pytest.mark.parametrize(
    ("value", "terminal_kind", "colour"),
    [(None, "xterm", True), ("", "xterm", True), ("1", "xterm", False), (None, "dumb", False)],
)
def test_no_color_is_heeded_and_a_terminal_without_colours(
    monkeypatch: pytest.MonkeyPatch, value: str | None, terminal_kind: str, colour: bool
) -> None:
    terminal: Any = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", terminal_kind)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if value is not None:
        monkeypatch.setenv("NO_COLOR", value)
    assert wants_colour() is colour


@pytest.mark.usefixtures("state")
def test_options_may_stand_among_what_is_given(tmp_path: Path, capsys: Output) -> None:
    red, green = write_photo(tmp_path / "red.png", RED), write_photo(tmp_path / "green.png", GREEN)
    assert main(["enroll", "Anna", "--dry-run", str(red), "--force", str(green)]) == 0
    assert "Anna: 2 of 2 photos would be enrolled" in capsys.readouterr().out
    assert main(["enroll", "--dry-run", "--", "-x", str(red)]) == 0
    assert "-x: 1 of 1 photo would be enrolled" in capsys.readouterr().out


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    "args",
    [
        ["verify", "a.jpg", "b.jpg", "--threshold", "nan"],
        ["verify", "a.jpg", "b.jpg", "--threshold", "2"],
        ["enroll", "Anna", "clip.mp4", "--views", "0"],
        ["enroll", "Anna", "clip.mp4", "--seconds", "0"],
        ["enroll", "Anna", "clip.mp4", "--seconds", "nan"],
    ],
)
def test_numbers_that_mean_nothing_are_refused(capsys: Output, args: list[str]) -> None:
    assert main(args) == ExitCode.USAGE
    assert args[-2] in capsys.readouterr().err
