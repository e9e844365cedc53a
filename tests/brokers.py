"""Real servers that events are delivered to: mosquitto, nats-server and a web server. They may be killed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from publisherprocess import eventually, free_port


def program(name: str) -> str:
    """Its path; the test is skipped where it is not installed, and fails in CI."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        message = f"{name} is not installed (apt-get install {name})"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return str(found)


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate for 127.0.0.1 that vouches for itself."""

    certificate: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        made = cls(folder / "certificate.pem", folder / "key.pem")
        made.certificate.write_bytes(built.public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made


class _Server:
    """A program that listens on a port."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.kill()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self._listens)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Mosquitto(_Server):
    """A broker that keeps sessions on the disk."""

    def __init__(self, folder: Path, *, password: str | None = None, tls: Certificate | None = None) -> None:
        super().__init__(folder)
        # It syncs its database with every packet. Its process is killed here, never the machine.
        memory = Path("/dev/shm")
        self._kept = Path(tempfile.mkdtemp(prefix="mosquitto-", dir=memory if memory.is_dir() else folder))
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {self._kept}/"]
        lines += ["autosave_interval 1", "autosave_on_changes true", "max_queued_messages 0", "user root"]
        if password is None:
            lines += ["allow_anonymous true"]
        else:
            passwords = folder / "passwords"
            subprocess.run([program("mosquitto_passwd"), "-b", "-c", passwords, "streamd", password], check=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        if tls is not None:
            lines += [f"certfile {tls.certificate}", f"keyfile {tls.key}"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        shutil.rmtree(self._kept, ignore_errors=True)

    def command(self) -> list[str]:
        return [program("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]


class NatsServer(_Server):
    """JetStream, on the disk."""

    def __init__(self, folder: Path, *, tls: Certificate | None = None, address: str = "127.0.0.1") -> None:
        super().__init__(folder)
        self._address = address
        self._tls = ["--tls", "--tlscert", str(tls.certificate), "--tlskey", str(tls.key)] if tls else []

    def command(self) -> list[str]:
        listen = ["-a", self._address, "-p", str(self.port), "-js", "-sd", str(self.folder)]
        return [program("nats-server"), *listen, *self._tls]


class MqttListener:
    """A client with a session of its own, that comes back by itself."""

    def __init__(self, port: int, topic: str, *, name: str = "listener", password: str | None = None) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self._subscribed = threading.Event()
        self._topic = topic
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]  # seconds, fractions too
        if password is not None:
            self.client.username_pw_set("streamd", password)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda client, userdata, m: self.heard.append((m.topic, m.payload, m.retain))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._subscribed.wait(10)

    def seqs(self) -> list[int]:
        """Numbers of events, each when it first came."""
        return list(dict.fromkeys(json.loads(payload)["seq"] for _, payload, _ in list(self.heard)))

    def retained(self) -> dict[str, bytes]:
        """The last that was heard on each topic."""
        return {topic: payload for topic, payload, _ in list(self.heard)}

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


class Receiver:
    """A web server for webhooks; ``status`` is what it answers."""

    def __init__(self, *, tls: Certificate | None = None) -> None:
        self.port = free_port()
        self.status = 200
        self._tls = tls
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self._server: ThreadingHTTPServer | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.status
                if status == 200:
                    receiver.requests.append((dict(self.headers), body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                return  # the other end was killed

        self._server = Server(("127.0.0.1", self.port), Handler)
        if self._tls is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._tls.certificate, self._tls.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def seqs(self) -> list[int]:
        """Numbers of events, each when it first came."""
        return list(dict.fromkeys(json.loads(body)["seq"] for _, body in list(self.requests)))


def nats_messages(port: int, stream: str) -> list[tuple[str, int, str]]:
    """Everything in a stream: subject, the event's number, its message id."""
    import asyncio

    import nats

    async def read() -> list[tuple[str, int, str]]:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        stream_context = client.jetstream()
        state = (await stream_context.stream_info(stream)).state
        subscription = await stream_context.subscribe("streamd.events.>", ordered_consumer=True)
        found = []
        for _ in range(state.messages):
            message = await subscription.next_msg(timeout=10)
            found.append((message.subject, json.loads(message.data)["seq"], (message.headers or {})["Nats-Msg-Id"]))
        await client.close()
        return found

    return asyncio.run(read())
