"""What people do to a port that they can reach: a real gateway process, and whatever bytes come."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from certificates import signed_by_itself
from e2e.gatewayprocess import GatewayProcess
from gatewayparts import jpeg, seen

from streamd.access import hash_password, new_token
from streamd.events import EventType
from streamd.gateway.app import described

pytestmark = pytest.mark.e2e

NAME, STRANGER, PASSWORD = "Ana Geheim", "unknown-7f3a", "correct horse"
VIEWER, VIEWER_KEPT = new_token()
ADMIN, ADMIN_KEPT = new_token()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        users={"ana": {"role": "admin", "password": hash_password(PASSWORD)}},
        tokens={"v": {"role": "viewer", "token": VIEWER_KEPT}, "a": {"role": "admin", "token": ADMIN_KEPT}},
    )
    box = process.box
    box.enroll(NAME, 1)
    box.meet(STRANGER)
    picture = "2026-11-25/door-x-1-face.jpg"
    (box.config.snapshots_dir / "2026-11-25").mkdir(parents=True)
    (box.config.snapshots_dir / picture).write_bytes(jpeg())
    box.record(seen("door", EventType.FACE_IDENTIFIED, identity={"id": "p", "name": NAME}, snapshot={"face": picture}))
    with process:
        yield process


def raw(gateway: GatewayProcess, data: bytes, *, timeout_s: float = 30.0) -> bytes:
    """What comes back for these very bytes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=timeout_s) as connection:
        answer = b""
        with suppress(ConnectionError):  # it may hang up before it has heard everything
            connection.sendall(data)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                answer += chunk
                head, found, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if found and length and len(body) >= int(length[1]):
                    break
        return answer


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1."), answer[:80]
    return int(answer[9:12])


def test_nobody_learns_anything_without_a_login(gateway: GatewayProcess) -> None:
    paths = [path for path, methods in described()["paths"].items() if "get" in methods]
    filled = [re.sub(r"\{(day)\}", "2026-11-25", path) for path in paths]
    filled = [path.replace("{name}", "Ana%20Geheim").replace("{face}", "1").replace("{crop}", "1") for path in filled]
    filled = [path.replace("{id}", STRANGER).replace("{file}", "door-x-1-face.jpg") for path in filled]
    open_to_all = {"/healthz", "/readyz", "/", "/login", "/camera"}
    for path in [*filled, "/metrics", *open_to_all, "/api/v1/none", "/static/none.js"]:
        status, body = gateway.get(path)
        for secret in (NAME, STRANGER, "geheim", "192.0.2.1", str(gateway.box.folder), "scrypt", "\xff\xd8"):
            assert secret.encode("latin-1") not in body, path
        if path.startswith("/api/v1/") and path != "/api/v1/none":
            assert status == 401, path
    assert gateway.get("/metrics")[0] == 401


def test_no_path_leads_out_of_the_pages_folder(gateway: GatewayProcess) -> None:
    secret = gateway.box.file
    up = "../" * 12
    for path in (
        f"/static/{up}{secret}",
        f"/static/{up.replace('/', '%2f')}{str(secret).replace('/', '%2f')}",
        f"/static/{up.replace('.', '%2e')}etc/passwd",
        "/static/..%5c..%5capp.py",
        "/static/%00",
        "//etc/passwd",
        f"/api/v1/snapshots/2026-11-25/{up.replace('/', '%2f')}etc%2fpasswd",
        f"/api/v1/faces/{up}etc/passwd.jpg",
    ):
        answer = raw(gateway, request("GET", path, Authorization=f"Bearer {ADMIN}"))
        assert status_of(answer) in (400, 404), path
        assert b"root:" not in answer
        assert b"mine" not in answer


def test_two_gigabytes_are_refused_before_they_come(gateway: GatewayProcess) -> None:
    head = (
        f"POST /api/v1/people/Ben/photos HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {2 << 30}\r\n\r\n"
    ).encode()
    answer = raw(gateway, head + b"--x\r\n")
    assert status_of(answer) == 413
    assert b"at most" in answer
    assert gateway.get("/static/none.js")[0] == 404, "it goes on answering"


def test_a_body_that_grows_when_it_is_unpacked_is_cut_off(gateway: GatewayProcess) -> None:
    bomb = gzip.compress(b'{"name": "' + b"x" * (300 << 20) + b'"}', 1)
    answer = raw(
        gateway,
        request("POST", "/api/v1/session", bomb, Content_Type="application/json", Content_Encoding="gzip"),
    )
    assert status_of(answer) in (400, 413)
    assert resident_mb(gateway) < 400


def png_of(width: int, height: int) -> bytes:
    """A few bytes that claim to be a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def form(*photos: tuple[str, bytes]) -> bytes:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in photos
    ]
    return b"".join(parts) + b"--x--\r\n"


def test_photos_that_are_none_are_each_told_of(tmp_path: Path, models_dir: Path) -> None:
    """A PDF, a picture of gigabytes, nothing at all, half a picture, and a name with a script in it."""
    photos = (
        ("letter.pdf", b"%PDF-1.7\n1 0 obj\n"),
        ("bomb.png", png_of(60_000, 60_000)),
        ("empty.jpg", b""),
        ("half.jpg", jpeg()[:200]),
        ("../../../<script>alert(1)</script>.jpg", b"GIF89a"),
    )
    with GatewayProcess(tmp_path, tokens={"a": {"role": "admin", "token": ADMIN_KEPT}}) as process:
        (process.box.config.state_dir / "models").symlink_to(models_dir)
        path, kind = "/api/v1/people/Ben/photos", "multipart/form-data; boundary=x"
        sent = request("POST", path, form(*photos), Authorization=f"Bearer {ADMIN}", Content_Type=kind)
        answer = raw(process, sent, timeout_s=60)
        assert status_of(answer) == 200, answer
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert body["accepted"] == 0
        assert [photo["file"] for photo in body["photos"]][:2] == ["letter.pdf", "bomb.png"]
        assert all(photo["reason"] == "unreadable" for photo in body["photos"]), body
        assert str(tmp_path) not in answer.decode()
        assert list((process.box.config.state_dir / "uploads").iterdir()) == []


def test_garbage_gets_an_answer_or_the_door(gateway: GatewayProcess) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        request("POST", "/api/v1/session", b"[" * 60_000, Content_Type="application/json"),
        request("POST", "/api/v1/session", b"\xff\xfe", Content_Type="application/json"),
    ):
        answer = raw(gateway, data)
        assert answer == b"" or 400 <= status_of(answer) < 500, data[:60]
        assert b"Traceback" not in answer
    assert gateway.get("/static/none.js")[0] == 404


def test_a_thousand_idle_connections_leave_the_gateway_usable(gateway: GatewayProcess) -> None:
    idle = []
    try:
        for n in range(1000):
            connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " if n % 2 else b"G")
            idle.append(connection)
        assert gateway.get("/api/v1/people", Authorization=f"Bearer {VIEWER}")[0] == 200
        assert open_files(gateway) < 600
    finally:
        for connection in idle:
            connection.close()


def test_somebody_logs_in_while_hundreds_of_logins_are_half_sent(gateway: GatewayProcess) -> None:
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n"
    halves = []
    try:
        for n in range(600):
            halves.append(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))
            halves[-1].sendall(head + b'{"name": "')
            if n % 50 == 49:
                assert gateway.get("/static/none.js")[0] == 404
        body = json.dumps({"name": "ana", "password": PASSWORD}).encode()
        answer = raw(gateway, request("POST", "/api/v1/session", body, Content_Type="application/json"))
        assert status_of(answer) == 200
        assert open_files(gateway) < 600
    finally:
        for connection in halves:
            connection.close()


def test_with_a_certificate_all_of_it_is_encrypted(tmp_path: Path) -> None:
    certificate, key = tmp_path / "box.crt", tmp_path / "box.key"
    for path, content in zip((certificate, key), signed_by_itself(), strict=True):
        path.write_bytes(content)
    user = {"ana": {"role": "admin", "password": hash_password(PASSWORD)}}
    (tmp_path / "box").mkdir()
    with GatewayProcess(tmp_path / "box", users=user, certificate=str(certificate), key=str(key)) as process:
        status, _ = process.get("/login")
        assert status == 200
        assert process.get("/api/v1/people")[0] == 401
        plain = raw(process, request("GET", "/login"), timeout_s=5)
        assert not plain.startswith(b"HTTP/1.1 200")
        body = json.dumps({"name": "ana", "password": PASSWORD}).encode()
        login = urllib.request.Request(process.url + "/api/v1/session", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(login, timeout=10, context=process._trusting()) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert cookie.startswith("__Host-streamd_session=")
        assert "Secure" in cookie
        assert process.get("/api/v1/people", Cookie=cookie.partition(";")[0])[0] == 200


def resident_mb(gateway: GatewayProcess) -> float:
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def open_files(gateway: GatewayProcess) -> int:
    return sum(1 for _ in Path(f"/proc/{gateway.pid}/fd").iterdir())
