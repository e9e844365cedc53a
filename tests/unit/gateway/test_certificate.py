"""A certificate that is renewed while connections are made with the one before."""

import asyncio
import logging
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from certificates import signed_by_itself, trusting
from cryptography import x509
from cryptography.x509.oid import NameOID

from streamd.gateway import app
from streamd.gatewayconfig import GatewayConfig


async def shown(port: int) -> str:
    """The name on the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting())
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return str(x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("key", [None, b"", b"-----BEGIN PRIVATE KEY-----\nhalf"])
def test_a_renewal_that_is_half_done_leaves_the_one_before_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: bytes | None
) -> None:
    """``key`` is the new certificate's before it is there: None for that of the one before."""
    monkeypatch.setattr(app, "_RENEW_S", 0.01)
    caplog.set_level(logging.INFO)
    config = GatewayConfig(certificate=tmp_path / "box.crt", key=tmp_path / "box.key")
    assert config.certificate is not None
    assert config.key is not None
    files = (config.certificate, config.key)
    before, renewed = signed_by_itself("before"), signed_by_itself("renewed")

    def errors() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]

    async def check(certificate: Path, key_file: Path) -> None:
        context = app._tls(config)
        assert context is not None
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        looking = asyncio.create_task(app._renew(context, config))
        await asyncio.sleep(0)  # it knows the files as they are
        if key is not None:
            key_file.write_bytes(key)
        certificate.write_bytes(renewed[0])
        await until(lambda: bool(errors()))
        assert await shown(port) == "before"
        await asyncio.sleep(0.05)  # several looks
        key_file.write_bytes(renewed[1])
        await until(lambda: "was renewed" in caplog.text)
        assert await shown(port) == "renewed"
        looking.cancel()
        server.close()

    for file, content in zip(files, before, strict=True):
        file.write_bytes(content)
        os.utime(file, (1, 1))
    asyncio.run(asyncio.wait_for(check(*files), 20))
    assert all(one != other for one, other in pairwise(errors())), "the same is not told again and again"
