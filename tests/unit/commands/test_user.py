"""``streamd user``: the file's users, without anybody's password."""

import io
import json
from pathlib import Path

import pytest

from streamd.access import password_fits, token_fits
from streamd.cli import main
from streamd.configfile import load_config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "streamd.yaml"
    path.write_text("# mine\nversion: 1\n")
    return path


def user(file: Path, monkeypatch: pytest.MonkeyPatch, *args: str, typed: str = "") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return main(["user", args[0], "-c", str(file), *args[1:]])


def test_a_user_is_added_with_a_password_from_standard_input(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user(file, monkeypatch, "add", "ana", "--role", "admin", typed="correct horse\n") == 0
    assert "ana may log in as an admin" in capsys.readouterr().out
    ana = load_config(file).gateway.users["ana"]
    assert (ana.role, password_fits("correct horse", ana.password)) == ("admin", True)
    assert ana.password.startswith("scrypt:32768:"), "a try takes long"
    assert "correct horse" not in file.read_text()
    assert file.read_text().startswith("# mine\n")


@pytest.mark.parametrize("typed", ["", "short\n", "x" * 257 + "\n"])
def test_a_password_has_a_length(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    assert user(file, monkeypatch, "add", "ana", typed=typed) == 64
    assert "8 to 256 characters" in capsys.readouterr().err


def test_a_password_is_changed_and_a_user_taken_away(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user(file, monkeypatch, "add", "ana", "--role", "operator", typed="correct horse\n")
    assert user(file, monkeypatch, "add", "ana", typed="battery staple\n") == 64
    assert user(file, monkeypatch, "passwd", "ana", typed="battery staple\n") == 0
    ana = load_config(file).gateway.users["ana"]
    assert (ana.role, password_fits("battery staple", ana.password)) == ("operator", True)
    assert user(file, monkeypatch, "remove", "ana") == 0
    assert load_config(file).gateway.users == {}
    assert user(file, monkeypatch, "remove", "ana") == 64
    assert user(file, monkeypatch, "passwd", "ana", typed="battery staple\n") == 64


def test_a_token_is_shown_once(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert user(file, monkeypatch, "token", "prometheus", "--json") == 0
    token = json.loads(capsys.readouterr().out)["token"]
    assert token_fits(token, load_config(file).gateway.tokens["prometheus"].token)
    assert token not in file.read_text()
    user(file, monkeypatch, "list")
    assert capsys.readouterr().out.split() == ["prometheus", "token", "viewer"]


def test_a_token_that_a_program_uses_is_not_replaced_unasked(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert user(file, monkeypatch, "token", "prometheus", "--role", "admin") == 0
    before = load_config(file).gateway.tokens["prometheus"]
    assert user(file, monkeypatch, "token", "prometheus") == 64
    assert "'streamd user remove' takes it away" in capsys.readouterr().err
    assert load_config(file).gateway.tokens["prometheus"] == before


def test_without_users_it_says_who_is_let_in(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user(file, monkeypatch, "list")
    assert "nobody needs to log in" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a b", "../x", "", "-x", "x" * 64])
def test_a_name_that_cannot_be_one_is_refused_by_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = file.read_text()
    with pytest.raises(SystemExit) if name.startswith("-") else _nothing():
        assert user(file, monkeypatch, "token", name) == 78
    assert file.read_text() == before


class _nothing:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None
