"""Logging in, roles, tokens, and what a browser on another site's page may not do."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from gatewayparts import Box, Client, csrf, log_in

from streamd import access
from streamd.access import hash_password, hash_token, new_token, password_fits, token_fits
from streamd.gateway import eventfeed, gatekeeper
from streamd.gateway.live import Live

PASSWORD = "correct horse"
with pytest.MonkeyPatch.context() as cheap:
    cheap.setattr(access, "_N", 2)
    HASH = hash_password(PASSWORD)
TOKEN, KEPT = new_token()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try that takes no time."""
    monkeypatch.setattr(access, "_N", 2)


def users(folder: Path, **more: Any) -> Box:
    return Box(
        folder,
        users={name: {"role": name, "password": HASH} for name in ("viewer", "operator", "admin")},
        tokens={"prometheus": {"role": "viewer", "token": KEPT}},
        **more,
    )


def test_a_password_fits_its_hash_alone() -> None:
    assert password_fits(PASSWORD, HASH)
    assert not password_fits(PASSWORD + " ", HASH)
    assert hash_password(PASSWORD) != HASH
    assert PASSWORD not in HASH


@pytest.mark.parametrize("kept", ["", "scrypt:32768:x", "plain:correct horse", "scrypt:3:AAAA:AAAA", "scrypt:16:!:!"])
def test_what_is_no_hash_fits_nothing(kept: str) -> None:
    assert not password_fits(PASSWORD, kept)


def test_a_token_fits_its_hash_alone() -> None:
    assert token_fits(TOKEN, KEPT)
    assert not token_fits(TOKEN[:-1], KEPT)
    assert TOKEN not in KEPT


def test_whoever_is_not_logged_in_sees_nothing(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        for path in (
            "system",
            "cameras",
            "people",
            "unknowns",
            "events",
            "gallery/changes",
            "calibration",
            "faces/1.jpg",
        ):
            answer = await client.get(f"/api/v1/{path}")
            assert answer.status == 401, path
            assert (await answer.json())["code"] == "unauthenticated"
        assert (await client.get("/api/v1/session")).status == 401
        assert (await client.get("/metrics")).status == 401
        assert await (await client.get("/readyz")).json() == {"status": "ready"}
        assert (await client.get("/healthz")).status == 200

    users(tmp_path).run(check)


def test_somebody_logs_in_and_out_again(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        headers = await log_in(client, "viewer", PASSWORD)
        session = await (await client.get("/api/v1/session")).json()
        assert (session["user"], session["role"], session["authentication"]) == ("viewer", "viewer", True)
        assert (await client.get("/api/v1/people")).status == 200
        assert (await client.delete("/api/v1/session", headers=headers)).status == 204
        assert (await client.get("/api/v1/people")).status == 401

    users(tmp_path).run(check)


async def pictures(*_: Any, **__: Any) -> AsyncIterator[bytes]:
    while True:
        yield b"a picture"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["events/stream", "cameras/door/stream.mjpeg"])
def test_what_somebody_goes_on_getting_ends_when_they_log_out(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "mjpeg", pictures)

    async def check(client: Client) -> None:
        headers = await log_in(client, "viewer", PASSWORD)
        async with client.get(f"/api/v1/{path}") as answer:
            assert await answer.content.readline()
            assert (await client.delete("/api/v1/session", headers=headers)).status == 204
            await asyncio.wait_for(answer.content.read(), 20)

    users(tmp_path).run(check)


@pytest.mark.parametrize("path", ["events/stream", "cameras/door/stream.mjpeg"])
def test_asking_for_the_head_of_a_stream_comes_to_an_end(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Live, "mjpeg", pictures)

    async def check(client: Client) -> None:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        for _ in range(2):  # the second on the same connection comes after the first has ended
            head = f"HEAD /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            writer.write(head.encode())
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert answer.startswith(b"HTTP/1.1 200 ")
        writer.close()

    users(tmp_path).run(check)


def test_one_token_cannot_keep_others_from_the_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventfeed, "MOST_STREAMS", 4)

    async def check(client: Client) -> None:
        async with AsyncExitStack() as open_streams:

            async def follow(**headers: str) -> int:
                asked = client.get("/api/v1/events/stream", headers=headers)
                return int((await open_streams.enter_async_context(asked)).status)

            token = {"Authorization": f"Bearer {TOKEN}"}
            assert [await follow(**token) for _ in range(4)] == [200, 200, 200, 503]
            await log_in(client, "viewer", PASSWORD)
            assert [await follow() for _ in range(2)] == [200, 503]

    users(tmp_path).run(check)


def test_the_cookie_is_kept_from_scripts_and_other_sites(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.post("/api/v1/session", json={"name": "viewer", "password": PASSWORD})
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert PASSWORD not in cookie

    users(tmp_path).run(check)


def test_a_session_outlives_the_process_but_not_its_password(tmp_path: Path) -> None:
    box = users(tmp_path)
    kept: dict[str, str] = {}

    async def first(client: Client) -> None:
        await log_in(client, "viewer", PASSWORD)
        kept["cookie"] = "; ".join(f"{cookie.key}={cookie.value}" for cookie in client.session.cookie_jar)

    async def later(client: Client) -> None:
        answer = await client.get("/api/v1/people", headers={"Cookie": kept["cookie"]})
        assert answer.status == kept_status

    box.run(first)
    assert kept["cookie"].partition("=")[2] not in (box.config.state_dir / "sessions.json").read_text()
    kept_status = 200
    box.run(later)
    text = box.file.read_text().replace(HASH, hash_password("another one"))
    box.file.write_text(text)
    from streamd.configfile import load_config

    box.config = load_config(box.file)
    kept_status = 401
    box.run(later)


def test_roles_bound_what_may_be_done(tmp_path: Path) -> None:
    box = users(tmp_path)
    box.enroll("Ana", 1)
    box.meet("unknown-7f3a")

    async def check(client: Client) -> None:
        viewer = await log_in(client, "viewer", PASSWORD)
        assert (await client.patch("/api/v1/people/Ana", json={"notes": "x"}, headers=viewer)).status == 403
        assert (await client.delete("/api/v1/people/Ana", headers=viewer)).status == 403
        operator = await log_in(client, "operator", PASSWORD)
        assert (await client.patch("/api/v1/people/Ana", json={"notes": "x"}, headers=operator)).status == 200
        answer = await client.delete("/api/v1/people/Ana", headers=operator)
        assert (answer.status, (await answer.json())["error"]) == (403, "this takes the role admin; yours is operator")
        admin = await log_in(client, "admin", PASSWORD)
        assert (await client.delete("/api/v1/unknowns/unknown-7f3a", headers=operator)).status == 403
        assert (await client.delete("/api/v1/unknowns/unknown-7f3a", headers=admin)).status == 204

    box.run(check)


def test_a_change_needs_the_pages_own_token(tmp_path: Path) -> None:
    box = users(tmp_path)
    box.enroll("Ana", 1)

    async def check(client: Client) -> None:
        await log_in(client, "admin", PASSWORD)
        for headers in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": ""}):
            answer = await client.delete("/api/v1/people/Ana", headers=headers)
            assert (answer.status, (await answer.json())["code"]) == (403, "csrf")
        assert (await client.get("/api/v1/people/Ana")).status == 200

    box.run(check)


@pytest.mark.parametrize("gateway", [{}, {"users": {"admin": {"role": "admin", "password": HASH}}}])
def test_another_sites_page_cannot_do_anything(tmp_path: Path, gateway: dict[str, Any]) -> None:
    box = Box(tmp_path, **gateway)
    box.enroll("Ana", 1)

    async def check(client: Client) -> None:
        headers = await log_in(client, "admin", PASSWORD) if gateway else await csrf(client)
        answer = await client.delete("/api/v1/people/Ana", headers=headers | {"Origin": "https://evil.example"})
        assert answer.status == 403
        path = "/api/v1/people/Ana"
        answer = await client.patch(path, json={}, headers=headers | {"Origin": "https://evil.example"})
        assert (answer.status, (await answer.json())["code"]) == (403, "csrf")
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        assert (await client.patch(path, json={}, headers=headers | own)).status == 200

    box.run(check)


def test_without_users_another_name_for_this_machine_is_refused(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        answer = await client.get("/api/v1/people", headers={"Host": "evil.example:8470"})
        assert answer.status == 403
        for host in ("localhost:8470", "127.0.0.1:8470", "[::1]:8470"):
            assert (await client.get("/api/v1/people", headers={"Host": host})).status == 200

    Box(tmp_path).run(check)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_without_users_another_sites_page_cannot_have_pictures_asked_for(tmp_path: Path, site: str) -> None:
    async def check(client: Client) -> None:
        embedded = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        assert (await client.get("/api/v1/events/stream", headers=embedded)).status == 403
        followed = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
        assert (await client.get("/", headers=followed)).status == 200
        own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        assert (await client.get("/api/v1/people", headers=own)).status == 200

    Box(tmp_path).run(check)


def test_a_program_asks_with_its_token(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/metrics", headers=bearer)).status == 200
        assert (await client.get("/api/v1/people", headers=bearer)).status == 200
        answer = await client.patch("/api/v1/people/Ana", json={}, headers=bearer)
        assert answer.status == 403  # a viewer; a token needs no CSRF header
        assert (await answer.json())["code"] == "forbidden"
        assert (await client.get("/metrics", headers={"Authorization": "Bearer sd_wrong"})).status == 401

    users(tmp_path).run(check)


def test_a_token_that_is_no_text_is_refused(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sd_\xff\r\n\r\n")
        assert b" 401 " in await reader.readline()
        writer.close()

    users(tmp_path).run(check)


def test_metrics_may_be_public(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        assert (await client.get("/metrics")).status == 200
        assert (await client.get("/api/v1/people")).status == 401

    users(tmp_path, public_metrics=True).run(check)


def test_wrong_passwords_are_slowed_down_and_told_of_without_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def check(client: Client) -> None:
        for _ in range(5):
            answer = await client.post("/api/v1/session", json={"name": "admin", "password": "guess-123"})
            assert answer.status == 401
        answer = await client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD})
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) >= 1

    users(tmp_path).run(check)
    assert "login refused: user 'admin' from 127.0.0.1" in caplog.text
    assert "guess-123" not in caplog.text


def test_whoever_tries_a_name_does_not_keep_its_user_out_where_they_logged_in_before(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        async def status(address: str, password: str) -> int:
            body, headers = {"name": "admin", "password": password}, {"X-Forwarded-For": address}
            return (await client.post("/api/v1/session", json=body, headers=headers)).status

        assert await status("192.0.2.1", PASSWORD) == 200
        for n in range(5):
            assert await status(f"192.0.2.{n + 100}", "guess-123") == 401
        assert await status("192.0.2.200", PASSWORD) == 429
        assert await status("192.0.2.1", PASSWORD) == 200
        for _ in range(5):
            assert await status("192.0.2.1", "guess-123") == 401
        assert await status("192.0.2.1", PASSWORD) == 429

    users(tmp_path, trusted_proxies=["127.0.0.0/8"]).run(check)


def test_a_name_that_does_not_exist_gets_the_same_answer(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        known = await client.post("/api/v1/session", json={"name": "admin", "password": "guess-123"})
        unknown = await client.post("/api/v1/session", json={"name": "nobody", "password": "guess-123"})
        assert (known.status, await known.text()) == (unknown.status, await unknown.text())

    users(tmp_path).run(check)


def test_many_logins_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = threading.Event()
    monkeypatch.setattr(gatekeeper, "password_fits", lambda *_: not checked.wait(60))

    async def status(client: Client, name: str) -> int:
        return (await client.post("/api/v1/session", json={"name": name, "password": "guess-123"})).status

    async def check(client: Client) -> None:
        waiting = {asyncio.create_task(status(client, f"user{n}")) for n in range(40)}
        refused: list[int] = []
        try:
            while len(refused) < 24:
                done, waiting = await asyncio.wait(waiting, timeout=20, return_when=asyncio.FIRST_COMPLETED)
                assert done, f"{len(waiting)} wait"
                refused += [task.result() for task in done]
        finally:
            checked.set()
        assert set(refused) == {429}
        assert set(await asyncio.gather(*waiting)) == {401}

    users(tmp_path).run(check)


def test_a_proxy_that_is_trusted_is_believed_and_another_is_not(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}

    async def believed(client: Client) -> None:
        answer = await client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD}, headers=forwarded)
        assert "__Host-streamd_session" in answer.headers["Set-Cookie"]
        assert "Secure" in answer.headers["Set-Cookie"]

    async def not_believed(client: Client) -> None:
        answer = await client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD}, headers=forwarded)
        assert "__Host-" not in answer.headers["Set-Cookie"]

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    users(tmp_path / "a", trusted_proxies=["127.0.0.0/8"]).run(believed)
    users(tmp_path / "b").run(not_believed)


def test_a_cameras_token_sees_nothing(tmp_path: Path) -> None:
    box = users(tmp_path)
    token, kept = new_token()
    box.file.write_text(
        box.file.read_text().replace("cameras:", f"cameras:\n  phone: {{url: 'whip://', whip_token: '{kept}'}}")
    )

    async def check(client: Client) -> None:
        for path in ("people", "cameras", "events"):
            answer = await client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
            assert (answer.status, (await answer.json())["error"]) == (401, "log in first"), "it is known, and no login"

    box.run(check)


def test_hashes_of_tokens_differ() -> None:
    assert hash_token("a") != hash_token("b")
